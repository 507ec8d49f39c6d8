# /// script
# dependencies = ["google-genai>=3,<4"]
# ///
"""Google's client of Gemini."""

import asyncio
import contextlib
import os

from google import genai
from google.genai import errors, types

import qualitrace

CLIENT = genai.Client(api_key="k", http_options=types.HttpOptions(base_url=os.environ["LLM"]))
WARRANTY = {"model": "gemini-3-flash", "contents": "How long is the warranty of a tent?"}


def get_weather(city: str) -> str:
    """Return the weather in a city."""
    return "18 degrees, sunny"


def chat():
    config = types.GenerateContentConfig(system_instruction="You sell tents.")
    with qualitrace.session("session-1", user="ada"):
        CLIENT.models.generate_content(**WARRANTY, config=config)


def stream():
    for _ in CLIENT.models.generate_content_stream(**WARRANTY):
        pass


def asynchronous():
    async def ask():
        await CLIENT.aio.models.generate_content(**WARRANTY)

    asyncio.run(ask())


def asynchronous_stream():
    async def ask():
        async for _ in await CLIENT.aio.models.generate_content_stream(**WARRANTY):
            pass

    asyncio.run(ask())


def tools():
    traced = qualitrace.trace(kind="tool")(get_weather)
    declaration = types.FunctionDeclaration(
        name="get_weather", parameters=types.Schema(type="OBJECT", properties={"city": types.Schema(type="STRING")})
    )
    given = types.GenerateContentConfig(tools=[types.Tool(function_declarations=[declaration])])

    @qualitrace.trace(kind="agent")
    def agent(question):
        contents = [types.UserContent(question)]
        first = CLIENT.models.generate_content(model="gemini-3-flash", contents=contents, config=given)
        call = first.function_calls[0]
        result = types.Part.from_function_response(name=call.name, response={"result": traced(**call.args)})
        contents += [first.candidates[0].content, types.UserContent([result])]
        return CLIENT.models.generate_content(model="gemini-3-flash", contents=contents, config=given).text

    agent("What is the weather in Oslo?")


def functions():
    given = types.GenerateContentConfig(tools=[get_weather])
    CLIENT.models.generate_content(model="gemini-3-flash", contents="What is the weather in Oslo?", config=given)


def functions_in_chat():
    given = types.GenerateContentConfig(tools=[get_weather])
    CLIENT.chats.create(model="gemini-3-flash", config=given).send_message("What is the weather in Oslo?")


def functions_in_asynchronous_chat():
    async def ask():
        given = types.GenerateContentConfig(tools=[get_weather])
        await CLIENT.aio.chats.create(model="gemini-3-flash", config=given).send_message("What is the weather in Oslo?")

    asyncio.run(ask())


def functions_stream():
    given = types.GenerateContentConfig(tools=[get_weather])
    for _ in CLIENT.models.generate_content_stream(
        model="gemini-3-flash", contents="What is the weather in Oslo?", config=given
    ):
        pass


def functions_asynchronous():
    async def ask():
        given = types.GenerateContentConfig(tools=[get_weather])
        await CLIENT.aio.models.generate_content(
            model="gemini-3-flash", contents="What is the weather in Oslo?", config=given
        )

    asyncio.run(ask())


def functions_asynchronous_stream():
    async def ask():
        given = types.GenerateContentConfig(tools=[get_weather])
        async for _ in await CLIENT.aio.models.generate_content_stream(
            model="gemini-3-flash", contents="What is the weather in Oslo?", config=given
        ):
            pass

    asyncio.run(ask())


def conversation():
    talk = CLIENT.chats.create(model="gemini-3-flash")
    talk.send_message("My name is Ada.")
    talk.send_message("What is my name?")


def error():
    with contextlib.suppress(errors.ServerError):
        CLIENT.models.generate_content(**WARRANTY | {"model": "broken"})
