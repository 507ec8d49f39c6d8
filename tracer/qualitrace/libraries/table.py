"""The table of libraries. Each has one instrumentor, so that a call is one span."""

import importlib.metadata
from collections.abc import Mapping
from functools import cache

from qualitrace.libraries import langchain, web
from qualitrace.libraries.bedrock import on_first_client
from qualitrace.libraries.crewai import record_tools
from qualitrace.libraries.dspy import record_tokens
from qualitrace.libraries.google import record_function_calls, record_user
from qualitrace.libraries.haystack import record_agents
from qualitrace.libraries.library import Library
from qualitrace.quiet import logger

ENTRY_POINTS = "qualitrace_libraries"

_OPENINFERENCE_HIDES = {
    "OPENINFERENCE_HIDE_INPUTS": "true",
    "OPENINFERENCE_HIDE_OUTPUTS": "true",
    "OPENINFERENCE_HIDE_EMBEDDINGS_TEXT": "true",
}
_SEMANTIC_KERNEL = "SEMANTICKERNEL_EXPERIMENTAL_GENAI_ENABLE_OTEL_DIAGNOSTICS"

_TABLE = (
    Library(
        name="openai",
        module="openai",
        distributions=("openai",),
        versions=">=1.109,<4",
        instrumentor="opentelemetry.instrumentation.genai.openai:OpenAIInstrumentor",
        why="OpenTelemetry's own: chat, streams, tools, parse and Responses as one span each, sync and async",
    ),
    Library(
        name="anthropic",
        module="anthropic",
        distributions=("anthropic",),
        versions=">=0.51,<3",
        instrumentor="opentelemetry.instrumentation.genai.anthropic:AnthropicInstrumentor",
        why="OpenTelemetry's own; the spans that anthropic 2 makes itself are off, else each call would be two",
        environ={"ANTHROPIC_OPEN_TELEMETRY": "false"},
    ),
    Library(
        name="google-genai",
        module="google.genai",
        distributions=("google-genai",),
        versions=">=2.34,<4",
        instrumentor="opentelemetry.instrumentation.google_genai:GoogleGenAiSdkInstrumentor",
        package="opentelemetry-instrumentation-google-genai>=1.3b0,<2",
        why="OpenTelemetry's own, whose refusal of google-genai 3 is overruled; OpenInference's shows raw requests",
        then=record_function_calls,
    ),
    Library(
        name="boto3",
        module="botocore.loaders",
        distributions=("boto3", "aiobotocore"),  # not botocore: its own instrumentor may trace other services beside
        versions=">=1.44,<2",
        instrumentor="opentelemetry.instrumentation.genai.bedrock:BedrockInstrumentor",
        package="opentelemetry-instrumentation-genai-bedrock>=1.3b0,<2",
        why="OpenTelemetry's own for Bedrock; the one for all of botocore records no content",
        first_use=on_first_client,
    ),
    Library(
        name="cohere",
        module="cohere",
        distributions=("cohere",),
        versions=">=7,<8",
        instrumentor="openinference.instrumentation.cohere:CohereInstrumentor",
        package="openinference-instrumentation-cohere>=0.1.15,<0.2",
        why="OpenLLMetry's refuses cohere 7; OpenTelemetry has none",
        without_content=_OPENINFERENCE_HIDES,
    ),
    Library(
        name="mistralai",
        module="mistralai.client",
        distributions=("mistralai",),
        versions=">=3,<4",
        instrumentor="openinference.instrumentation.mistralai:MistralAIInstrumentor",
        package="openinference-instrumentation-mistralai>=2.2,<3",
        why="OpenLLMetry's cannot be imported beside mistralai 3; OpenTelemetry has none",
        without_content=_OPENINFERENCE_HIDES,
    ),
    Library(
        name="groq",
        module="groq",
        distributions=("groq",),
        versions=">=1,<2",
        instrumentor="opentelemetry.instrumentation.groq:GroqInstrumentor",
        package="opentelemetry-instrumentation-groq>=0.62,<1",
        why="OpenLLMetry's; OpenInference's records neither text nor tokens of streams",
        without_content={"TRACELOOP_TRACE_CONTENT": "false"},
    ),
    Library(
        name="ollama",
        module="ollama",
        distributions=("ollama",),
        versions=">=0.6,<0.7",
        instrumentor="openinference.instrumentation.ollama:OllamaInstrumentor",
        package="openinference-instrumentation-ollama>=0.1.13,<0.2",
        why="OpenInference's; OpenTelemetry has none",
        without_content=_OPENINFERENCE_HIDES,
    ),
    Library(
        name="litellm",
        module="litellm",
        distributions=("litellm",),
        versions=">=1.110,<2",
        instrumentor="openinference.instrumentation.litellm:LiteLLMInstrumentor",
        package="openinference-instrumentation-litellm>=0.1.51,<0.2",
        why="OpenInference's: all providers alike; OpenTelemetry has none",
        without_content=_OPENINFERENCE_HIDES,
    ),
    Library(
        name="instructor",
        module="instructor",
        distributions=("instructor",),
        versions=">=1.17,<2",
        instrumentor="openinference.instrumentation.instructor:InstructorInstrumentor",
        package="openinference-instrumentation-instructor>=0.1.29,<0.2",
        why="OpenInference's: retries and the parsed object in one trace; OpenTelemetry has none",
        without_content=_OPENINFERENCE_HIDES,
    ),
    Library(
        name="vertexai",
        module="vertexai",
        distributions=("google-cloud-aiplatform",),
        versions=">=2.7,<3",
        instrumentor="openinference.instrumentation.vertexai:VertexAIInstrumentor",
        package="openinference-instrumentation-vertexai>=0.1.29,<0.2",
        why="OpenInference's; OpenTelemetry's is for google-genai",
        without_content=_OPENINFERENCE_HIDES,
    ),
    Library(
        name="langchain",
        module="langchain_core",
        distributions=("langchain-core",),
        versions=">=0.3,<2",
        instrumentor="opentelemetry.instrumentation.genai.langchain:LangChainInstrumentor",
        why="OpenTelemetry's own; OpenInference's does not make its spans current, so that model calls leave the trace",
        then=langchain.complete,
        also_off=("openai", "anthropic"),
    ),
    Library(
        name="llama-index",
        module="llama_index.core",
        distributions=("llama-index-core",),
        versions=">=0.14,<0.15",
        instrumentor="openinference.instrumentation.llama_index:LlamaIndexInstrumentor",
        package="openinference-instrumentation-llama-index>=4.6,<5",
        why="a query is one trace with its passages; OpenTelemetry's makes a trace of the retrieval, without texts",
        without_content=_OPENINFERENCE_HIDES,
    ),
    Library(
        name="openai-agents",
        module="agents",
        distributions=("openai-agents",),
        versions=">=0.24,<0.25",
        instrumentor="opentelemetry.instrumentation.genai.openai_agents:OpenAIAgentsInstrumentor",
        package="opentelemetry-instrumentation-genai-openai-agents>=1.3b0,<2",
        why="OpenTelemetry's own: a run is one trace with its tools; OpenInference's nests duplicates",
    ),
    Library(
        name="pydantic-ai",
        module="pydantic_ai",
        distributions=("pydantic-ai-slim", "pydantic-ai"),
        versions=">=2,<3",
        instrumentor="qualitrace.libraries.natives:pydantic_ai",
        why="its own spans: a run is one trace with its tools",
    ),
    Library(
        name="haystack",
        module="haystack",
        distributions=("haystack-ai",),
        versions=">=3,<4",
        instrumentor="openinference.instrumentation.haystack:HaystackInstrumentor",
        package="openinference-instrumentation-haystack>=0.1.46,<0.2",
        why="a pipeline is one trace with its passages",
        then=record_agents,
        without_content=_OPENINFERENCE_HIDES,
    ),
    Library(
        name="crewai",
        module="crewai",
        distributions=("crewai",),
        versions=">=1.15,<2",
        instrumentor="opentelemetry.instrumentation.crewai:CrewAIInstrumentor",
        package="opentelemetry-instrumentation-crewai>=0.62,<1",
        why="OpenLLMetry's: a crew is one trace; OpenInference's shows answers as JSON",
        then=record_tools,
        without_content={"TRACELOOP_TRACE_CONTENT": "false"},
    ),
    Library(
        name="dspy",
        module="dspy",
        distributions=("dspy",),
        versions=">=3.4,<4",
        instrumentor="openinference.instrumentation.dspy:DSPyInstrumentor",
        package="openinference-instrumentation-dspy>=0.1.48,<0.2",
        why="a program is one trace; OpenTelemetry's makes a trace of each call",
        then=record_tokens,
        without_content=_OPENINFERENCE_HIDES,
    ),
    Library(
        name="smolagents",
        module="smolagents",
        distributions=("smolagents",),
        versions=">=1.26,<2",
        instrumentor="openinference.instrumentation.smolagents:SmolagentsInstrumentor",
        package="openinference-instrumentation-smolagents>=0.1.43,<0.2",
        why="a run is one trace with its tools; OpenTelemetry's has no tools",
        without_content=_OPENINFERENCE_HIDES,
    ),
    Library(
        name="autogen",
        module="autogen_agentchat",
        distributions=("autogen-agentchat",),
        versions=">=0.7,<0.8",
        instrumentor="openinference.instrumentation.autogen_agentchat:AutogenAgentChatInstrumentor",
        package="openinference-instrumentation-autogen-agentchat>=0.1.22,<0.2",
        why="its own spans have no content of tools",
        without_content=_OPENINFERENCE_HIDES,
    ),
    Library(
        name="ag2",
        module="ag2",
        distributions=("ag2",),
        versions=">=1.2,<2",
        instrumentor="qualitrace.libraries.natives:ag2",
        why="its own spans; OpenInference's is for the `autogen` module of AG2 before 1",
    ),
    Library(
        name="guardrails",
        module="guardrails",
        distributions=("guardrails-ai",),
        versions=">=0.11,<0.12",
        instrumentor="qualitrace.libraries.guardrails:trace_guards",
        why="OpenInference's does nothing from 0.5.1 on, and its own spans hold dumps of its objects",
    ),
    Library(
        name="google-adk",
        module="google.adk",
        distributions=("google-adk",),
        versions=">=2.13,<3",
        why="its own spans; OpenInference's beside them counts calls twice",
        then=record_user,
        without_content={"ADK_CAPTURE_MESSAGE_CONTENT_IN_SPANS": "false"},
    ),
    Library(
        name="semantic-kernel",
        module="semantic_kernel",
        distributions=("semantic-kernel",),
        versions=">=1.45,<2",
        why="its own spans, which a variable switches on",
        environ={_SEMANTIC_KERNEL: "true"},
        with_content={f"{_SEMANTIC_KERNEL}_SENSITIVE": "true"},
        without_content={f"{_SEMANTIC_KERNEL}_SENSITIVE": "false"},
    ),
    Library(
        name="strands",
        module="strands",
        distributions=("strands-agents",),
        versions=">=1.62,<2",
        instrumentor="qualitrace.libraries.natives:strands",
        why="its own spans: a run is one trace with its tools",
    ),
    Library(
        name="agent-framework",
        module="agent_framework",
        distributions=("agent-framework-core",),
        versions=">=1.23,<2",
        why="its own spans, which variables switch on",
        environ={"ENABLE_INSTRUMENTATION": "true"},
        with_content={"ENABLE_SENSITIVE_DATA": "true"},
        without_content={"ENABLE_SENSITIVE_DATA": "false"},
    ),
    Library(
        name="mcp",
        module="mcp",
        distributions=("mcp",),
        versions=">=1.30,<3",
        instrumentor="qualitrace.mcp:trace_mcp",
        why="the SDK's own spans, from 2 on, have no content; OpenInference's only joins traces, OpenLLMetry's breaks",
    ),
    Library(
        name="chromadb",
        module="chromadb",
        distributions=("chromadb", "chromadb-client"),
        versions=">=1.5,<2",
        instrumentor="qualitrace.libraries.stores:chroma",
        why="OpenLLMetry's records no query and nothing asynchronous, and a second span below a framework's retriever",
    ),
    Library(
        name="qdrant",
        module="qdrant_client",
        distributions=("qdrant-client",),
        versions=">=1.20,<2",
        instrumentor="qualitrace.libraries.stores:qdrant",
        why="OpenLLMetry's records neither query nor documents",
    ),
    Library(
        name="weaviate",
        module="weaviate",
        distributions=("weaviate-client",),
        versions=">=4.24,<5",
        instrumentor="qualitrace.libraries.stores:weaviate",
        why="OpenLLMetry's records no documents",
    ),
    Library(
        name="pinecone",
        module="pinecone",
        distributions=("pinecone",),
        versions=">=7,!=8.*,!=9.*,<11",
        instrumentor="qualitrace.libraries.stores:pinecone",
        why="OpenLLMetry's does not know the client from version 8 on",
    ),
    Library(
        name="pgvector",
        module="pgvector",
        distributions=("pgvector",),
        versions=">=0.5,<0.6",
        instrumentor="qualitrace.libraries.pgvector:pgvector",
        why="instrumentors of PostgreSQL's clients record statements, not what they find",
    ),
    Library(
        name="starlette",
        module="starlette.applications",
        distributions=("starlette",),
        versions=">=0.38,<2",
        instrumentor="opentelemetry.instrumentation.starlette:StarletteInstrumentor",
        package="opentelemetry-instrumentation-starlette>=0.60b0,<1",
        why="OpenTelemetry's own: a request is the root of its trace",
        first_use=web.STARLETTE.first_use,
        begin=web.STARLETTE.begin,
    ),
    Library(
        name="fastapi",
        module="fastapi.applications",
        distributions=("fastapi",),
        versions=">=0.115,<1",
        instrumentor="opentelemetry.instrumentation.fastapi:FastAPIInstrumentor",
        package="opentelemetry-instrumentation-fastapi>=0.60b0,<1",
        why="OpenTelemetry's own: a request is the root of its trace; FastAPI's own spans are then off",
        first_use=web.FASTAPI.first_use,
        begin=web.FASTAPI.begin,
    ),
    Library(
        name="flask",
        module="flask.app",
        distributions=("flask",),
        versions=">=3,<4",
        instrumentor="opentelemetry.instrumentation.flask:FlaskInstrumentor",
        package="opentelemetry-instrumentation-flask>=0.60b0,<1",
        why="OpenTelemetry's own: a request is the root of its trace",
        first_use=web.FLASK.first_use,
        begin=web.FLASK.begin,
    ),
    Library(
        name="django",
        module="django.core.handlers.base",
        distributions=("django",),
        versions=">=5,<6",
        instrumentor="opentelemetry.instrumentation.django:DjangoInstrumentor",
        package="opentelemetry-instrumentation-django[asgi]>=0.60b0,<1",
        why="OpenTelemetry's own: a request is the root of its trace",
        first_use=web.DJANGO.first_use,
        begin=web.DJANGO.begin,
    ),
    Library(
        name="aiohttp-server",
        module="aiohttp.web_app",
        distributions=("aiohttp",),
        versions=">=3.14,<4",
        instrumentor="opentelemetry.instrumentation.aiohttp_server:AioHttpServerInstrumentor",
        package="opentelemetry-instrumentation-aiohttp-server>=0.60b0,<1",
        why="OpenTelemetry's own: a request is the root of its trace",
        first_use=web.AIOHTTP.first_use,
        begin=web.AIOHTTP.begin,
        shared=True,
    ),
    *(
        Library(
            name=name,
            module=module,
            distributions=distributions,
            versions=versions,
            instrumentor=f"opentelemetry.instrumentation.{name.replace('-', '_')}:{kind}",
            package=f"opentelemetry-instrumentation-{name}>=0.60b0,<1",
            why="OpenTelemetry's own: spans of requests; without them the client carries the trace on all the same",
            shared=True,
            by_default=False,
        )
        for name, module, distributions, versions, kind in (
            ("httpx", "httpx", ("httpx",), ">=0.28,<1", "HTTPXClientInstrumentor"),
            ("requests", "requests", ("requests",), ">=2.34,<3", "RequestsInstrumentor"),
            ("aiohttp-client", "aiohttp.client", ("aiohttp",), ">=3.14,<4", "AioHttpClientInstrumentor"),
            ("urllib", "urllib.request", (), ">=3.11", "URLLibInstrumentor"),
            ("urllib3", "urllib3", ("urllib3",), ">=2,<3", "URLLib3Instrumentor"),
        )
    ),
)


@cache
def libraries() -> Mapping[str, Library]:
    """Return the table by name, with the rows that other distributions add by the entry point group above.

    An entry point names a `Library`. One with the name of a row here takes its place.
    """
    rows = {library.name: library for library in _TABLE}
    for entry in importlib.metadata.entry_points(group=ENTRY_POINTS):
        try:
            library = entry.load()
            if not isinstance(library, Library):
                raise TypeError(f"it is no qualitrace Library but {type(library).__name__}")
        except Exception as error:
            logger.warning("the entry point %s = %s is ignored: %s", entry.name, entry.value, error)
        else:
            rows[library.name] = library
    return rows


def default_libraries() -> tuple[str, ...]:
    """Return the names of the libraries that are traced unless a setting says otherwise."""
    return tuple(library.name for library in libraries().values() if library.by_default)
