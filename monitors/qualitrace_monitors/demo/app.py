"""The shop assistant: a RAG application as its developer would write it.

Nothing in it speaks of telemetry but the one decorator on the retriever; `qualitrace run` does the rest.
"""

import os

import uvicorn
from openai import AsyncOpenAI
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route

import qualitrace
from qualitrace_monitors.demo.retrieval import Index, load_handbook

INSTRUCTIONS = "You are the assistant of the outdoor shop Pinewhistle. Use these passages of its handbook:"

model = AsyncOpenAI()
index = Index(load_handbook().passages)


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
    """Break the retriever or mend it: what a bad deployment and its rollback do."""
    index.stale = (await request.json())["broken"]
    return JSONResponse({"broken": index.stale})


app = Starlette(
    routes=[
        Route("/ask", ask, methods=["POST"]),
        Route("/admin/retrieval", set_retrieval, methods=["POST"]),
    ]
)

if __name__ == "__main__":
    uvicorn.run(app, host="127.0.0.1", port=int(os.environ["PORT"]), log_level="warning")
