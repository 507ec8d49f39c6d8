"""The table of libraries. Each has one instrumentor, so that a call is one span."""

import importlib.metadata
from collections.abc import Mapping
from functools import cache

from qualitrace.libraries.bedrock import on_first_client
from qualitrace.libraries.langchain import record_documents
from qualitrace.libraries.library import Library
from qualitrace.quiet import logger

ENTRY_POINTS = "qualitrace_libraries"

_OPENINFERENCE_HIDES = {
    "OPENINFERENCE_HIDE_INPUTS": "true",
    "OPENINFERENCE_HIDE_OUTPUTS": "true",
    "OPENINFERENCE_HIDE_EMBEDDINGS_TEXT": "true",
}

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
        versions=">=3,<4",
        instrumentor="opentelemetry.instrumentation.google_genai:GoogleGenAiSdkInstrumentor",
        package="opentelemetry-instrumentation-google-genai>=1.3b0,<2",
        why="OpenTelemetry's own, whose refusal of google-genai 3 is overruled; OpenInference's shows raw requests",
    ),
    Library(
        name="boto3",
        module="botocore.loaders",
        distributions=("boto3",),
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
        instrumentor="openinference.instrumentation.groq:GroqInstrumentor",
        package="openinference-instrumentation-groq>=0.1.33,<0.2",
        why="OpenInference's; OpenTelemetry has none",
        without_content=_OPENINFERENCE_HIDES,
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
        then=record_documents,
    ),
    Library(
        name="starlette",
        module="starlette",
        distributions=("starlette",),
        versions=">=0.13,<2",
        instrumentor="opentelemetry.instrumentation.starlette:StarletteInstrumentor",
        package="opentelemetry-instrumentation-starlette>=0.60b0,<1",
        why="OpenTelemetry's own: a request is the root of its trace",
    ),
    Library(
        name="fastapi",
        module="fastapi",
        distributions=("fastapi",),
        versions=">=0.92,<1",
        instrumentor="opentelemetry.instrumentation.fastapi:FastAPIInstrumentor",
        package="opentelemetry-instrumentation-fastapi>=0.60b0,<1",
        why="OpenTelemetry's own: a request is the root of its trace",
    ),
    Library(
        name="flask",
        module="flask",
        distributions=("flask",),
        versions=">=1,<4",
        instrumentor="opentelemetry.instrumentation.flask:FlaskInstrumentor",
        package="opentelemetry-instrumentation-flask>=0.60b0,<1",
        why="OpenTelemetry's own: a request is the root of its trace",
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
