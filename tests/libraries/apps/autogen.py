# /// script
# dependencies = ["autogen-agentchat>=0.7,<0.8", "autogen-ext[openai]>=0.7,<0.8"]
# ///
"""AutoGen's AgentChat."""

import asyncio
import contextlib
import os

import openai
from autogen_agentchat.agents import AssistantAgent
from autogen_agentchat.conditions import MaxMessageTermination
from autogen_agentchat.teams import RoundRobinGroupChat
from autogen_ext.models.openai import OpenAIChatCompletionClient

import qualitrace

QUESTION = "How long is the warranty of a tent?"
WEATHER = "What is the weather in Oslo?"
INFO = {"vision": False, "function_calling": True, "json_output": True, "family": "gpt-5", "structured_output": True}


async def get_weather(city: str) -> str:
    """Tell the weather of a city."""
    return "18 degrees, sunny"


def agent(model="gpt-5-mini", **more):
    client = OpenAIChatCompletionClient(
        model=model, base_url=os.environ["LLM"] + "/v1", api_key="k", max_retries=0, model_info=INFO
    )
    return AssistantAgent("helper", model_client=client, **more)


def chat():
    with qualitrace.session("session-1", user="ada"):
        asyncio.run(agent().run(task=QUESTION))


def tools():
    asyncio.run(agent(tools=[get_weather], reflect_on_tool_use=True).run(task=WEATHER))


def stream():
    async def ask():
        async for _ in agent(tools=[get_weather], reflect_on_tool_use=True).run_stream(task=WEATHER):
            pass

    asyncio.run(ask())


def team():
    async def ask():
        team = RoundRobinGroupChat([agent()], termination_condition=MaxMessageTermination(2))
        await team.run(task=QUESTION)

    asyncio.run(ask())


def error():
    with contextlib.suppress(openai.InternalServerError):
        asyncio.run(agent("broken").run(task=QUESTION))
