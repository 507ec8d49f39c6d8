# /// script
# dependencies = ["langchain>=1.5,<2", "langchain-openai>=1.1,<2", "langgraph>=1,<2", "numpy>=2,<3", "fastmcp>=4,<5", "{project}[starlette]"]
# ///
"""LangChain and LangGraph: chains, agents and graphs."""

import asyncio
import contextlib
import os
import sys
from pathlib import Path

import openai
from fastmcp.client.transports import StdioTransport
from langchain.agents import create_agent
from langchain.mcp import MCPAdapter
from langchain_core.documents import Document
from langchain_core.output_parsers import StrOutputParser
from langchain_core.prompts import ChatPromptTemplate
from langchain_core.retrievers import BaseRetriever
from langchain_core.runnables import RunnablePassthrough
from langchain_core.tools import tool
from langchain_core.vectorstores import InMemoryVectorStore
from langchain_openai import ChatOpenAI, OpenAIEmbeddings
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.graph import END, START, StateGraph

import qualitrace

OPTIONS = {"base_url": os.environ["LLM"] + "/v1", "api_key": "k", "max_retries": 0}
QUESTION = "How long is the warranty of a tent?"
WEATHER = "What is the weather in Oslo?"
TEXTS = (
    "Tents have a warranty of 24 months.",
    "Sleeping bags are washed at 30 degrees.",
    "The shop in Oslo opens at 9.",
)
DOCUMENTS = [Document(text, metadata={"source": f"faq-{n}.md"}) for n, text in enumerate(TEXTS)]


def model(name="gpt-5-mini", **more):
    return ChatOpenAI(model=name, **OPTIONS, **more)


class Shelf(BaseRetriever):
    """Finds all documents."""

    def _get_relevant_documents(self, query, *, run_manager):
        return DOCUMENTS


def joined(documents):
    return "\n\n".join(document.page_content for document in documents)


def chain(template, name="gpt-5-mini", retriever=None):
    prompt = ChatPromptTemplate.from_template(template)
    given = {"context": (retriever or Shelf()) | joined, "question": RunnablePassthrough()}
    return given | prompt | model(name, stream_usage=True) | StrOutputParser()


USUAL = """Answer the question based only on the following context:
{context}

Question: {question}
"""


@tool
def get_weather(city: str) -> str:
    """Tell the weather of a city."""
    return "18 degrees, sunny"


def rag():
    with qualitrace.session("session-1", user="ada"):
        chain(USUAL).invoke(QUESTION)


def rag_store():
    store = InMemoryVectorStore.from_documents(DOCUMENTS, OpenAIEmbeddings(check_embedding_ctx_length=False, **OPTIONS))
    chain(USUAL, retriever=store.as_retriever(search_kwargs={"k": 3})).invoke(QUESTION)


def store():
    """A node of a graph searches a store itself, without a retriever."""
    found = InMemoryVectorStore.from_documents(DOCUMENTS, OpenAIEmbeddings(check_embedding_ctx_length=False, **OPTIONS))

    def retrieve(state):
        return state | {"context": joined(found.similarity_search(state["question"], k=2))}

    def generate(state):
        return state | {"answer": model().invoke(USUAL.format(**state)).content}

    graph = StateGraph(dict)
    graph.add_node("retrieve", retrieve)
    graph.add_node("generate", generate)
    graph.add_edge(START, "retrieve")
    graph.add_edge("retrieve", "generate")
    graph.add_edge("generate", END)
    graph.compile().invoke({"question": QUESTION})


def store_asynchronous():
    found = InMemoryVectorStore.from_documents(DOCUMENTS, OpenAIEmbeddings(check_embedding_ctx_length=False, **OPTIONS))

    @qualitrace.trace
    async def answer(question):
        documents = await found.asimilarity_search(question, k=2)
        return (await model().ainvoke(USUAL.format(context=joined(documents), question=question))).content

    asyncio.run(answer(QUESTION))


def rag_stream():
    for _ in chain(USUAL).stream(QUESTION):
        pass


def rag_stream_without_labels():
    for _ in chain("{context}\n\n{question}").stream(QUESTION):
        pass


def rag_asynchronous():
    async def ask():
        async for _ in chain(USUAL).astream(QUESTION):
            pass

    asyncio.run(ask())


def rag_error():
    with contextlib.suppress(openai.InternalServerError):
        chain(USUAL, "broken").invoke(QUESTION)


def chat():
    model().invoke(QUESTION)


def agent():
    create_agent(model(), [get_weather]).invoke({"messages": [{"role": "user", "content": WEATHER}]})


def mcp():
    async def ask():
        program = ["-P", str(Path(__file__).with_name("mcp.py"))]
        async with MCPAdapter(StdioTransport(sys.executable, program, env=dict(os.environ))) as server:
            agent = create_agent(model(), await server.list_tools())
            await agent.ainvoke({"messages": [{"role": "user", "content": WEATHER}]})

    asyncio.run(ask())


def agent_stream():
    async def ask():
        asked = {"messages": [{"role": "user", "content": WEATHER}]}
        async for _ in create_agent(model(stream_usage=True), [get_weather]).astream(asked, stream_mode="messages"):
            pass

    asyncio.run(ask())


def graph():
    def retrieve(state):
        return {"context": joined(Shelf().invoke(state["question"]))}

    def generate(state):
        return {"answer": model().invoke(USUAL.format(**state)).content}

    graph = StateGraph(dict)
    graph.add_node("retrieve", lambda state: state | retrieve(state))
    graph.add_node("generate", lambda state: state | generate(state))
    graph.add_edge(START, "retrieve")
    graph.add_edge("retrieve", "generate")
    graph.add_edge("generate", END)
    graph.compile().invoke({"question": QUESTION})


def conversation():
    agent = create_agent(model(), [], checkpointer=InMemorySaver())
    for said in ("My name is Ada.", "What is my name?"):
        with qualitrace.session("session-1", user="ada"):
            agent.invoke({"messages": [{"role": "user", "content": said}]}, {"configurable": {"thread_id": "thread-1"}})
