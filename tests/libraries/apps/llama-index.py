# /// script
# dependencies = [
#   "llama-index-core>=0.14,<0.15", "llama-index-llms-openai-like>=0.5,<1", "llama-index-embeddings-openai>=0.5,<1",
# ]
# ///
"""LlamaIndex: query engines, a chat engine and an agent over an index in memory."""

import asyncio
import contextlib
import os

import openai
from llama_index.core import Document, VectorStoreIndex
from llama_index.core.agent.workflow import FunctionAgent
from llama_index.embeddings.openai import OpenAIEmbedding
from llama_index.llms.openai_like import OpenAILike

import qualitrace

OPTIONS = {"api_base": os.environ["LLM"] + "/v1", "api_key": "k", "max_retries": 0}
QUESTION = "How long is the warranty of a tent?"
TEXTS = [
    "Tents have a warranty of 24 months.",
    "Sleeping bags are washed at 30 degrees.",
    "The shop in Oslo opens at 9.",
]


def model(name="gpt-5-mini"):
    more = {"stream_options": {"include_usage": True}} if name == "gpt-5-mini-stream" else {}
    return OpenAILike(model=name, is_chat_model=True, is_function_calling_model=True, additional_kwargs=more, **OPTIONS)


def index():
    documents = [Document(text=text, metadata={"source": f"faq-{n}.md"}) for n, text in enumerate(TEXTS)]
    return VectorStoreIndex.from_documents(documents, embed_model=OpenAIEmbedding(**OPTIONS))


def get_weather(city: str) -> str:
    """Tell the weather of a city."""
    return "18 degrees, sunny"


def chat():
    model().complete(QUESTION)


def rag():
    engine = index().as_query_engine(llm=model(), similarity_top_k=3)
    with qualitrace.session("session-1", user="ada"):
        engine.query(QUESTION)


def rag_stream():
    engine = index().as_query_engine(llm=model("gpt-5-mini-stream"), similarity_top_k=3, streaming=True)
    for _ in engine.query(QUESTION).response_gen:
        pass


def rag_asynchronous():
    engine = index().as_query_engine(llm=model(), similarity_top_k=3)

    async def ask():
        await engine.aquery(QUESTION)

    asyncio.run(ask())


def rag_error():
    engine = index().as_query_engine(llm=model("broken"), similarity_top_k=3)
    with contextlib.suppress(openai.InternalServerError):
        engine.query(QUESTION)


def conversation():
    engine = index().as_chat_engine(llm=model(), similarity_top_k=3, chat_mode="context")
    with qualitrace.session("session-1", user="ada"):
        engine.chat("My name is Ada.")
        engine.chat("What is my name?")


def agent():
    async def ask():
        agent = FunctionAgent(tools=[get_weather], llm=model(), streaming=False)
        await agent.run("What is the weather in Oslo?")

    asyncio.run(ask())
