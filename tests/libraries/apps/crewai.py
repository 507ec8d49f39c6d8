# /// script
# dependencies = ["crewai>=1.15,<2"]
# ///
"""CrewAI: a crew of one agent."""

import asyncio
import contextlib
import os

os.environ["CREWAI_DISABLE_TELEMETRY"] = os.environ["CREWAI_TESTING"] = "true"

from crewai import LLM, Agent, Crew, Task
from crewai.tools import tool

import qualitrace

QUESTION = "How long is the warranty of a tent?"
WEATHER = "What is the weather in Oslo?"


@tool("get_weather")
def get_weather(city: str) -> str:
    """Tell the weather of a city."""
    return "18 degrees, sunny"


def crew(question, model="gpt-5-mini", tools=()):
    llm = LLM(model=f"openai/{model}", base_url=os.environ["LLM"] + "/v1", api_key="k", max_retries=0)
    agent = Agent(role="helper", goal="Help", backstory="You work in a shop.", llm=llm, tools=list(tools))
    task = Task(description=question, expected_output="one sentence", agent=agent)
    return Crew(agents=[agent], tasks=[task])


def chat():
    with qualitrace.session("session-1", user="ada"):
        crew(QUESTION).kickoff()


def inputs():
    crew("{question}").kickoff(inputs={"question": QUESTION})


def tools():
    crew(WEATHER, tools=[get_weather]).kickoff()


def asynchronous():
    asyncio.run(crew(QUESTION).kickoff_async())


def error():
    with contextlib.suppress(Exception):
        crew(QUESTION, "broken").kickoff()
