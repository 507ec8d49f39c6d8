# /// script
# dependencies = ["strands-agents[openai]>=1.62,<2"]
# ///
"""Strands Agents."""

import asyncio
import contextlib
import os

from strands import Agent, tool
from strands.models.openai import OpenAIModel

import qualitrace

QUESTION = "How long is the warranty of a tent?"
WEATHER = "What is the weather in Oslo?"


@tool
def get_weather(city: str) -> str:
    """Tell the weather of a city."""
    return "18 degrees, sunny"


def agent(name="gpt-5-mini", **more):
    options = {"base_url": os.environ["LLM"] + "/v1", "api_key": "k", "max_retries": 0}
    return Agent(model=OpenAIModel(client_args=options, model_id=name), callback_handler=None, **more)


def chat():
    with qualitrace.session("session-1", user="ada"):
        agent()(QUESTION)


def tools():
    agent(tools=[get_weather])(WEATHER)


def stream():
    async def ask():
        async for _ in agent(tools=[get_weather]).stream_async(WEATHER):
            pass

    asyncio.run(ask())


def error():
    with contextlib.suppress(Exception):
        agent("broken")(QUESTION)


def conversation():
    helper = agent()
    with qualitrace.session("session-1", user="ada"):
        helper("My name is Ada.")
        helper("What is my name?")
