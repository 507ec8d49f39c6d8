# /// script
# dependencies = [
#   "chromadb>=1.5,<2", "openai>=2,<4", "langchain-chroma>=1.1,<2", "langchain-core>=1.3,<2", "langchain-openai>=1.1,<2",
#   "llama-index-core>=0.14,<0.15", "llama-index-vector-stores-chroma>=0.6,<1", "llama-index-llms-openai-like>=0.5,<1",
#   "llama-index-embeddings-openai>=0.5,<1", "haystack-ai>=3,<4",
#   "chroma-haystack>=4", "{project}[haystack,llama-index]",
# ]
# ///
"""Chroma: its own client, embedded and to a server, and below LangChain, LlamaIndex and Haystack."""

import asyncio
import contextlib
import os
import socket
import subprocess
import tempfile
import time

import chromadb
import httpx
import openai

import qualitrace

OPTIONS = {"base_url": os.environ["LLM"] + "/v1", "api_key": "k", "max_retries": 0}
QUESTION = "How long is the warranty of a tent?"
TEXTS = [
    "Tents have a warranty of 24 months.",
    "Sleeping bags are washed at 30 degrees.",
    "The shop in Oslo opens at 9.",
]
SOURCES = [{"source": f"faq-{n}.md"} for n in range(3)]
IDS = [f"faq-{n}" for n in range(3)]


class Embeddings(chromadb.EmbeddingFunction):
    """Counts words, so that no model is needed."""

    def __init__(self):
        pass

    def __call__(self, input):
        return [[1.0 + text.lower().count(word) for word in ("warranty", "tent", "shop")] for text in input]


def collection(client=None):
    made = (client or chromadb.EphemeralClient()).get_or_create_collection("faq", embedding_function=Embeddings())
    made.add(ids=IDS, documents=TEXTS, metadatas=SOURCES)
    return made


def ask(question, passages):
    prompt = f"Answer from these passages:\n\n{passages}\n\nQuestion: {question}"
    done = openai.OpenAI(**OPTIONS).chat.completions.create(
        model="gpt-5-mini", messages=[{"role": "user", "content": prompt}]
    )
    return done.choices[0].message.content


def rag():
    faq = collection()

    @qualitrace.trace
    def answer(question):
        found = faq.query(query_texts=[question], n_results=2)
        return ask(question, "\n".join(found["documents"][0]))

    with qualitrace.session("session-1", user="ada"):
        answer(QUESTION)


def positional():
    collection().query(None, QUESTION, n_results=1)  # Chroma's order of arguments: vectors first


def by_vector():
    faq = collection()

    @qualitrace.trace
    def answer(question):
        found = faq.query(query_embeddings=Embeddings()([question]), n_results=2)
        return ask(question, "\n".join(found["documents"][0]))

    answer(QUESTION)


def two_queries():
    collection().query(query_texts=["warranty", "shop"], n_results=2, include=["documents", "metadatas", "distances"])


def without_texts():
    collection().query(query_texts=QUESTION, include=["metadatas"])


def retriever_function():
    faq = collection()

    @qualitrace.trace(kind="retriever")
    def search(question):
        return faq.query(query_texts=question, n_results=2)

    @qualitrace.trace
    def answer(question):
        return ask(question, search(question)["documents"][0])

    answer(QUESTION)


def error():
    faq = collection()

    @qualitrace.trace
    def answer(question):
        return faq.query(query_embeddings=[[1.0]])["documents"]

    with contextlib.suppress(Exception):
        answer(QUESTION)


def asynchronous():
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    with tempfile.TemporaryDirectory() as folder:
        server = subprocess.Popen(
            ["chroma", "run", "--host", "127.0.0.1", "--port", str(port), "--path", folder], stdout=subprocess.DEVNULL
        )
        try:
            asyncio.run(_asynchronous(port))
        finally:
            server.terminate()
            server.wait()


async def _asynchronous(port):
    deadline = time.monotonic() + 60
    while True:
        try:
            client = await chromadb.AsyncHttpClient("127.0.0.1", port)
            break
        except httpx.ConnectError:
            assert time.monotonic() < deadline
            await asyncio.sleep(0.1)
    faq = await client.create_collection("faq", embedding_function=Embeddings())
    await faq.add(ids=IDS, documents=TEXTS, metadatas=SOURCES)

    @qualitrace.trace
    async def answer(question):
        found = await faq.query(query_texts=question, n_results=2)
        return ask(question, found["documents"][0])

    await answer(QUESTION)


def _langchain_store():
    from langchain_chroma import Chroma
    from langchain_openai import OpenAIEmbeddings

    store = Chroma("faq-langchain", OpenAIEmbeddings(check_embedding_ctx_length=False, **OPTIONS))
    store.add_texts(TEXTS, SOURCES, IDS)
    return store


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
        found = store.similarity_search_with_score(question, k=2)
        return ask(question, "\n".join(document.page_content for document, _ in found))

    answer(QUESTION)


def haystack():
    from haystack import Document, Pipeline
    from haystack_integrations.components.retrievers.chroma import ChromaEmbeddingRetriever
    from haystack_integrations.document_stores.chroma import ChromaDocumentStore

    store = ChromaDocumentStore("faq-haystack")
    vectors = Embeddings()(TEXTS)
    store.write_documents(
        [Document(id=IDS[n], content=TEXTS[n], meta=SOURCES[n], embedding=vectors[n].tolist()) for n in range(3)]
    )
    pipeline = Pipeline()
    pipeline.add_component("retriever", ChromaEmbeddingRetriever(store, top_k=2))
    pipeline.run({"retriever": {"query_embedding": Embeddings()([QUESTION])[0].tolist()}})


def _llama_index():
    from llama_index.core import StorageContext, VectorStoreIndex
    from llama_index.core.schema import TextNode
    from llama_index.embeddings.openai import OpenAIEmbedding
    from llama_index.llms.openai_like import OpenAILike
    from llama_index.vector_stores.chroma import ChromaVectorStore

    options = {"api_base": OPTIONS["base_url"], "api_key": "k"}
    store = ChromaVectorStore(chroma_collection=chromadb.EphemeralClient().get_or_create_collection("faq-llama-index"))
    nodes = [TextNode(id_=i, text=text, metadata=source) for i, text, source in zip(IDS, TEXTS, SOURCES, strict=True)]
    context = StorageContext.from_defaults(vector_store=store)
    index = VectorStoreIndex(nodes, storage_context=context, embed_model=OpenAIEmbedding(**options))
    return index.as_query_engine(llm=OpenAILike(model="gpt-5-mini", is_chat_model=True, **options), similarity_top_k=2)


def llama_index():
    _llama_index().query(QUESTION)


def llama_index_asynchronous():
    engine = _llama_index()
    asyncio.run(engine.aquery(QUESTION))
