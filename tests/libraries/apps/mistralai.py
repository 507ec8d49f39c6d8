# /// script
# dependencies = ["mistralai>=3,<4"]
# ///
"""Mistral's own client."""

import asyncio
import contextlib
import json
import os

from mistralai.client import Mistral
from mistralai.client.errors import SDKError

import qualitrace

OPTIONS = {"server_url": os.environ["LLM"] + "/mistral", "api_key": "k"}
WARRANTY = {"model": "mistral-large", "messages": [{"role": "user", "content": "How long is the warranty of a tent?"}]}
PARAMETERS = {"type": "object", "properties": {"city": {"type": "string"}}}
TOOLS = [{"type": "function", "function": {"name": "get_weather", "parameters": PARAMETERS}}]


@qualitrace.trace(kind="tool")
def get_weather(city):
    return "18 degrees, sunny"


def chat():
    with qualitrace.session("session-1", user="ada"):
        Mistral(**OPTIONS).chat.complete(**WARRANTY)


def stream():
    with Mistral(**OPTIONS).chat.stream(**WARRANTY) as events:
        for _ in events:
            pass


def asynchronous():
    async def ask():
        await Mistral(**OPTIONS).chat.complete_async(**WARRANTY)

    asyncio.run(ask())


def asynchronous_stream():
    async def ask():
        async for _ in await Mistral(**OPTIONS).chat.stream_async(**WARRANTY):
            pass

    asyncio.run(ask())


def tools():
    @qualitrace.trace(kind="agent")
    def agent(question):
        client, messages = Mistral(**OPTIONS), [{"role": "user", "content": question}]
        first = client.chat.complete(model="mistral-large", messages=messages, tools=TOOLS).choices[0].message
        call = first.tool_calls[0]
        result = get_weather(**json.loads(call.function.arguments))
        messages += [first, {"role": "tool", "tool_call_id": call.id, "name": "get_weather", "content": result}]
        return client.chat.complete(model="mistral-large", messages=messages, tools=TOOLS).choices[0].message.content

    agent("What is the weather in Oslo?")


def error():
    with contextlib.suppress(SDKError):
        Mistral(**OPTIONS).chat.complete(**WARRANTY | {"model": "broken"})
