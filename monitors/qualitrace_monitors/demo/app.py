"""The shop assistant: a RAG application as its developer would write it.

The only line about telemetry is the decorator on the retriever; `qualitrace run` does the rest.
"""

import os
from collections.abc import AsyncIterator

import uvicorn
from openai import AsyncOpenAI
from openai.types.chat import ChatCompletionMessageParam
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, StreamingResponse
from starlette.routing import Route

import qualitrace
from qualitrace_monitors.demo.retrieval import PASSAGES, Index

MODEL = "gpt-5-nano"  # answered for by the demo's own server: a name with a known price
INSTRUCTIONS = "You are the assistant of the outdoor shop Pinewhistle. Use these passages of its handbook:"

model = AsyncOpenAI()
index = Index(list(PASSAGES.values()))


@qualitrace.trace(kind="retriever")
def search_handbook(question: str) -> list[str]:
    """Find the passages of the handbook that may answer the question."""
    return index.search(question)


def prompt(question: str) -> list[ChatCompletionMessageParam]:
    """Write what the model gets to see: passages of the handbook and the question."""
    return [
        {"role": "system", "content": "\n\n".join([INSTRUCTIONS, *search_handbook(question)])},
        {"role": "user", "content": question},
    ]


async def ask(request: Request) -> JSONResponse:
    """Answer a customer's question from the handbook; the trace's id is for those who have an opinion of the answer."""
    question = (await request.json())["question"]
    completion = await model.chat.completions.create(model=MODEL, messages=prompt(question))
    answer = completion.choices[0].message.content
    return JSONResponse({"answer": answer, "trace_id": qualitrace.current_trace_id()})


async def chat(request: Request) -> StreamingResponse:
    """Answer a customer's question from the handbook word by word, as plain text."""
    question = (await request.json())["question"]
    chunks = await model.chat.completions.create(
        model=MODEL, messages=prompt(question), stream=True, stream_options={"include_usage": True}
    )

    async def words() -> AsyncIterator[str]:
        async for chunk in chunks:
            for choice in chunk.choices:
                yield choice.delta.content or ""

    return StreamingResponse(words(), media_type="text/plain")


async def set_retrieval(request: Request) -> JSONResponse:
    """Break or fix the retriever, as a bad deployment and its rollback do."""
    index.is_stale = (await request.json())["broken"]
    return JSONResponse({"broken": index.is_stale})


app = Starlette(
    routes=[
        Route("/ask", ask, methods=["POST"]),
        Route("/chat", chat, methods=["POST"]),
        Route("/admin/retrieval", set_retrieval, methods=["POST"]),
    ]
)

if __name__ == "__main__":
    uvicorn.run(app, host="127.0.0.1", port=int(os.environ["PORT"]), access_log=False)
