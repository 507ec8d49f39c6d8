"""The settings that make a library's spans carry what they lack.

Each comes from the library's own source or documentation: opentelemetry.util.genai, openinference's TraceConfig,
OpenLLMetry's privacy page, the AI SDK's TelemetrySettings, pydantic_ai.InstrumentationSettings,
google.adk.telemetry, haystack.tracing, litellm, agent_framework.observability.
"""

from dataclasses import dataclass, replace

from qualitrace.libraries.library import remedy
from qualitrace.libraries.table import libraries
from qualitrace_collector.state.coverage import Content, Source

_OTEL_CONTENT = (
    "set OTEL_INSTRUMENTATION_GENAI_CAPTURE_MESSAGE_CONTENT=span_only in the application "
    "(`qualitrace run` and `qualitrace.init()` do, unless `capture` is none)"
)
_ANY_CONTENT = (
    "let the library record messages: gen_ai.input.messages and gen_ai.output.messages (OpenTelemetry), "
    "or input.value and output.value (OpenInference)"
)
_ANY_TOKENS = (
    "record gen_ai.usage.input_tokens and gen_ai.usage.output_tokens; OpenAI streams carry them only with "
    'stream_options={"include_usage": True}'
)
_ANY_DOCUMENTS = (
    "record the documents' texts on the retriever's span, as retrieval.documents.N.document.content (OpenInference); "
    "under `qualitrace run` or `qualitrace.init()` LangChain's retrievers do"
)
_OURS = (
    "let qualitrace record content: unset QUALITRACE_CAPTURE and OTEL_INSTRUMENTATION_GENAI_CAPTURE_MESSAGE_CONTENT, "
    "or qualitrace.init(capture='redacted')"
)
_OUR_DOCUMENTS = 'return the documents, with their texts, from the function under @qualitrace.trace(kind="retriever")'
# What is to be said of spans that are missing around a model's call; `library` names what traces a framework.
_RUN = (
    "an agent's run comes in pieces, a trace for each call of the model, because what runs the agent is not traced: "
    '{library}; for a loop of your own put @qualitrace.trace(kind="agent") on the function that runs it'
)
_TOOLS = (
    'the model asks for tools, and no span runs any: {library}; put @qualitrace.trace(kind="tool") on functions of '
    "your own; a tool that only gives the answer its form needs nothing"
)
_RETRIEVER = (
    'prompts carry passages, and no span fetches any: {library}; put @qualitrace.trace(kind="retriever") on a '
    "function of your own"
)
_OUR_LIBRARY = "`qualitrace bootstrap` in the application's environment names the instrumentor that is missing"
_OTHER_LIBRARY = "instrument the framework, too, and not the model's client alone"
_GENAI_FRAMEWORKS = "langchain, openai-agents …"
_FRAMEWORKS = "crewai, langchain, llama-index, openai-agents …"
_ANY_SESSION = (
    "put session.id or gen_ai.conversation.id on the spans: `with qualitrace.session(session_id): ...` around a turn"
)
# Their instrumentations record requests, not content; OpenLLMetry's have names that begin in the same way.
_WEB_FRAMEWORKS = "aiohttp_server asgi django falcon fastapi flask pyramid starlette tornado wsgi".split()


@dataclass(frozen=True, slots=True)
class _Library:
    """The settings of a family of libraries, which is recognised by the names of its scopes or by its dialect."""

    scopes: tuple[str, ...]
    dialects: tuple[str, ...]
    content: str
    documents: str = _ANY_DOCUMENTS
    session: str = _ANY_SESSION
    framework: str = _OTHER_LIBRARY  # what traces the framework that makes the calls


_WEB = _Library(
    tuple(f"opentelemetry.instrumentation.{framework}" for framework in _WEB_FRAMEWORKS),
    (),
    "trace the function that answers with @qualitrace.trace, so that a span has its question and its answer",
)
_LIBRARIES = (
    _Library(("qualitrace",), (), _OURS, documents=_OUR_DOCUMENTS, framework=_OUR_LIBRARY),
    _Library(
        ("openinference.", "@arizeai/openinference"),
        ("openinference",),
        "unset OPENINFERENCE_HIDE_INPUTS, OPENINFERENCE_HIDE_OUTPUTS and the like, or hide_inputs and hide_outputs in "
        "the instrumentor's TraceConfig",
        documents="unset OPENINFERENCE_HIDE_OUTPUTS and OPENINFERENCE_HIDE_OUTPUT_TEXT",
        session="`with openinference.instrumentation.using_session(session_id): ...` around a turn",
        framework=f"start the framework's instrumentor, too (openinference-instrumentation-{_FRAMEWORKS})",
    ),
    _Library(
        ("opentelemetry.instrumentation.genai.", "opentelemetry.util.genai"),
        (),
        _OTEL_CONTENT,
        framework=f"start the framework's instrumentor, too (opentelemetry-instrumentation-genai-{_GENAI_FRAMEWORKS})",
    ),
    _Library(
        ("opentelemetry.instrumentation.openai_v2", "opentelemetry.instrumentation.vertexai"),
        (),
        "set OTEL_INSTRUMENTATION_GENAI_CAPTURE_MESSAGE_CONTENT=true, or span_only together with "
        "OTEL_SEMCONV_STABILITY_OPT_IN=gen_ai_latest_experimental",
    ),
    _WEB,
    _Library(
        ("opentelemetry.instrumentation.", "traceloop"),
        ("openllmetry",),
        "set TRACELOOP_TRACE_CONTENT=true, or unset it (in TypeScript: traceContent of Traceloop.initialize)",
        session='Traceloop.set_association_properties({"session_id": ...}) at the start of a turn',
        framework=f"start the framework's instrumentor, too (opentelemetry-instrumentation-{_FRAMEWORKS})",
    ),
    _Library(
        ("ai",),
        ("vercel",),
        "experimental_telemetry: { isEnabled: true, recordInputs: true, recordOutputs: true } in each call",
        session="experimental_telemetry: { metadata: { sessionId: ... } } in each call",
    ),
    _Library(
        ("pydantic-ai", "pydantic_ai"),
        ("pydantic-ai",),
        "InstrumentationSettings(include_content=True), or logfire.instrument_pydantic_ai(include_content=True)",
    ),
    _Library(("gcp.vertex.agent",), ("adk",), "set ADK_CAPTURE_MESSAGE_CONTENT_IN_SPANS=true"),
    _Library(("haystack",), ("haystack",), "set HAYSTACK_CONTENT_TRACING_ENABLED=true"),
    _Library(("litellm",), ("litellm",), "litellm.turn_off_message_logging = False"),
    _Library(("agent_framework",), (), "set ENABLE_SENSITIVE_DATA=true"),
    _Library((), ("opentelemetry-genai",), _OTEL_CONTENT),
)
_UNKNOWN = _Library((), (), _ANY_CONTENT)


def remedy_for(source: Source, content: Content) -> str:
    """Return what brings `content` into the traces of a source."""
    library = _library(source)
    remedies: dict[Content, str] = {
        "input": library.content,
        "output": library.content,
        "tokens": _ANY_TOKENS,
        "documents": library.documents,
        "session": library.session,
        "run": _RUN.format(library=library.framework),
        "tools": _TOOLS.format(library=library.framework),
        "retriever": _RETRIEVER.format(library=library.framework),
    }
    return remedies[content]


def _library(source: Source) -> _Library:
    by_scope = (library for library in _LIBRARIES if _begins_with(source.scope, library.scopes))
    by_dialect = (library for library in _LIBRARIES if source.dialect in library.dialects)
    library = next(by_scope, None) or next(by_dialect, _UNKNOWN)
    if not source.distro:
        return library
    # qualitrace's SDK starts the instrumentors, and sets for all of them whether to record content.
    is_web = library is _WEB
    return replace(library, content=library.content if is_web else _OURS, session=_ANY_SESSION, framework=_OUR_LIBRARY)


def instrumentor_for(library: str) -> str:
    """Return what traces a library of the SDK's table: under the SDK, and without it."""
    row = libraries().get(library)
    package = row.package.partition(">")[0] if row else ""
    return f"{remedy([library])}" + (f", or {package} where qualitrace's SDK is not used" if package else "")


def _begins_with(scope: str, starts: tuple[str, ...]) -> bool:
    """Return whether the name of a scope is one of these, or begins with one that a dot, slash or hyphen ends."""
    return any(
        scope == start or scope.startswith((start.rstrip(".") + ".", start + "/", start + "-")) for start in starts
    )
