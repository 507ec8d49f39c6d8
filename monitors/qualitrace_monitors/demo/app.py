"""The shop assistant: a RAG application as its developer would write it.

The only line about telemetry is the decorator on the retriever; `qualitrace run` does the rest.
"""

import os

import uvicorn
from openai import AsyncOpenAI
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route

import qualitrace
from qualitrace_monitors.demo.retrieval import PASSAGES, Index

INSTRUCTIONS = "You are the assistant of the outdoor shop Pinewhistle. Use these passages of its handbook:"

model = AsyncOpenAI()
index = Index(list(PASSAGES.values()))


@qualitrace.trace(kind="retriever")
def search_handbook(question: str) -> list[str]:
    """Find the passages of the handbook that may answer the question."""
    return index.search(question)


async def ask(request: Request) -> JSONResponse:
    """Answer a customer's question from the handbook."""
    question = (await request.json())["question"]
    passages = search_handbook(question)
    completion = await model.chat.completions.create(
        model="pinewhistle-small",
        messages=[
            {"role": "system", "content": "\n\n".join([INSTRUCTIONS, *passages])},
            {"role": "user", "content": question},
        ],
    )
    return JSONResponse({"answer": completion.choices[0].message.content, "passages": passages})


async def set_retrieval(request: Request) -> JSONResponse:
    """Break or fix the retriever, as a bad deployment and its rollback do."""
    index.is_stale = (await request.json())["broken"]
    return JSONResponse({"broken": index.is_stale})


app = Starlette(
    routes=[
        Route("/ask", ask, methods=["POST"]),
        Route("/admin/retrieval", set_retrieval, methods=["POST"]),
    ]
)

if __name__ == "__main__":
    uvicorn.run(app, host="127.0.0.1", port=int(os.environ["PORT"]), access_log=False)
