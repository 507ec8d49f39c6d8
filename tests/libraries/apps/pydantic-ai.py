# /// script
# dependencies = ["pydantic-ai-slim[mcp,openai]>=2,<3", "fastmcp>=4,<5", "{project}[starlette]"]
# ///
"""Pydantic AI."""

import asyncio
import contextlib
import os
import sys
from pathlib import Path

from fastmcp.client.transports import StdioTransport
from pydantic import BaseModel
from pydantic_ai import Agent
from pydantic_ai.exceptions import ModelHTTPError
from pydantic_ai.mcp import MCPToolset
from pydantic_ai.models.openai import OpenAIChatModel
from pydantic_ai.providers.openai import OpenAIProvider

import qualitrace

QUESTION = "How long is the warranty of a tent?"
WEATHER = "What is the weather in Oslo?"


class Answer(BaseModel):
    answer: str


def agent(name="gpt-5-mini", **more):
    provider = OpenAIProvider(base_url=os.environ["LLM"] + "/v1", api_key="k")
    model = OpenAIChatModel(name, provider=provider)
    return Agent(model, instructions="You help customers of a shop.", **more)


def get_weather(city: str) -> str:
    """Tell the weather of a city."""
    return "18 degrees, sunny"


def chat():
    with qualitrace.session("session-1", user="ada"):
        agent().run_sync(QUESTION)


def tools():
    agent(tools=[get_weather]).run_sync(WEATHER)


def mcp():
    program = ["-P", str(Path(__file__).with_name("mcp.py"))]
    server = MCPToolset(StdioTransport(sys.executable, program, env=dict(os.environ)), init_timeout=60)
    agent(toolsets=[server]).run_sync(WEATHER)


def stream():
    async def ask():
        async with agent(tools=[get_weather]).run_stream(WEATHER) as answer:
            async for _ in answer.stream_text():
                pass

    asyncio.run(ask())


def asynchronous():
    asyncio.run(agent().run(QUESTION))


def structured():
    agent(output_type=Answer).run_sync(QUESTION)


def error():
    with contextlib.suppress(ModelHTTPError):
        agent("broken").run_sync(QUESTION)


def conversation():
    with qualitrace.session("session-1", user="ada"):
        first = agent().run_sync("My name is Ada.")
        agent().run_sync("What is my name?", message_history=first.all_messages())
