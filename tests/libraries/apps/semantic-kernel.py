# /// script
# dependencies = ["semantic-kernel>=1.45,<2"]
# ///
"""Semantic Kernel: an agent with a plugin, and a chat service."""

import asyncio
import contextlib
import os

import openai
from semantic_kernel import Kernel
from semantic_kernel.agents import ChatCompletionAgent
from semantic_kernel.connectors.ai.open_ai import OpenAIChatCompletion
from semantic_kernel.exceptions import KernelException
from semantic_kernel.functions import KernelArguments, kernel_function

import qualitrace

QUESTION = "How long is the warranty of a tent?"
WEATHER = "What is the weather in Oslo?"


class Weather:
    @kernel_function(name="get_weather", description="Tell the weather of a city.")
    def get_weather(self, city: str) -> str:
        return "18 degrees, sunny"


def service(model="gpt-5-mini"):
    client = openai.AsyncOpenAI(base_url=os.environ["LLM"] + "/v1", api_key="k", max_retries=0)
    return OpenAIChatCompletion(ai_model_id=model, async_client=client)


def agent(model="gpt-5-mini", **more):
    return ChatCompletionAgent(service=service(model), name="helper", **more)


def chat():
    with qualitrace.session("session-1", user="ada"):
        asyncio.run(agent().get_response(messages=QUESTION))


def tools():
    asyncio.run(agent(plugins=[Weather()]).get_response(messages=WEATHER))


def stream():
    async def ask():
        async for _ in agent(plugins=[Weather()]).invoke_stream(messages=WEATHER):
            pass

    asyncio.run(ask())


def prompt():
    async def ask():
        kernel = Kernel()
        kernel.add_service(service())
        await kernel.invoke_prompt("{{$question}}", arguments=KernelArguments(question=QUESTION))

    asyncio.run(ask())


def error():
    with contextlib.suppress(KernelException):
        asyncio.run(agent("broken").get_response(messages=QUESTION))
