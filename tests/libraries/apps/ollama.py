# /// script
# dependencies = ["ollama>=0.6,<0.7"]
# ///
"""Ollama's own client."""

import asyncio
import contextlib
import os

import ollama

import qualitrace

WARRANTY = {"model": "gemma3", "messages": [{"role": "user", "content": "How long is the warranty of a tent?"}]}


@qualitrace.trace(kind="tool")
def get_weather(city: str) -> str:
    """Return the weather in a city."""
    return "18 degrees, sunny"


def client():
    return ollama.Client(os.environ["LLM"])


def chat():
    with qualitrace.session("session-1", user="ada"):
        client().chat(**WARRANTY)


def stream():
    for _ in client().chat(**WARRANTY, stream=True):
        pass


def asynchronous():
    async def ask():
        await ollama.AsyncClient(os.environ["LLM"]).chat(**WARRANTY)

    asyncio.run(ask())


def asynchronous_stream():
    async def ask():
        async for _ in await ollama.AsyncClient(os.environ["LLM"]).chat(**WARRANTY, stream=True):
            pass

    asyncio.run(ask())


def tools():
    @qualitrace.trace(kind="agent")
    def agent(question):
        messages = [{"role": "user", "content": question}]
        first = client().chat(model="gemma3", messages=messages, tools=[get_weather]).message
        result = get_weather(**first.tool_calls[0].function.arguments)
        messages += [first, {"role": "tool", "tool_name": "get_weather", "content": result}]
        return client().chat(model="gemma3", messages=messages, tools=[get_weather]).message.content

    agent("What is the weather in Oslo?")


def error():
    with contextlib.suppress(ollama.ResponseError):
        client().chat(**WARRANTY | {"model": "broken"})
