# /// script
# dependencies = ["instructor>=1.17,<2", "openai>=3,<4"]
# ///
"""Instructor on OpenAI's client."""

import asyncio
import contextlib
import os

import instructor
import openai
from pydantic import BaseModel, ConfigDict

import qualitrace

OPTIONS = {"base_url": os.environ["LLM"] + "/v1", "api_key": "k", "max_retries": 0}
MESSAGES = [{"role": "user", "content": "What is the weather in Oslo?"}]


class Place(BaseModel):
    """What the question is about; the model fills it as the arguments of a tool."""

    model_config = ConfigDict(title="get_weather")
    city: str


WEATHER = {"model": "gpt-5-mini", "response_model": Place, "messages": MESSAGES}


def chat():
    with qualitrace.session("session-1", user="ada"):
        instructor.from_openai(openai.OpenAI(**OPTIONS)).chat.completions.create(**WEATHER)


def stream():
    given = {**WEATHER, "stream_options": {"include_usage": True}}
    for _ in instructor.from_openai(openai.OpenAI(**OPTIONS)).chat.completions.create_partial(**given):
        pass


def asynchronous():
    async def ask():
        await instructor.from_openai(openai.AsyncOpenAI(**OPTIONS)).chat.completions.create(**WEATHER)

    asyncio.run(ask())


def error():
    client = instructor.from_openai(openai.OpenAI(**OPTIONS))
    with contextlib.suppress(instructor.core.InstructorRetryException):
        client.chat.completions.create(**WEATHER | {"model": "broken"}, max_retries=1)
