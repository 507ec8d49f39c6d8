# /// script
# dependencies = [
#   "agent-framework-core>=1.23,<2",
#   "agent-framework-openai>=1.17,<2",
#   "mcp>=2.3,<3",
#   "tenacity>=9,<10",
#   "{project}[starlette]",
# ]
# ///
"""Microsoft's Agent Framework."""

import asyncio
import contextlib
import os
import sys
from pathlib import Path

import openai
from agent_framework import Agent, MCPStdioTool
from agent_framework.openai import OpenAIChatClient, OpenAIChatCompletionClient

import qualitrace

CLIENT = openai.AsyncOpenAI(base_url=os.environ["LLM"] + "/v1", api_key="k", max_retries=0)
QUESTION = "How long is the warranty of a tent?"
WEATHER = "What is the weather in Oslo?"


def get_weather(city: str) -> str:
    """Tell the weather of a city."""
    return "18 degrees, sunny"


def agent(model="gpt-5-mini", kind=OpenAIChatCompletionClient, **more):
    return Agent(kind(model=model, async_client=CLIENT), name="helper", **more)


def chat():
    with qualitrace.session("session-1", user="ada"):
        asyncio.run(agent().run(QUESTION))


def responses():
    asyncio.run(agent(kind=OpenAIChatClient, tools=[get_weather], default_options={"store": False}).run(WEATHER))


def tools():
    asyncio.run(agent(tools=[get_weather]).run(WEATHER))


def mcp():
    async def ask():
        program = ["-P", str(Path(__file__).with_name("mcp.py"))]
        server = MCPStdioTool("weather", sys.executable, args=program, env=dict(os.environ), load_prompts=False)
        async with server:
            await agent(tools=server).run(WEATHER)

    asyncio.run(ask())


def stream():
    async def ask():
        async for _ in agent(tools=[get_weather]).run(WEATHER, stream=True):
            pass

    asyncio.run(ask())


def error():
    with contextlib.suppress(Exception):
        asyncio.run(agent("broken").run(QUESTION))


def conversation():
    async def ask():
        helper = agent()
        session = helper.create_session()
        for said in ("My name is Ada.", "What is my name?"):
            with qualitrace.session("session-1", user="ada"):
                await helper.run(said, session=session)

    asyncio.run(ask())
