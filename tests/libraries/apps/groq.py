# /// script
# dependencies = ["groq>=1,<2"]
# ///
"""Groq's own client."""

import asyncio
import contextlib
import json
import os

import groq

import qualitrace

OPTIONS = {"base_url": os.environ["LLM"], "api_key": "k", "max_retries": 0}
WARRANTY = {"model": "gpt-oss-120b", "messages": [{"role": "user", "content": "How long is the warranty of a tent?"}]}
PARAMETERS = {"type": "object", "properties": {"city": {"type": "string"}}}
TOOLS = [{"type": "function", "function": {"name": "get_weather", "parameters": PARAMETERS}}]


@qualitrace.trace(kind="tool")
def get_weather(city):
    return "18 degrees, sunny"


def chat():
    with qualitrace.session("session-1", user="ada"):
        groq.Groq(**OPTIONS).chat.completions.create(**WARRANTY)


def stream():
    for _ in groq.Groq(**OPTIONS).chat.completions.create(**WARRANTY, stream=True):
        pass


def asynchronous():
    async def ask():
        await groq.AsyncGroq(**OPTIONS).chat.completions.create(**WARRANTY)

    asyncio.run(ask())


def asynchronous_stream():
    async def ask():
        async for _ in await groq.AsyncGroq(**OPTIONS).chat.completions.create(**WARRANTY, stream=True):
            pass

    asyncio.run(ask())


def tools():
    @qualitrace.trace(kind="agent")
    def agent(question):
        client, messages = groq.Groq(**OPTIONS), [{"role": "user", "content": question}]
        given = {"model": "gpt-oss-120b", "tools": TOOLS}
        first = client.chat.completions.create(**given, messages=messages).choices[0].message
        call = first.tool_calls[0]
        result = get_weather(**json.loads(call.function.arguments))
        messages += [first, {"role": "tool", "tool_call_id": call.id, "content": result}]
        return client.chat.completions.create(**given, messages=messages).choices[0].message.content

    agent("What is the weather in Oslo?")


def error():
    with contextlib.suppress(groq.InternalServerError):
        groq.Groq(**OPTIONS).chat.completions.create(**WARRANTY | {"model": "broken"})
