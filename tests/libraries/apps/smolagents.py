# /// script
# dependencies = ["smolagents[openai]>=1.26,<2"]
# ///
"""smolagents: an agent that calls tools."""

import contextlib
import os

from smolagents import OpenAIServerModel, ToolCallingAgent, tool
from smolagents.utils import AgentError

import qualitrace

QUESTION = "How long is the warranty of a tent?"
WEATHER = "What is the weather in Oslo?"


@tool
def get_weather(city: str) -> str:
    """Tell the weather of a city.

    Args:
        city: its name
    """
    return "18 degrees, sunny"


def agent(name="gpt-5-mini", tools=(), **more):
    model = OpenAIServerModel(
        name, api_base=os.environ["LLM"] + "/v1", api_key="k", client_kwargs={"max_retries": 0}, retry=False
    )
    return ToolCallingAgent(tools=list(tools), model=model, verbosity_level=0, **more)


def chat():
    with qualitrace.session("session-1", user="ada"):
        agent().run(QUESTION)


def tools():
    agent(tools=[get_weather]).run(WEATHER)


def stream():
    for _ in agent(tools=[get_weather], stream_outputs=True).run(WEATHER, stream=True):
        pass


def error():
    with contextlib.suppress(AgentError):
        agent("broken").run(QUESTION)
