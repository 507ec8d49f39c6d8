# /// script
# dependencies = ["haystack-ai>=3,<4"]
# ///
"""Haystack: a pipeline with a retriever by words, which the passage about washing shares none with."""

import asyncio
import contextlib
import os

from haystack import Document, Pipeline
from haystack.components.agents import Agent
from haystack.components.builders import ChatPromptBuilder
from haystack.components.generators.chat import OpenAIChatGenerator
from haystack.components.retrievers.in_memory import InMemoryBM25Retriever
from haystack.dataclasses import ChatMessage
from haystack.document_stores.in_memory import InMemoryDocumentStore
from haystack.tools import tool
from haystack.utils import Secret

import qualitrace

QUESTION = "How long is the warranty of a tent?"
WEATHER = "What is the weather in Oslo?"
TEXTS = [
    "Tents have a warranty of 24 months.",
    "Sleeping bags are washed at 30 degrees.",
    "The shop in Oslo opens at 9.",
]
TEMPLATE = """Given the following information, answer the question.

Context:
{% for document in documents %}
    {{ document.content }}
{% endfor %}

Question: {{question}}
Answer:
"""


def generator(model="gpt-5-mini", **more):
    options = {"api_base_url": os.environ["LLM"] + "/v1", "api_key": Secret.from_token("k"), "max_retries": 0}
    return OpenAIChatGenerator(model=model, **options, **more)


def pipeline(model="gpt-5-mini", **more):
    store = InMemoryDocumentStore()
    store.write_documents([Document(content=text, meta={"source": f"faq-{n}.md"}) for n, text in enumerate(TEXTS)])
    pipeline = Pipeline()
    pipeline.add_component("retriever", InMemoryBM25Retriever(store))
    pipeline.add_component("prompt", ChatPromptBuilder([ChatMessage.from_user(TEMPLATE)], required_variables="*"))
    pipeline.add_component("llm", generator(model, **more))
    pipeline.connect("retriever", "prompt.documents")
    pipeline.connect("prompt", "llm")
    return pipeline


ASKED = {"retriever": {"query": QUESTION}, "prompt": {"question": QUESTION}}


def chat():
    generator().run([ChatMessage.from_user(QUESTION)])


def rag():
    with qualitrace.session("session-1", user="ada"):
        pipeline().run(ASKED)


def rag_stream():
    more = {"generation_kwargs": {"stream_options": {"include_usage": True}}}
    pipeline(streaming_callback=lambda chunk: None, **more).run(ASKED)


def rag_asynchronous():
    asyncio.run(pipeline().run_async(ASKED))


def rag_error():
    with contextlib.suppress(Exception):
        pipeline("broken").run(ASKED)


@tool
def get_weather(city: str) -> str:
    """Tell the weather of a city."""
    return "18 degrees, sunny"


def agent():
    Agent(chat_generator=generator(), tools=[get_weather]).run([ChatMessage.from_user(WEATHER)])


def agent_asynchronous():
    asyncio.run(Agent(chat_generator=generator(), tools=[get_weather]).run_async([ChatMessage.from_user(WEATHER)]))


def agent_in_pipeline():
    pipeline = Pipeline()
    pipeline.add_component("agent", Agent(chat_generator=generator(), tools=[get_weather]))
    pipeline.run({"agent": {"messages": [ChatMessage.from_user(WEATHER)]}})


def agent_error():
    with contextlib.suppress(Exception):
        Agent(chat_generator=generator("broken"), tools=[get_weather]).run([ChatMessage.from_user(QUESTION)])
