# /// script
# dependencies = ["openai>=3,<4"]
# ///
"""Azure OpenAI by OpenAI's client."""

import asyncio
import contextlib
import json
import os

import openai

import qualitrace

OPTIONS = {
    "azure_endpoint": os.environ["LLM"],
    "api_key": "k",
    "api_version": "2024-10-21",
    "azure_deployment": "chat",
    "max_retries": 0,
}
WARRANTY = {"model": "gpt-5-mini", "messages": [{"role": "user", "content": "How long is the warranty of a tent?"}]}
PARAMETERS = {"type": "object", "properties": {"city": {"type": "string"}}}
TOOLS = [{"type": "function", "function": {"name": "get_weather", "parameters": PARAMETERS}}]


@qualitrace.trace(kind="tool")
def get_weather(city):
    return "18 degrees, sunny"


def chat():
    with qualitrace.session("session-1", user="ada"):
        openai.AzureOpenAI(**OPTIONS).chat.completions.create(**WARRANTY)


def stream():
    usage = {"include_usage": True}
    for _ in openai.AzureOpenAI(**OPTIONS).chat.completions.create(**WARRANTY, stream=True, stream_options=usage):
        pass


def asynchronous():
    async def ask():
        await openai.AsyncAzureOpenAI(**OPTIONS).chat.completions.create(**WARRANTY)

    asyncio.run(ask())


def tools():
    @qualitrace.trace(kind="agent")
    def agent(question):
        client, messages = openai.AzureOpenAI(**OPTIONS), [{"role": "user", "content": question}]
        given = {"model": "gpt-5-mini", "tools": TOOLS}
        first = client.chat.completions.create(**given, messages=messages).choices[0].message
        call = first.tool_calls[0]
        result = get_weather(**json.loads(call.function.arguments))
        messages += [first, {"role": "tool", "tool_call_id": call.id, "content": result}]
        return client.chat.completions.create(**given, messages=messages).choices[0].message.content

    agent("What is the weather in Oslo?")


def error():
    given = OPTIONS | {"azure_deployment": "broken"}
    with contextlib.suppress(openai.InternalServerError):
        openai.AzureOpenAI(**given).chat.completions.create(**WARRANTY)
