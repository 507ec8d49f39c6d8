# /// script
# dependencies = ["aiohttp>=3.14,<4", "openai>=3,<4"]
# ///
"""An aiohttp server, called by a service that did not sample its trace and knows session and user."""

import asyncio
import contextlib
import logging
import os
import urllib.error
import urllib.request

import openai
from aiohttp import web

logging.getLogger("aiohttp.server").disabled = True  # it shows errors with their traceback

ANSWERS = openai.OpenAI(base_url=os.environ["LLM"] + "/v1", api_key="k", max_retries=0)
ASYNC = openai.AsyncOpenAI(base_url=os.environ["LLM"] + "/v1", api_key="k", max_retries=0)
QUESTION = {"messages": [{"role": "user", "content": "How long is the warranty of a tent?"}]}
CALLER = {
    "traceparent": "00-0af7651916cd43dd8448eb211c80319c-00f067aa0ba902b7-00",
    "baggage": "session.id=session-1,user.id=ada",
}


async def answer(request):
    model = request.query.get("model", "gpt-5-mini")
    completion = await ASYNC.chat.completions.create(model=model, **QUESTION)
    return web.Response(text=completion.choices[0].message.content)


async def parts(request):
    response = web.StreamResponse()
    await response.prepare(request)
    stream = await ASYNC.chat.completions.create(
        model="gpt-5-mini", stream=True, stream_options={"include_usage": True}, **QUESTION
    )
    async for chunk in stream:
        await response.write((chunk.choices[0].delta.content or "").encode() if chunk.choices else b"")
    return response


async def answer_in_thread(request):
    completion = await asyncio.to_thread(ANSWERS.chat.completions.create, model="gpt-5-mini", **QUESTION)
    return web.Response(text=completion.choices[0].message.content)


def get(url):
    with contextlib.suppress(urllib.error.HTTPError):
        urllib.request.urlopen(urllib.request.Request(url, headers=CALLER)).read()


def ask(path):
    async def run():
        app = web.Application()
        app.add_routes([web.get("/chat", answer), web.get("/stream", parts), web.get("/thread", answer_in_thread)])
        runner = web.AppRunner(app, access_log=None)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        url = f"http://127.0.0.1:{runner.addresses[0][1]}/{path}"
        await asyncio.to_thread(get, url)
        await runner.cleanup()

    asyncio.run(run())


def chat():
    ask("chat")


def stream():
    ask("stream")


def thread():
    ask("thread")


def error():
    ask("chat?model=broken")
