# /// script
# dependencies = ["anthropic>=2,<3"]
# ///
"""Anthropic's own client."""

import asyncio
import contextlib
import os

import anthropic

import qualitrace

OPTIONS = {"base_url": os.environ["LLM"], "api_key": "k", "max_retries": 0}
WARRANTY = {
    "model": "claude-sonnet-5",
    "max_tokens": 100,
    "messages": [{"role": "user", "content": "How long is the warranty of a tent?"}],
}
SCHEMA = {"type": "object", "properties": {"city": {"type": "string"}}}
TOOLS = [{"name": "get_weather", "description": "The weather in a city.", "input_schema": SCHEMA}]


@qualitrace.trace(kind="tool")
def get_weather(city):
    return "18 degrees, sunny"


def chat():
    with qualitrace.session("session-1", user="ada"):
        anthropic.Anthropic(**OPTIONS).messages.create(**WARRANTY, system="You sell tents.")


def stream():
    for _ in anthropic.Anthropic(**OPTIONS).messages.create(**WARRANTY, stream=True):
        pass


def stream_manager():
    with anthropic.Anthropic(**OPTIONS).messages.stream(**WARRANTY) as events:
        for _ in events.text_stream:
            pass


def asynchronous():
    async def ask():
        await anthropic.AsyncAnthropic(**OPTIONS).messages.create(**WARRANTY)

    asyncio.run(ask())


def asynchronous_stream():
    async def ask():
        async with anthropic.AsyncAnthropic(**OPTIONS).messages.stream(**WARRANTY) as events:
            await events.get_final_message()

    asyncio.run(ask())


def tools():
    @qualitrace.trace(kind="agent")
    def agent(question):
        client, messages = anthropic.Anthropic(**OPTIONS), [{"role": "user", "content": question}]
        given = {"model": "claude-sonnet-5", "max_tokens": 100, "tools": TOOLS}
        first = client.messages.create(**given, messages=messages)
        call = first.content[0]
        result = {"type": "tool_result", "tool_use_id": call.id, "content": get_weather(**call.input)}
        messages += [{"role": "assistant", "content": first.content}, {"role": "user", "content": [result]}]
        return client.messages.create(**given, messages=messages).content[0].text

    agent("What is the weather in Oslo?")


def error():
    with contextlib.suppress(anthropic.InternalServerError):
        anthropic.Anthropic(**OPTIONS).messages.create(**WARRANTY | {"model": "broken"})
