# /// script
# dependencies = ["google-adk>=2.13,<3", "litellm>=1.80,<2", "{project}[fastapi,google-genai,litellm,starlette]"]
# ///
"""Google's Agent Development Kit, with another provider's model."""

import asyncio
import contextlib
import os

from google.adk.agents import Agent
from google.adk.models.lite_llm import LiteLlm
from google.adk.runners import InMemoryRunner
from google.genai import types

QUESTION = "How long is the warranty of a tent?"
WEATHER = "What is the weather in Oslo?"


def get_weather(city: str) -> str:
    """Tell the weather of a city."""
    return "18 degrees, sunny"


def ask(*said, name="gpt-5-mini", tools=()):
    async def run():
        model = LiteLlm(model=f"openai/{name}", api_base=os.environ["LLM"] + "/v1", api_key="k", num_retries=0)
        agent = Agent(name="helper", model=model, instruction="You help customers of a shop.", tools=list(tools))
        runner = InMemoryRunner(agent, app_name="shop")
        session = await runner.session_service.create_session(app_name="shop", user_id="ada", session_id="session-1")
        for text in said:
            message = types.Content(role="user", parts=[types.Part(text=text)])
            async for _ in runner.run_async(user_id="ada", session_id=session.id, new_message=message):
                pass

    asyncio.run(run())


def chat():
    ask(QUESTION)


def tools():
    ask(WEATHER, tools=[get_weather])


def error():
    with contextlib.suppress(Exception):
        ask(QUESTION, name="broken")


def conversation():
    ask("My name is Ada.", "What is my name?")
