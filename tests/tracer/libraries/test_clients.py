"""Libraries' calls become spans: real clients against a provider on loopback, each in a process of its own."""

from typing import Any

import pytest
from opentelemetry.util.genai.types import ContentCapturingMode

from qualitrace.libraries.table import default_libraries, libraries

pytestmark = pytest.mark.slow

OPENAI = """
import asyncio, os, qualitrace
qualitrace.init()
import openai
question = dict(model="gpt-5-mini", messages=[{"role": "user", "content": "Capital of France?"}])
options = dict(base_url=os.environ["LLM"] + "/v1", api_key="k")
client = openai.OpenAI(**options)
print(client.chat.completions.create(**question).choices[0].message.content)
print("".join(c.choices[0].delta.content for c in client.chat.completions.create(stream=True, **question) if c.choices))
async def main():
    stream = await openai.AsyncOpenAI(**options).chat.completions.create(stream=True, **question)
    print("".join([c.choices[0].delta.content async for c in stream if c.choices]))
asyncio.run(main())
"""

ANTHROPIC = """
import asyncio, os, qualitrace
qualitrace.init()
import anthropic
question = dict(model="claude-sonnet-5", max_tokens=9, messages=[{"role": "user", "content": "Capital of France?"}])
options = dict(base_url=os.environ["LLM"], api_key="k")
client = anthropic.Anthropic(**options)
print(client.messages.create(**question).content[0].text)
with client.messages.stream(**question) as stream:
    print("".join(stream.text_stream))
async def main():
    print((await anthropic.AsyncAnthropic(**options).messages.create(**question)).content[0].text)
asyncio.run(main())
"""

LANGCHAIN = """
import asyncio, os, qualitrace
qualitrace.init()
from langchain_core.documents import Document
from langchain_core.retrievers import BaseRetriever
from langchain_core.runnables import RunnableLambda
from langchain_core.tools import tool
from langchain_openai import ChatOpenAI

class Library(BaseRetriever):
    def _get_relevant_documents(self, query, *, run_manager):
        return [Document(page_content="Paris is the capital.", metadata={"source": "atlas", "score": 0.9}, id="d1")]

@tool
def population(city: str) -> str:
    "Tell a city's population."
    return f"{city}: 2 million"

model = ChatOpenAI(model="gpt-5-mini", base_url=os.environ["LLM"] + "/v1", api_key="k")

@qualitrace.trace
def answer(question):
    found = Library().invoke(question)
    population.invoke({"city": "Paris"})
    return model.invoke(found[0].page_content + question).content

print(answer("Capital of France?"))
print(asyncio.run(Library().ainvoke("Where is Paris?"))[0].page_content)
"""


@pytest.mark.parametrize(("program", "model"), [(OPENAI, "gpt-5-mini"), (ANTHROPIC, "claude-sonnet-5")])
def test_provider_call(programs: Any, collector: Any, llm: str, program: str, model: str) -> None:
    """A plain, a streamed and an async call are one span each, with question, answer and tokens."""
    done = programs.run(program, LLM=llm, QUALITRACE_ENDPOINT=collector.endpoint)
    assert (done.code, done.output.split()) == (0, ["Paris."] * 3), done.errors
    spans = collector.wait(3)
    assert [span.name for span in spans] == [f"chat {model}"] * 3
    for span in spans:
        assert "Capital of France?" in span.attributes["gen_ai.input.messages"]
        assert "Paris." in span.attributes["gen_ai.output.messages"]
        assert span.attributes["gen_ai.usage.input_tokens"] == 7
        assert span.resource["service.name"] == "program"


def test_langchain(programs: Any, collector: Any, llm: str) -> None:
    """A LangChain app's retriever, tool and model calls are in the app's trace, the documents with their text."""
    done = programs.run(LANGCHAIN, LLM=llm, QUALITRACE_ENDPOINT=collector.endpoint)
    assert done.output.splitlines() == ["Paris.", "Paris is the capital."], done.errors
    spans = collector.wait(5)
    root = next(span for span in spans if span.name == "answer")
    inside = [span for span in spans if span.trace_id == root.trace_id]
    operations = sorted(span.attributes.get("gen_ai.operation.name", "") for span in inside)
    assert operations == ["", "chat", "execute_tool", "retrieval"]
    retrievals = [span for span in spans if span.attributes.get("gen_ai.operation.name") == "retrieval"]
    assert [span.attributes["input.value"] for span in retrievals] == ["Capital of France?", "Where is Paris?"]
    for span in retrievals:
        passage = {"page_content": "Paris is the capital.", "metadata": {"source": "atlas", "score": 0.9}}
        assert span.json("output.value") == [{**passage, "id": "d1"}]
        document = {"id": "d1", "content": "Paris is the capital.", "score": 0.9}
        assert span.json("gen_ai.retrieval.documents") == [document]
        assert span.attributes["openinference.span.kind"] == "RETRIEVER"


LANGCHAIN_STORE = """
import asyncio, qualitrace
qualitrace.init()
from langchain_core.embeddings import DeterministicFakeEmbedding
from langchain_core.vectorstores import InMemoryVectorStore

class Store(InMemoryVectorStore):
    def similarity_search(self, query, k=4, **more):
        return super().similarity_search(query, k, **more)

store = Store.from_texts(["Paris is the capital."], DeterministicFakeEmbedding(size=3))
print(store.similarity_search("Capital of France?")[0].page_content)
print(asyncio.run(store.asimilarity_search_with_score("Where is Paris?"))[0][0].page_content)
print(store.as_retriever().invoke("Which city?")[0].page_content)
"""


def test_langchain_store(programs: Any, collector: Any) -> None:
    """A search of a store is one retriever's span: the store's own, or that of the retriever through which it goes."""
    done = programs.run(LANGCHAIN_STORE, QUALITRACE_ENDPOINT=collector.endpoint)
    assert done.output.splitlines() == ["Paris is the capital."] * 3, done.errors
    spans = collector.wait(3)
    assert [(span.name, span.attributes["input.value"]) for span in spans] == [
        ("store.similarity_search", "Capital of France?"),
        ("inmemoryvectorstore.asimilarity_search_with_score", "Where is Paris?"),
        ("retrieval", "Which city?"),
    ]
    for span in spans:
        assert span.attributes["openinference.span.kind"] == "RETRIEVER"
        assert span.json("output.value")[0]["page_content"] == "Paris is the capital."


@pytest.mark.parametrize("program", [OPENAI, ANTHROPIC, LANGCHAIN])
def test_without_content(programs: Any, collector: Any, llm: str, program: str) -> None:
    """With content capture off no span carries a question, an answer or a document, but tokens are there."""
    off = {"LLM": llm, "QUALITRACE_ENDPOINT": collector.endpoint, "QUALITRACE_CAPTURE": "none"}
    assert programs.run(program, **off).code == 0
    spans = collector.wait(3)
    assert any(span.attributes.get("gen_ai.usage.input_tokens") == 7 for span in spans)
    text = repr([span.attributes for span in spans])
    assert "France" not in text
    assert "Paris" not in text


def test_web_request_is_one_trace(programs: Any, collector: Any, llm: str) -> None:
    """A request to a Starlette app and the model call it makes are one trace, rooted in the request."""
    done = programs.run(
        """
        import os, qualitrace
        qualitrace.init()
        import openai
        from starlette.applications import Starlette
        from starlette.responses import PlainTextResponse
        from starlette.routing import Route
        from starlette.testclient import TestClient

        client = openai.OpenAI(base_url=os.environ["LLM"] + "/v1", api_key="k")
        def ask(request):
            message = {"role": "user", "content": "Capital of France?"}
            answer = client.chat.completions.create(model="gpt-5-mini", messages=[message])
            return PlainTextResponse(answer.choices[0].message.content)
        print(TestClient(Starlette(routes=[Route("/ask", ask)])).get("/ask").text)
        """,
        LLM=llm,
        QUALITRACE_ENDPOINT=collector.endpoint,
    )
    assert done.output == "Paris.\n", done.errors
    spans = {span.name: span for span in collector.wait(2)}
    root = next(span for span in spans.values() if not span.parent_id)
    assert root.name == "GET /ask"
    assert spans["chat gpt-5-mini"].trace_id == root.trace_id


def test_nothing_is_imported_for_the_app(programs: Any) -> None:
    """Starting the tracer imports none of the libraries that it traces by default; `requests` sends its spans."""
    done = programs.run(
        f"""
        import sys, qualitrace
        qualitrace.init()
        print([m for m in {[libraries()[name].module for name in default_libraries()]} if m in sys.modules])
        """
    )
    assert done.output == "[]\n", done.errors


def test_library_imported_before_init(programs: Any, collector: Any, llm: str) -> None:
    """A library that the app imported before `init` is traced too."""
    code = "import openai" + OPENAI
    programs.run(code, LLM=llm, QUALITRACE_ENDPOINT=collector.endpoint)
    assert len(collector.wait(3)) == 3


def test_failing_instrumentor(programs: Any, collector: Any, llm: str) -> None:
    """An instrumentor that raises costs one warning, and the app's call goes on untraced."""
    broken = """
import sys, types
name = "opentelemetry.instrumentation.genai.openai"
sys.modules[name] = types.ModuleType(name)
"""
    done = programs.run(broken + OPENAI, LLM=llm, QUALITRACE_ENDPOINT=collector.endpoint)
    assert done.output.split() == ["Paris."] * 3, done.errors
    (warning,) = done.errors.splitlines()
    assert warning.startswith("openai is not traced:")


def test_chosen_libraries_only(programs: Any, collector: Any, llm: str) -> None:
    """With `instrument` set, other libraries are left alone."""
    variables = {"LLM": llm, "QUALITRACE_ENDPOINT": collector.endpoint, "QUALITRACE_INSTRUMENT": "anthropic"}
    done = programs.run(OPENAI + "\nwith qualitrace.span('last'): pass", **variables)
    assert done.code == 0
    assert [span.name for span in collector.wait(1)] == ["last"]


def test_content_modes_are_known() -> None:
    """The mode that we set is one that the instrumentors know."""
    assert {"SPAN_ONLY", "SPAN_AND_EVENT", "NO_CONTENT"} <= {mode.name for mode in ContentCapturingMode}
