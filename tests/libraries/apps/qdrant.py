# /// script
# dependencies = [
#   "qdrant-client>=1.20,<2", "openai>=2,<4", "langchain-qdrant>=1.1,<2", "langchain-core>=1.3,<2",
#   "langchain-openai>=1.1,<2", "llama-index-core>=0.14,<0.15", "llama-index-vector-stores-qdrant>=0.10,<1",
#   "llama-index-llms-openai-like>=0.5,<1", "llama-index-embeddings-openai>=0.5,<1", "{project}[llama-index]",
# ]
# ///
"""Qdrant: its own client, in memory and to a server, and below LangChain and LlamaIndex."""

import asyncio
import contextlib
import os

import openai
from qdrant_client import AsyncQdrantClient, QdrantClient, models

import qualitrace

OPTIONS = {"base_url": os.environ["LLM"] + "/v1", "api_key": "k", "max_retries": 0}
QUESTION = "How long is the warranty of a tent?"
TEXTS = [
    "Tents have a warranty of 24 months.",
    "Sleeping bags are washed at 30 degrees.",
    "The shop in Oslo opens at 9.",
]
SIZE = models.VectorParams(size=3, distance=models.Distance.EUCLID)


def vector(text):
    return [1.0 + text.lower().count(word) for word in ("warranty", "tent", "shop")]


def points(payload=lambda n, text: {"text": text, "source": f"faq-{n}.md", "shelf": "camping"}):
    return [models.PointStruct(id=n, vector=vector(text), payload=payload(n, text)) for n, text in enumerate(TEXTS)]


def client(**more):
    made = QdrantClient(":memory:")
    made.create_collection("faq", vectors_config=SIZE)
    made.upsert("faq", points(**more))
    return made


def ask(question, passages):
    prompt = f"Answer from these passages:\n\n{passages}\n\nQuestion: {question}"
    done = openai.OpenAI(**OPTIONS).chat.completions.create(
        model="gpt-5-mini", messages=[{"role": "user", "content": prompt}]
    )
    return done.choices[0].message.content


def rag():
    qdrant = client()

    @qualitrace.trace
    def answer(question):
        found = qdrant.query_points("faq", query=vector(question), limit=2).points
        return ask(question, "\n".join(point.payload["text"] for point in found))

    with qualitrace.session("session-1", user="ada"):
        answer(QUESTION)


def other_payload():
    qdrant = client(payload=lambda n, text: {"entry": text, "metadata": {"source": f"faq-{n}.md"}})
    qdrant.query_points("faq", query=vector(QUESTION), limit=2)


def by_text():
    """The server embeds the text."""
    qdrant = QdrantClient(url=os.environ["LLM"], cloud_inference=True, check_compatibility=False)

    @qualitrace.trace
    def answer(question):
        asked = models.Document(text=question, model="some-model")
        prefetch = [models.Prefetch(query=asked, using=name) for name in ("words", "sense")]
        found = qdrant.query_points(
            "faq", prefetch=prefetch, query=models.FusionQuery(fusion=models.Fusion.RRF), limit=2
        )
        return ask(question, "\n".join(point.payload["text"] for point in found.points))

    answer(QUESTION)


def batch():
    requests = [models.QueryRequest(query=vector(text), limit=1, with_payload=True) for text in ("warranty", "shop")]
    client().query_batch_points("faq", requests)


def groups():
    client().query_points_groups("faq", group_by="shelf", query=vector(QUESTION), limit=1, group_size=2)


def without_texts():
    client().query_points("faq", query=vector(QUESTION), limit=2, with_payload=False)


def retriever_function():
    qdrant = client()

    @qualitrace.trace(kind="retriever")
    def search(question):
        return qdrant.query_points("faq", query=vector(question), limit=2)

    @qualitrace.trace
    def answer(question):
        return ask(question, "\n".join(point.payload["text"] for point in search(question).points))

    answer(QUESTION)


def error():
    qdrant = client()

    @qualitrace.trace
    def answer(question):
        return qdrant.query_points("faqs", query=vector(question)).points

    with contextlib.suppress(ValueError):
        answer(QUESTION)


def asynchronous():
    async def main():
        qdrant = AsyncQdrantClient(":memory:")
        await qdrant.create_collection("faq", vectors_config=SIZE)
        await qdrant.upsert("faq", points())

        @qualitrace.trace
        async def answer(question):
            found = (await qdrant.query_points(collection_name="faq", query=vector(question), limit=2)).points
            return ask(question, "\n".join(point.payload["text"] for point in found))

        await answer(QUESTION)

    asyncio.run(main())


def _langchain_store():
    from langchain_openai import OpenAIEmbeddings
    from langchain_qdrant import QdrantVectorStore

    embeddings = OpenAIEmbeddings(check_embedding_ctx_length=False, **OPTIONS)
    sources = [{"source": f"faq-{n}.md"} for n in range(3)]
    return QdrantVectorStore.from_texts(
        TEXTS, embeddings, sources, [0, 1, 2], location=":memory:", collection_name="faq"
    )


def _langchain_chain():
    from langchain_core.prompts import ChatPromptTemplate
    from langchain_core.runnables import RunnablePassthrough
    from langchain_openai import ChatOpenAI

    prompt = ChatPromptTemplate.from_template("Answer from this context:\n{context}\n\nQuestion: {question}")
    retriever = _langchain_store().as_retriever(search_kwargs={"k": 2})
    return (
        {"context": retriever, "question": RunnablePassthrough()} | prompt | ChatOpenAI(model="gpt-5-mini", **OPTIONS)
    )


def langchain():
    _langchain_chain().invoke(QUESTION)


def langchain_asynchronous():
    asyncio.run(_langchain_chain().ainvoke(QUESTION))


def langchain_store():
    store = _langchain_store()

    @qualitrace.trace
    def answer(question):
        return ask(question, "\n".join(found.page_content for found in store.similarity_search(question, k=2)))

    answer(QUESTION)


def _llama_index(client):
    from llama_index.core import StorageContext, VectorStoreIndex
    from llama_index.core.schema import TextNode
    from llama_index.embeddings.openai import OpenAIEmbedding
    from llama_index.llms.openai_like import OpenAILike
    from llama_index.vector_stores.qdrant import QdrantVectorStore

    options = {"api_base": OPTIONS["base_url"], "api_key": "k"}
    nodes = [TextNode(text=text, metadata={"source": f"faq-{n}.md"}) for n, text in enumerate(TEXTS)]
    context = StorageContext.from_defaults(vector_store=QdrantVectorStore("faq", **client))
    index = VectorStoreIndex(
        nodes, storage_context=context, embed_model=OpenAIEmbedding(**options), use_async="aclient" in client
    )
    return index.as_query_engine(llm=OpenAILike(model="gpt-5-mini", is_chat_model=True, **options), similarity_top_k=2)


def llama_index():
    _llama_index({"client": QdrantClient(":memory:")}).query(QUESTION)
