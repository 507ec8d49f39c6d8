# /// script
# dependencies = ["openai-agents>=0.24,<0.25", "{project}[starlette]"]
# ///
"""OpenAI's Agents SDK."""

import asyncio
import contextlib
import os
import sys
from pathlib import Path

import openai
from agents import Agent, OpenAIChatCompletionsModel, Runner, SQLiteSession, function_tool, set_default_openai_client
from agents.mcp import MCPServerStdio

import qualitrace

CLIENT = openai.AsyncOpenAI(base_url=os.environ["LLM"] + "/v1", api_key="k", max_retries=0)
QUESTION = "How long is the warranty of a tent?"
WEATHER = "What is the weather in Oslo?"
set_default_openai_client(CLIENT, use_for_tracing=False)


@function_tool
def get_weather(city: str) -> str:
    """Tell the weather of a city."""
    return "18 degrees, sunny"


def agent(model="gpt-5-mini", **more):
    return Agent(name="helper", instructions="You help customers of a shop.", model=model, **more)


def chat():
    with qualitrace.session("session-1", user="ada"):
        Runner.run_sync(agent(), QUESTION)


def tools():
    Runner.run_sync(agent(tools=[get_weather]), WEATHER)


def tools_chat_completions():
    model = OpenAIChatCompletionsModel(model="gpt-5-mini", openai_client=CLIENT)
    Runner.run_sync(agent(model, tools=[get_weather]), WEATHER)


def mcp():
    async def ask():
        program = str(Path(__file__).with_name("mcp.py"))
        parameters = {"command": sys.executable, "args": ["-P", program], "env": dict(os.environ)}
        async with MCPServerStdio(params=parameters, client_session_timeout_seconds=60) as server:
            await Runner.run(agent(mcp_servers=[server]), WEATHER)

    asyncio.run(ask())


def stream():
    async def ask():
        async for _ in Runner.run_streamed(agent(tools=[get_weather]), WEATHER).stream_events():
            pass

    asyncio.run(ask())


def asynchronous():
    asyncio.run(Runner.run(agent(), QUESTION))


def error():
    with contextlib.suppress(openai.InternalServerError):
        Runner.run_sync(agent("broken"), QUESTION)


def conversation():
    async def ask():
        session = SQLiteSession("session-1")
        for said in ("My name is Ada.", "What is my name?"):
            with qualitrace.session("session-1", user="ada"):
                await Runner.run(agent(), said, session=session)

    asyncio.run(ask())
