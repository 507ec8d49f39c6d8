# /// script
# dependencies = [
#   "langchain-pinecone>=0.2.13,<0.3", "langchain-core>=1.3,<2", "langchain-openai>=1.1,<2", "llama-index-core>=0.14,<0.15",
#   "llama-index-vector-stores-pinecone>=0.9,<1", "llama-index-llms-openai-like>=0.5,<1",
#   "llama-index-embeddings-openai>=0.5,<1", "{project}[llama-index]",
# ]
# ///
"""Pinecone's client of an older version, which LangChain and LlamaIndex ask for."""

import asyncio
import os

import openai
from pinecone import Pinecone

import qualitrace

OPTIONS = {"base_url": os.environ["LLM"] + "/v1", "api_key": "k", "max_retries": 0}
QUESTION = "How long is the warranty of a tent?"
VECTOR = [0.1, 0.2, 0.3]


def index():
    return Pinecone(api_key="k").Index(host=os.environ["LLM"])


def rag():
    faq = index()

    @qualitrace.trace
    def answer(question):
        found = faq.query(vector=VECTOR, top_k=2, namespace="faq", include_metadata=True)
        passages = "\n".join(match["metadata"]["text"] for match in found["matches"])
        messages = [{"role": "user", "content": f"Answer from these passages:\n\n{passages}\n\nQuestion: {question}"}]
        done = openai.OpenAI(**OPTIONS).chat.completions.create(model="gpt-5-mini", messages=messages)
        return done.choices[0].message.content

    answer(QUESTION)


def records():
    index().search(namespace="faq", query={"inputs": {"text": QUESTION}, "top_k": 2})


def namespaces():
    index().query_namespaces(vector=VECTOR, namespaces=["faq", "shop"], metric="cosine", top_k=1, include_metadata=True)


def asynchronous():
    async def main():
        async with Pinecone(api_key="k").IndexAsyncio(host=os.environ["LLM"]) as faq:
            await faq.query(vector=VECTOR, top_k=2, namespace="faq", include_metadata=True)

    asyncio.run(main())


def _langchain_chain():
    from langchain_core.prompts import ChatPromptTemplate
    from langchain_core.runnables import RunnablePassthrough
    from langchain_openai import ChatOpenAI, OpenAIEmbeddings
    from langchain_pinecone import PineconeVectorStore

    store = PineconeVectorStore(index(), OpenAIEmbeddings(check_embedding_ctx_length=False, **OPTIONS))
    prompt = ChatPromptTemplate.from_template("Answer from this context:\n{context}\n\nQuestion: {question}")
    given = {"context": store.as_retriever(search_kwargs={"k": 2}), "question": RunnablePassthrough()}
    return given | prompt | ChatOpenAI(model="gpt-5-mini", **OPTIONS)


def langchain():
    _langchain_chain().invoke(QUESTION)


def llama_index():
    from llama_index.core import VectorStoreIndex
    from llama_index.embeddings.openai import OpenAIEmbedding
    from llama_index.llms.openai_like import OpenAILike
    from llama_index.vector_stores.pinecone import PineconeVectorStore

    options = {"api_base": OPTIONS["base_url"], "api_key": "k"}
    store = PineconeVectorStore(pinecone_index=index())
    found = VectorStoreIndex.from_vector_store(store, embed_model=OpenAIEmbedding(**options))
    model = OpenAILike(model="gpt-5-mini", is_chat_model=True, **options)
    found.as_query_engine(llm=model, similarity_top_k=2).query(QUESTION)
