# /// script
# dependencies = ["fastapi>=0.115,<1", "uvicorn>=0.34,<1", "openai>=3,<4"]
# ///
"""FastAPI, called by a service that did not sample its trace and knows session and user."""

import contextlib
import os
import threading
import time
import urllib.error
import urllib.request

import openai
import uvicorn
from fastapi import FastAPI
from fastapi.responses import PlainTextResponse, StreamingResponse

app = FastAPI()
ANSWERS = openai.OpenAI(base_url=os.environ["LLM"] + "/v1", api_key="k", max_retries=0)
ASYNC = openai.AsyncOpenAI(base_url=os.environ["LLM"] + "/v1", api_key="k", max_retries=0)
QUESTION = {"messages": [{"role": "user", "content": "How long is the warranty of a tent?"}]}
CALLER = {
    "traceparent": "00-0af7651916cd43dd8448eb211c80319c-00f067aa0ba902b7-00",
    "baggage": "session.id=session-1,user.id=ada",
}


@app.get("/chat")
def answer(model: str = "gpt-5-mini"):
    return PlainTextResponse(ANSWERS.chat.completions.create(model=model, **QUESTION).choices[0].message.content)


@app.get("/stream")
def parts():
    def steps():
        for chunk in ANSWERS.chat.completions.create(
            model="gpt-5-mini", stream=True, stream_options={"include_usage": True}, **QUESTION
        ):
            yield chunk.choices[0].delta.content or "" if chunk.choices else ""

    return StreamingResponse(steps(), media_type="text/plain")


@app.get("/asynchronous")
async def answer_later():
    completion = await ASYNC.chat.completions.create(model="gpt-5-mini", **QUESTION)
    return PlainTextResponse(completion.choices[0].message.content)


def ask(path):
    server = uvicorn.Server(uvicorn.Config(app, port=0, log_level="critical"))
    thread = threading.Thread(target=server.run)
    thread.start()
    while not server.started:
        time.sleep(0.01)
    port = server.servers[0].sockets[0].getsockname()[1]
    with contextlib.suppress(urllib.error.HTTPError):
        urllib.request.urlopen(urllib.request.Request(f"http://127.0.0.1:{port}/{path}", headers=CALLER)).read()
    server.should_exit = True
    thread.join()


def chat():
    ask("chat")


def stream():
    ask("stream")


def asynchronous():
    ask("asynchronous")


def error():
    ask("chat?model=broken")
