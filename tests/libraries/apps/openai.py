# /// script
# dependencies = ["openai>=3,<4"]
# ///
"""OpenAI's own client."""

import asyncio
import contextlib
import json
import os

import openai

import qualitrace

OPTIONS = {"base_url": os.environ["LLM"] + "/v1", "api_key": "k", "max_retries": 0}
WEATHER = [{"role": "user", "content": "What is the weather in Oslo?"}]
PARAMETERS = {"type": "object", "properties": {"city": {"type": "string"}}}
TOOLS = [{"type": "function", "function": {"name": "get_weather", "parameters": PARAMETERS}}]


@qualitrace.trace(kind="tool")
def get_weather(city):
    return "18 degrees, sunny"


def chat():
    with qualitrace.session("session-1", user="ada"):
        openai.OpenAI(**OPTIONS).chat.completions.create(
            model="gpt-5-mini", messages=[{"role": "user", "content": "How long is the warranty of a tent?"}]
        )


def stream():
    messages = [{"role": "user", "content": "How long is the warranty of a tent?"}]
    options = {"include_usage": True}
    for _ in openai.OpenAI(**OPTIONS).chat.completions.create(
        model="gpt-5-mini", messages=messages, stream=True, stream_options=options
    ):
        pass


def stream_without_usage():
    messages = [{"role": "user", "content": "How long is the warranty of a tent?"}]
    for _ in openai.OpenAI(**OPTIONS).chat.completions.create(model="gpt-5-mini", messages=messages, stream=True):
        pass


def asynchronous():
    async def ask():
        await openai.AsyncOpenAI(**OPTIONS).responses.create(
            model="gpt-5-mini", input="How long is the warranty of a tent?"
        )

    asyncio.run(ask())


def tools():
    @qualitrace.trace(kind="agent")
    def agent(question):
        client, messages = openai.OpenAI(**OPTIONS), [{"role": "user", "content": question}]
        first = client.chat.completions.create(model="gpt-5-mini", messages=messages, tools=TOOLS).choices[0].message
        call = first.tool_calls[0]
        result = get_weather(**json.loads(call.function.arguments))
        messages += [first, {"role": "tool", "tool_call_id": call.id, "content": result}]
        return (
            client.chat.completions.create(model="gpt-5-mini", messages=messages, tools=TOOLS)
            .choices[0]
            .message.content
        )

    agent("What is the weather in Oslo?")


def error():
    with contextlib.suppress(openai.InternalServerError):
        openai.OpenAI(**OPTIONS).chat.completions.create(
            model="broken", messages=[{"role": "user", "content": "How long is the warranty of a tent?"}]
        )
