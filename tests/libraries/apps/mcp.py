# /// script
# dependencies = ["mcp>=2.3,<3", "openai>=3,<4", "{project}[starlette]"]
# ///
"""The Model Context Protocol's SDK: an agent whose tool is in a server, over each transport.

`python mcp.py` is the server: on stdin and stdout or, with a port, by HTTP.
"""

import asyncio
import contextlib
import json
import os
import socket
import subprocess
import sys

import openai
from mcp import Client, ClientSession, MCPError, StdioServerParameters, stdio_client
from mcp.client.streamable_http import streamable_http_client
from mcp.server import Server
from mcp.server.mcpserver import MCPServer
from mcp.types import CallToolResult, ListToolsResult, TextContent, Tool

import qualitrace

QUESTION = "How long is the warranty of a tent?"
WEATHER = "What is the weather in Oslo?"
HERE = [sys.executable, "-P", __file__]  # the folder has modules named like libraries
PARAMETERS = {"type": "object", "properties": {"city": {"type": "string"}}}

server = MCPServer("weather")


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


async def agent(question, client):
    """Answer with the tools of a server; `client` is a `Client` or a `ClientSession`."""

    @qualitrace.trace(kind="agent")
    async def helper(question):
        listed = (await client.list_tools()).tools
        functions = [{"name": tool.name, "parameters": tool.input_schema} for tool in listed]
        tools = [{"type": "function", "function": function} for function in functions]
        messages = [{"role": "user", "content": question}]
        first = ask(messages, tools)
        call = first.tool_calls[0]
        result = await client.call_tool(call.function.name, json.loads(call.function.arguments))
        messages += [first, {"role": "tool", "tool_call_id": call.id, "content": result.content[0].text}]
        return ask(messages, tools).content

    return await helper(question)


async def answer(target):
    async with Client(target) as client:
        with qualitrace.session("session-1", user="ada"):
            await agent(WEATHER, client)


@contextlib.contextmanager
def served():
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    with subprocess.Popen([*HERE, str(port)]) as process:
        try:
            while True:
                with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
                    break
            yield f"http://127.0.0.1:{port}/mcp"
        finally:
            process.terminate()


def stdio():
    asyncio.run(answer(StdioServerParameters(command=HERE[0], args=HERE[1:], env=dict(os.environ))))


def stdio_with_baggage():
    qualitrace.shutdown()
    qualitrace.init(baggage_hosts=["localhost"])
    stdio()


def stdio_session():
    async def run():
        parameters = StdioServerParameters(command=HERE[0], args=HERE[1:], env=dict(os.environ))
        async with stdio_client(parameters) as streams, ClientSession(*streams) as session:
            await session.initialize()
            await agent(WEATHER, session)

    asyncio.run(run())


def http():
    with served() as url:
        asyncio.run(answer(url))


def http_session():
    async def run(url):
        async with streamable_http_client(url) as streams, ClientSession(*streams) as session:
            await session.initialize()
            await agent(WEATHER, session)

    with served() as url:
        asyncio.run(run(url))


def memory():
    asyncio.run(answer(server))


def low_level():
    async def tools(context, given):
        return ListToolsResult(tools=[Tool(name="get_weather", input_schema=PARAMETERS)])

    async def call(context, given):
        return CallToolResult(content=[TextContent(type="text", text=get_weather(**given.arguments))])

    asyncio.run(answer(Server("weather", on_list_tools=tools, on_call_tool=call)))


def resource():
    async def run():
        async with Client(server) as client:

            @qualitrace.trace
            async def answered(question):
                passage = (await client.read_resource("faq://warranty")).contents[0].text
                return ask([{"role": "user", "content": f"Context: {passage}\n\nQuestion: {question}"}]).content

            await answered(QUESTION)

    asyncio.run(run())


def tool_error():
    async def run():
        parameters = StdioServerParameters(command=HERE[0], args=HERE[1:], env=dict(os.environ))
        async with Client(parameters) as client:

            @qualitrace.trace(kind="agent")
            async def failing(question):
                return (await client.call_tool("get_weather", {"city": "Atlantis"})).content[0].text

            await failing("What is the weather in Atlantis?")

    asyncio.run(run())


def unknown_tool():
    async def run():
        async with Client(server) as client:
            with contextlib.suppress(MCPError):
                await client.call_tool("get_tide", {"city": "Oslo"})

    asyncio.run(run())


if __name__ == "__main__":
    if len(sys.argv) > 1:
        server.run("streamable-http", port=int(sys.argv[1]))
    else:
        server.run()
