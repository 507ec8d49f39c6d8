# /// script
# dependencies = ["fastmcp>=4,<5", "openai>=3,<4", "{project}[starlette]"]
# ///
"""FastMCP, whose client and server make spans themselves: an agent whose tool is in a server.

`python fastmcp.py` is the server.
"""

import asyncio
import contextlib
import json
import os
import sys

import openai
from fastmcp import Client, FastMCP
from fastmcp.client.transports import StdioTransport
from fastmcp.exceptions import ToolError

import qualitrace

QUESTION = "How long is the warranty of a tent?"
WEATHER = "What is the weather in Oslo?"

server = FastMCP("weather")


@server.tool
def get_weather(city: str) -> str:
    """Tell the weather of a city."""
    if city == "Atlantis":
        raise ToolError("no such city")
    return "18 degrees, sunny"


@server.resource("faq://warranty")
def warranty() -> str:
    return "Tents have a warranty of 24 months."


def ask(messages, tools=openai.omit):
    client = openai.OpenAI(base_url=os.environ["LLM"] + "/v1", api_key="k", max_retries=0)
    return client.chat.completions.create(model="gpt-5-mini", messages=messages, tools=tools).choices[0].message


async def agent(question, client):
    @qualitrace.trace(kind="agent")
    async def helper(question):
        listed = await client.list_tools()
        functions = [{"name": tool.name, "parameters": tool.input_schema} for tool in listed]
        messages = [{"role": "user", "content": question}]
        first = ask(messages, [{"type": "function", "function": function} for function in functions])
        call = first.tool_calls[0]
        result = await client.call_tool(call.function.name, json.loads(call.function.arguments))
        messages += [first, {"role": "tool", "tool_call_id": call.id, "content": result.content[0].text}]
        return ask(messages).content

    return await helper(question)


def connected(target, act):
    async def run():
        async with Client(target) as client:
            await act(client)

    asyncio.run(run())


async def answer(client):
    with qualitrace.session("session-1", user="ada"):
        await agent(WEATHER, client)


def process():
    arguments = ["-P", __file__]  # the folder has modules named like libraries
    return StdioTransport(sys.executable, arguments, env=dict(os.environ), keep_alive=False)


def stdio():
    connected(process(), answer)


def memory():
    connected(server, answer)


def resource():
    async def act(client):
        @qualitrace.trace
        async def answered(question):
            passage = (await client.read_resource("faq://warranty"))[0].text
            return ask([{"role": "user", "content": f"Context: {passage}\n\nQuestion: {question}"}]).content

        await answered(QUESTION)

    connected(server, act)


def tool_error():
    async def act(client):
        @qualitrace.trace(kind="agent")
        async def failing(question):
            with contextlib.suppress(ToolError):
                await client.call_tool("get_weather", {"city": "Atlantis"})

        await failing("What is the weather in Atlantis?")

    connected(process(), act)


if __name__ == "__main__":
    server.run(show_banner=False)
