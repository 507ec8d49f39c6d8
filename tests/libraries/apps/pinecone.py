# /// script
# dependencies = ["pinecone[grpc,asyncio]>=10,<11", "openai>=3,<4"]
# ///
"""Pinecone's own client."""

import asyncio
import contextlib
import os

import openai
from pinecone import AsyncPinecone, Pinecone, PineconeError, TextQuery

import qualitrace

OPTIONS = {"base_url": os.environ["LLM"] + "/v1", "api_key": "k", "max_retries": 0}
QUESTION = "How long is the warranty of a tent?"
VECTOR = [0.1, 0.2, 0.3]


def index():
    return Pinecone(api_key="k").index(host=os.environ["LLM"])


def ask(question, passages):
    prompt = f"Answer from these passages:\n\n{passages}\n\nQuestion: {question}"
    done = openai.OpenAI(**OPTIONS).chat.completions.create(
        model="gpt-5-mini", messages=[{"role": "user", "content": prompt}]
    )
    return done.choices[0].message.content


def rag():
    faq = index()

    @qualitrace.trace
    def answer(question):
        found = faq.query(vector=VECTOR, top_k=2, namespace="faq", include_metadata=True)
        return ask(question, "\n".join(match.metadata["text"] for match in found.matches))

    with qualitrace.session("session-1", user="ada"):
        answer(QUESTION)


def records():
    faq = index()

    @qualitrace.trace
    def answer(question):
        found = faq.search(namespace="faq", top_k=2, inputs={"text": question})
        return ask(question, "\n".join(hit.fields["text"] for hit in found.result.hits))

    answer(QUESTION)


def records_nested():
    index().search_records(namespace="faq", query={"inputs": {"text": QUESTION}, "top_k": 2})


def documents():
    clauses = [TextQuery(query=QUESTION, fields=["text"])]
    index().documents.search(namespace="faq", top_k=2, score_by=clauses, include_fields=["*"])


def namespaces():
    faq = index()

    @qualitrace.trace
    def answer(question):
        found = faq.query_namespaces(
            vector=VECTOR, namespaces=["faq", "shop"], metric="cosine", top_k=1, include_metadata=True
        )
        return ask(question, found.matches[0].metadata["text"])

    answer(QUESTION)


def without_texts():
    index().query(vector=VECTOR, top_k=2)


def error():
    faq = index()

    @qualitrace.trace
    def answer(question):
        return faq.query(vector=VECTOR, top_k=2, namespace="broken").matches

    with contextlib.suppress(PineconeError):
        answer(QUESTION)


def asynchronous():
    async def main():
        async with AsyncPinecone(api_key="k") as client, await client.index(host=os.environ["LLM"]) as faq:

            @qualitrace.trace
            async def answer(question):
                found = await faq.query(vector=VECTOR, top_k=2, namespace="faq", include_metadata=True)
                return ask(question, "\n".join(match.metadata["text"] for match in found.matches))

            await answer(QUESTION)

    asyncio.run(main())


def asynchronous_records():
    async def main():
        async with AsyncPinecone(api_key="k") as client, await client.index(host=os.environ["LLM"]) as faq:
            await faq.search(namespace="faq", top_k=2, inputs={"text": QUESTION})
            await faq.documents.search(
                namespace="faq", top_k=2, score_by=[{"type": "text", "query": QUESTION, "fields": ["text"]}]
            )

    asyncio.run(main())
