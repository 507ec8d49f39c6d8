# /// script
# dependencies = ["django>=5,<6", "uvicorn>=0.34,<1", "openai>=3,<4"]
# ///
"""Django, called by a service that did not sample its trace and knows session and user."""

import contextlib
import os
import threading
import time
import urllib.error
import urllib.request
from wsgiref.simple_server import make_server

import openai
import uvicorn
from django.conf import settings
from django.core.asgi import get_asgi_application
from django.core.wsgi import get_wsgi_application
from django.http import HttpResponse, StreamingHttpResponse
from django.urls import path as route

ANSWERS = openai.OpenAI(base_url=os.environ["LLM"] + "/v1", api_key="k", max_retries=0)
ASYNC = openai.AsyncOpenAI(base_url=os.environ["LLM"] + "/v1", api_key="k", max_retries=0)
QUESTION = {"messages": [{"role": "user", "content": "How long is the warranty of a tent?"}]}
CALLER = {
    "traceparent": "00-0af7651916cd43dd8448eb211c80319c-00f067aa0ba902b7-00",
    "baggage": "session.id=session-1,user.id=ada",
}


def answer(request):
    model = request.GET.get("model", "gpt-5-mini")
    return HttpResponse(ANSWERS.chat.completions.create(model=model, **QUESTION).choices[0].message.content)


def parts(request):
    def steps():
        for chunk in ANSWERS.chat.completions.create(
            model="gpt-5-mini", stream=True, stream_options={"include_usage": True}, **QUESTION
        ):
            yield chunk.choices[0].delta.content or "" if chunk.choices else ""

    return StreamingHttpResponse(steps())


async def answer_later(request):
    completion = await ASYNC.chat.completions.create(model="gpt-5-mini", **QUESTION)
    return HttpResponse(completion.choices[0].message.content)


async def parts_later(request):
    async def steps():
        stream = await ASYNC.chat.completions.create(
            model="gpt-5-mini", stream=True, stream_options={"include_usage": True}, **QUESTION
        )
        async for chunk in stream:
            yield chunk.choices[0].delta.content or "" if chunk.choices else ""

    return StreamingHttpResponse(steps())


def configure():
    routes = [("chat", answer), ("stream", parts), ("asynchronous", answer_later), ("asynchronous_stream", parts_later)]
    urls = tuple(route(name, view) for name, view in routes)
    settings.configure(ROOT_URLCONF=urls, ALLOWED_HOSTS=["127.0.0.1"], SECRET_KEY="k")


def get(port, path):
    with contextlib.suppress(urllib.error.HTTPError):
        url = f"http://127.0.0.1:{port}/{path}"
        urllib.request.urlopen(urllib.request.Request(url, headers=CALLER)).read()


def ask(path):
    configure()
    server = make_server("127.0.0.1", 0, get_wsgi_application())
    threading.Thread(target=server.serve_forever).start()
    get(server.server_port, path)
    server.shutdown()


def ask_by_asgi(path):
    configure()
    server = uvicorn.Server(uvicorn.Config(get_asgi_application(), port=0, log_level="critical", lifespan="off"))
    thread = threading.Thread(target=server.run)
    thread.start()
    while not server.started:
        time.sleep(0.01)
    get(server.servers[0].sockets[0].getsockname()[1], path)
    server.should_exit = True
    thread.join()


def chat():
    ask("chat")


def stream():
    ask("stream")


def asynchronous():
    ask_by_asgi("asynchronous")


def asynchronous_stream():
    ask_by_asgi("asynchronous_stream")


def error():
    ask("chat?model=broken")
