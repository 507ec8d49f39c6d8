# /// script
# dependencies = [
#   "weaviate-client>=4.24,<5", "openai>=2,<4", "langchain-weaviate>=0.0.8,<0.1", "langchain-core>=1.4.7,<2",
#   "langchain-openai>=1.1,<2", "llama-index-core>=0.14,<0.15", "llama-index-vector-stores-weaviate>=1.7,<2",
#   "llama-index-llms-openai-like>=0.5,<1", "llama-index-embeddings-openai>=0.5,<1", "{project}[llama-index]",
# ]
# ///
"""Weaviate: its own client, and below LangChain and LlamaIndex."""

import asyncio
import contextlib
import os
import sys
from pathlib import Path

import openai
import weaviate
from weaviate.classes.query import MetadataQuery
from weaviate.exceptions import WeaviateQueryError

import qualitrace

sys.path.insert(0, str(Path(__file__).parents[2]))
from libraries.providers.weaviate import weaviate as server

OPTIONS = {"base_url": os.environ["LLM"] + "/v1", "api_key": "k", "max_retries": 0}
QUESTION = "How long is the warranty of a tent?"
VECTOR = [0.1, 0.2, 0.3]
NUMBERS = MetadataQuery(distance=True, score=True)


@contextlib.contextmanager
def connected():
    with server() as address, weaviate.connect_to_custom(**address) as client:
        yield client


@contextlib.contextmanager
def collection(name="Faq"):
    with connected() as client:
        yield client.collections.use(name)


def ask(question, passages):
    prompt = f"Answer from these passages:\n\n{passages}\n\nQuestion: {question}"
    done = openai.OpenAI(**OPTIONS).chat.completions.create(
        model="gpt-5-mini", messages=[{"role": "user", "content": prompt}]
    )
    return done.choices[0].message.content


def rag():
    with collection() as faq:

        @qualitrace.trace
        def answer(question):
            found = faq.query.near_text(query=question, limit=2, return_metadata=NUMBERS)
            return ask(question, "\n".join(item.properties["text"] for item in found.objects))

        with qualitrace.session("session-1", user="ada"):
            answer(QUESTION)


def near_vector():
    with collection() as faq:
        faq.query.near_vector(near_vector=VECTOR, limit=2, return_metadata=MetadataQuery(distance=True))


def hybrid():
    with collection() as faq:
        faq.query.hybrid(QUESTION, vector=VECTOR, limit=2, return_metadata=NUMBERS)


def bm25():
    with collection() as faq:
        faq.query.bm25(query=QUESTION, limit=2)


def generate():
    with collection() as faq:
        faq.generate.near_text(query=QUESTION, limit=2, grouped_task="Answer the question.")


def error():
    with collection("Faqs") as faq:

        @qualitrace.trace
        def answer(question):
            return faq.query.near_text(query=question, limit=2).objects

        with contextlib.suppress(WeaviateQueryError):
            answer(QUESTION)


def asynchronous():
    async def main(address):
        async with weaviate.use_async_with_custom(**address) as client:
            faq = client.collections.use("Faq")

            @qualitrace.trace
            async def answer(question):
                found = await faq.query.hybrid(question, limit=2, return_metadata=NUMBERS)
                return ask(question, "\n".join(item.properties["text"] for item in found.objects))

            await answer(QUESTION)

    with server() as address:
        asyncio.run(main(address))


def _langchain_chain(client):
    from langchain_core.prompts import ChatPromptTemplate
    from langchain_core.runnables import RunnablePassthrough
    from langchain_openai import ChatOpenAI, OpenAIEmbeddings
    from langchain_weaviate import WeaviateVectorStore

    embeddings = OpenAIEmbeddings(check_embedding_ctx_length=False, **OPTIONS)
    store = WeaviateVectorStore(client, "Faq", "text", embeddings)
    prompt = ChatPromptTemplate.from_template("Answer from this context:\n{context}\n\nQuestion: {question}")
    given = {"context": store.as_retriever(search_kwargs={"k": 2}), "question": RunnablePassthrough()}
    return given | prompt | ChatOpenAI(model="gpt-5-mini", **OPTIONS)


def langchain():
    with connected() as client:
        _langchain_chain(client).invoke(QUESTION)


def llama_index():
    from llama_index.core import VectorStoreIndex
    from llama_index.embeddings.openai import OpenAIEmbedding
    from llama_index.llms.openai_like import OpenAILike
    from llama_index.vector_stores.weaviate import WeaviateVectorStore

    options = {"api_base": OPTIONS["base_url"], "api_key": "k"}
    with connected() as client:
        store = WeaviateVectorStore(weaviate_client=client, index_name="Faq")
        found = VectorStoreIndex.from_vector_store(store, embed_model=OpenAIEmbedding(**options))
        model = OpenAILike(model="gpt-5-mini", is_chat_model=True, **options)
        found.as_query_engine(llm=model, similarity_top_k=2).query(QUESTION)
