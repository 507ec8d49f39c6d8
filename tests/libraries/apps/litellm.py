# /// script
# dependencies = ["litellm>=1.110,<2"]
# ///
"""LiteLLM, to an OpenAI-like provider and to Anthropic."""

import asyncio
import contextlib
import json
import os

os.environ["LITELLM_LOCAL_MODEL_COST_MAP"] = "True"  # else the import asks GitHub for prices

import litellm

import qualitrace

OPENAI = {"model": "openai/gpt-5-mini", "api_base": os.environ["LLM"] + "/v1", "api_key": "k", "num_retries": 0}
WARRANTY = {**OPENAI, "messages": [{"role": "user", "content": "How long is the warranty of a tent?"}]}
PARAMETERS = {"type": "object", "properties": {"city": {"type": "string"}}}
TOOLS = [{"type": "function", "function": {"name": "get_weather", "parameters": PARAMETERS}}]


@qualitrace.trace(kind="tool")
def get_weather(city):
    return "18 degrees, sunny"


def chat():
    with qualitrace.session("session-1", user="ada"):
        litellm.completion(**WARRANTY)


def other_provider():
    litellm.completion(**WARRANTY | {"model": "anthropic/claude-sonnet-5", "api_base": os.environ["LLM"]})


def stream():
    for _ in litellm.completion(**WARRANTY, stream=True, stream_options={"include_usage": True}):
        pass


def asynchronous():
    async def ask():
        await litellm.acompletion(**WARRANTY)

    asyncio.run(ask())


def asynchronous_stream():
    async def ask():
        given = {"stream": True, "stream_options": {"include_usage": True}}
        async for _ in await litellm.acompletion(**WARRANTY, **given):
            pass

    asyncio.run(ask())


def tools():
    @qualitrace.trace(kind="agent")
    def agent(question):
        messages = [{"role": "user", "content": question}]
        first = litellm.completion(**OPENAI, messages=messages, tools=TOOLS).choices[0].message
        call = first.tool_calls[0]
        result = get_weather(**json.loads(call.function.arguments))
        messages += [first, {"role": "tool", "tool_call_id": call.id, "content": result}]
        return litellm.completion(**OPENAI, messages=messages, tools=TOOLS).choices[0].message.content

    agent("What is the weather in Oslo?")


def error():
    with contextlib.suppress(litellm.InternalServerError):
        litellm.completion(**WARRANTY | {"model": "openai/broken"}, max_retries=0)
