# /// script
# dependencies = ["mcp>=1.30,<2", "openai>=3,<4", "{project}[starlette]"]
# ///
"""The Model Context Protocol's SDK before 2: an agent whose tool is in a server, over each transport.

`python mcp-before-2.py` is the server: on stdin and stdout or, with a port, by HTTP.
"""

import asyncio
import contextlib
import json
import os
import socket
import subprocess
import sys
from datetime import timedelta

import openai
from mcp import ClientSession, McpError, StdioServerParameters, stdio_client, types
from mcp.client.streamable_http import streamable_http_client
from mcp.server.fastmcp import FastMCP
from mcp.server.lowlevel import Server
from mcp.shared.memory import create_connected_server_and_client_session

import qualitrace

QUESTION = "How long is the warranty of a tent?"
WEATHER = "What is the weather in Oslo?"
HERE = [sys.executable, "-P", __file__]  # the folder has modules named like libraries
PARAMETERS = {"type": "object", "properties": {"city": {"type": "string"}}}

server = FastMCP("weather", port=int(sys.argv[1]) if len(sys.argv) > 1 and sys.argv[1].isdigit() else 8000)


@server.tool()
def get_weather(city: str) -> str:
    """Tell the weather of a city."""
    if city == "Atlantis":
        raise ValueError("no such city")
    return "18 degrees, sunny"


@server.resource("faq://warranty")
def warranty() -> str:
    return "Tents have a warranty of 24 months."


def ask(messages, tools=openai.omit):
    client = openai.OpenAI(base_url=os.environ["LLM"] + "/v1", api_key="k", max_retries=0)
    return client.chat.completions.create(model="gpt-5-mini", messages=messages, tools=tools).choices[0].message


async def agent(question, session):
    @qualitrace.trace(kind="agent")
    async def helper(question):
        listed = (await session.list_tools()).tools
        functions = [{"name": tool.name, "parameters": tool.inputSchema} for tool in listed]
        tools = [{"type": "function", "function": function} for function in functions]
        messages = [{"role": "user", "content": question}]
        first = ask(messages, tools)
        call = first.tool_calls[0]
        result = await session.call_tool(call.function.name, json.loads(call.function.arguments))
        messages += [first, {"role": "tool", "tool_call_id": call.id, "content": result.content[0].text}]
        return ask(messages, tools).content

    return await helper(question)


def over(transport, act):
    """Open a session over a transport and pass it to `act`."""

    async def run():
        async with transport as streams, ClientSession(*streams[:2]) as session:
            await session.initialize()
            await act(session)

    asyncio.run(run())


def within(app, act):
    async def run():
        async with create_connected_server_and_client_session(app) as session:
            await act(session)

    asyncio.run(run())


async def answer(session):
    with qualitrace.session("session-1", user="ada"):
        await agent(WEATHER, session)


def process():
    return stdio_client(StdioServerParameters(command=HERE[0], args=HERE[1:], env=dict(os.environ)))


def stdio():
    over(process(), answer)


def stdio_with_baggage():
    qualitrace.shutdown()
    qualitrace.init(baggage_hosts=["localhost"])
    stdio()


def http():
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    with subprocess.Popen([*HERE, str(port)]) as process:
        try:
            while True:
                with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
                    break
            over(streamable_http_client(f"http://127.0.0.1:{port}/mcp"), answer)
        finally:
            process.terminate()


def memory():
    within(server, answer)


def low_level():
    app = Server("weather")

    @app.list_tools()
    async def tools():
        return [types.Tool(name="get_weather", inputSchema=PARAMETERS)]

    @app.call_tool()
    async def call(name, arguments):
        return [types.TextContent(type="text", text=get_weather(**arguments))]

    within(app, answer)


def resource():
    async def act(session):
        @qualitrace.trace
        async def answered(question):
            passage = (await session.read_resource("faq://warranty")).contents[0].text
            return ask([{"role": "user", "content": f"Context: {passage}\n\nQuestion: {question}"}]).content

        await answered(QUESTION)

    within(server, act)


def tool_error():
    async def act(session):
        @qualitrace.trace(kind="agent")
        async def failing(question):
            return (await session.call_tool("get_weather", {"city": "Atlantis"})).content[0].text

        await failing("What is the weather in Atlantis?")

    over(process(), act)


def lost():
    async def act(session):
        @qualitrace.trace(kind="agent")
        async def impatient(question):
            with contextlib.suppress(McpError):
                await session.call_tool("get_weather", {"city": "Oslo"}, read_timeout_seconds=timedelta(0))

        await impatient(WEATHER)

    within(server, act)


if __name__ == "__main__":
    server.run("streamable-http" if len(sys.argv) > 1 else "stdio")
