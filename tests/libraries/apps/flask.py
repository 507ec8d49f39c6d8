# /// script
# dependencies = ["flask[async]>=3,<4", "openai>=3,<4"]
# ///
"""Flask, called by a service that did not sample its trace and knows session and user."""

import contextlib
import os
import threading
import urllib.error
import urllib.request

import openai
from flask import Flask, request
from werkzeug.serving import make_server

app = Flask("app")
app.logger.disabled = True  # it shows errors with their traceback
ANSWERS = openai.OpenAI(base_url=os.environ["LLM"] + "/v1", api_key="k", max_retries=0)
ASYNC = openai.AsyncOpenAI(base_url=os.environ["LLM"] + "/v1", api_key="k", max_retries=0)
QUESTION = {"messages": [{"role": "user", "content": "How long is the warranty of a tent?"}]}
CALLER = {
    "traceparent": "00-0af7651916cd43dd8448eb211c80319c-00f067aa0ba902b7-00",
    "baggage": "session.id=session-1,user.id=ada",
}


@app.get("/chat")
def answer():
    model = request.args.get("model", "gpt-5-mini")
    return ANSWERS.chat.completions.create(model=model, **QUESTION).choices[0].message.content


@app.get("/stream")
def parts():
    def steps():
        for chunk in ANSWERS.chat.completions.create(
            model="gpt-5-mini", stream=True, stream_options={"include_usage": True}, **QUESTION
        ):
            yield chunk.choices[0].delta.content or "" if chunk.choices else ""

    return steps()


@app.get("/asynchronous")
async def answer_later():
    return (await ASYNC.chat.completions.create(model="gpt-5-mini", **QUESTION)).choices[0].message.content


def ask(path):
    server = make_server("127.0.0.1", 0, app)
    threading.Thread(target=server.serve_forever).start()
    with contextlib.suppress(urllib.error.HTTPError):
        url = f"http://127.0.0.1:{server.server_port}/{path}"
        urllib.request.urlopen(urllib.request.Request(url, headers=CALLER)).read()
    server.shutdown()


def chat():
    ask("chat")


def stream():
    ask("stream")


def asynchronous():
    ask("asynchronous")


def error():
    ask("chat?model=broken")
