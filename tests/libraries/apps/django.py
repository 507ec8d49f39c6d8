# /// script
# dependencies = ["django>=5,<6", "openai>=3,<4"]
# ///
"""Django, called by a service that did not sample its trace and knows session and user."""

import contextlib
import os
import threading
import urllib.error
import urllib.request
from wsgiref.simple_server import make_server

import openai
from django.conf import settings
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


def ask(path):
    routes = (route("chat", answer), route("stream", parts), route("asynchronous", answer_later))
    settings.configure(ROOT_URLCONF=routes, ALLOWED_HOSTS=["127.0.0.1"], SECRET_KEY="k")
    server = make_server("127.0.0.1", 0, get_wsgi_application())
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
