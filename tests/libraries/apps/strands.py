# /// script
# dependencies = ["strands-agents[openai]>=1.62,<2"]
# ///
"""Strands Agents."""

import asyncio
import contextlib
import os
import sys
from pathlib import Path

from mcp import StdioServerParameters, stdio_client
from strands import Agent, tool
from strands.models.openai import OpenAIModel
from strands.tools.mcp import MCPClient

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


def mcp():
    program = str(Path(__file__).with_name("mcp.py"))
    parameters = StdioServerParameters(command=sys.executable, args=["-P", program], env=dict(os.environ))
    with MCPClient(lambda: stdio_client(parameters)) as client:
        agent(tools=client.list_tools_sync())(WEATHER)


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
