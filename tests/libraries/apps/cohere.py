# /// script
# dependencies = ["cohere>=7,<8"]
# ///
"""Cohere's own client, version 2 of its interface."""

import asyncio
import contextlib
import json
import os

import cohere
from cohere.core.api_error import ApiError

import qualitrace

OPTIONS = {"base_url": os.environ["LLM"], "api_key": "k"}
WARRANTY = {"model": "command-a", "messages": [{"role": "user", "content": "How long is the warranty of a tent?"}]}
PARAMETERS = {"type": "object", "properties": {"city": {"type": "string"}}}
TOOLS = [{"type": "function", "function": {"name": "get_weather", "parameters": PARAMETERS}}]


@qualitrace.trace(kind="tool")
def get_weather(city):
    return "18 degrees, sunny"


def chat():
    with qualitrace.session("session-1", user="ada"):
        cohere.ClientV2(**OPTIONS).chat(**WARRANTY)


def stream():
    for _ in cohere.ClientV2(**OPTIONS).chat_stream(**WARRANTY):
        pass


def asynchronous():
    async def ask():
        await cohere.AsyncClientV2(**OPTIONS).chat(**WARRANTY)

    asyncio.run(ask())


def asynchronous_stream():
    async def ask():
        async for _ in cohere.AsyncClientV2(**OPTIONS).chat_stream(**WARRANTY):
            pass

    asyncio.run(ask())


def tools():
    @qualitrace.trace(kind="agent")
    def agent(question):
        client, messages = cohere.ClientV2(**OPTIONS), [{"role": "user", "content": question}]
        first = client.chat(model="command-a", messages=messages, tools=TOOLS).message
        call = first.tool_calls[0]
        result = get_weather(**json.loads(call.function.arguments))
        messages += [first, {"role": "tool", "tool_call_id": call.id, "content": result}]
        return client.chat(model="command-a", messages=messages, tools=TOOLS).message.content[0].text

    agent("What is the weather in Oslo?")


def error():
    with contextlib.suppress(ApiError):
        cohere.ClientV2(**OPTIONS).chat(**WARRANTY | {"model": "broken"}, request_options={"max_retries": 0})
