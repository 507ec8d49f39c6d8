# /// script
# dependencies = ["ag2[openai]>=1.2,<2"]
# ///
"""AG2: an agent."""

import asyncio
import contextlib
import os

import openai
from ag2 import Agent, tool
from ag2.config import OpenAIConfig

import qualitrace

QUESTION = "How long is the warranty of a tent?"
WEATHER = "What is the weather in Oslo?"


@tool
async def get_weather(city: str) -> str:
    """Tell the weather of a city."""
    return "18 degrees, sunny"


def agent(model="gpt-5-mini", tools=(), **more):
    config = OpenAIConfig(model=model, base_url=os.environ["LLM"] + "/v1", api_key="k", max_retries=0, **more)
    return Agent("helper", prompt="You work in a shop.", config=config, tools=tools)


def chat():
    with qualitrace.session("session-1", user="ada"):
        asyncio.run(agent().ask(QUESTION))


def tools():
    asyncio.run(agent(tools=[get_weather]).ask(WEATHER))


def stream():
    asyncio.run(agent(tools=[get_weather], streaming=True).ask(WEATHER))


def conversation():
    async def talk():
        reply = await agent().ask("My name is Ada.")
        await reply.ask("What is my name?")

    asyncio.run(talk())


def error():
    with contextlib.suppress(openai.InternalServerError):
        asyncio.run(agent("broken").ask(QUESTION))
