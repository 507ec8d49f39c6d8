"""How each tracer is started, as its documentation says, and told to send to a collector on this machine.

Each function imports its tracer, starts it, and returns what sends all that is queued. Defaults stay, but for what says
where to send, and the content of messages, which all record. Only one of the imports is there in each environment.
"""

# pyright: reportMissingImports=false, reportUnknownVariableType=false, reportAttributeAccessIssue=false
# pyright: reportPrivateImportUsage=false

import os
from collections.abc import Callable
from typing import Any

Flush = Callable[[], Any]
SERVICE = "bench"


def none(endpoint: str) -> Flush:
    """Trace nothing."""
    return lambda: None


def otel(endpoint: str) -> Flush:
    """OpenTelemetry's SDK, OTLP exporter and instrumentor of OpenAI."""
    os.environ["OTEL_INSTRUMENTATION_GENAI_CAPTURE_MESSAGE_CONTENT"] = "span_only"
    from opentelemetry import trace
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
    from opentelemetry.instrumentation.genai.openai import OpenAIInstrumentor
    from opentelemetry.sdk.resources import Resource
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import BatchSpanProcessor

    provider = TracerProvider(resource=Resource.create({"service.name": SERVICE}))
    provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter(f"{endpoint}/v1/traces")))
    trace.set_tracer_provider(provider)
    OpenAIInstrumentor().instrument()
    return provider.force_flush


def qualitrace(endpoint: str, **settings: Any) -> Flush:
    """qualitrace with its defaults: secrets are scrubbed."""
    import qualitrace

    qualitrace.init(service_name=SERVICE, endpoint=endpoint, **settings)
    return lambda: qualitrace.flush(60)  # as long as it takes, like the others


def qualitrace_redact(endpoint: str) -> Flush:
    """qualitrace with its six patterns of personal data."""
    return qualitrace(endpoint, redact=("email", "phone", "card", "iban", "ssn", "ip"))


def langfuse(endpoint: str) -> Flush:
    """Langfuse's SDK, and its wrapper of OpenAI's client."""
    os.environ |= {"LANGFUSE_PUBLIC_KEY": "pk-lf-1", "LANGFUSE_SECRET_KEY": "sk-lf-1", "LANGFUSE_BASE_URL": endpoint}
    import langfuse.openai  # pyright: ignore[reportUnusedImport]  # it replaces the client's methods

    return langfuse.get_client().flush


def openlit(endpoint: str) -> Flush:
    """OpenLIT."""
    import openlit
    from opentelemetry import trace

    openlit.init(otlp_endpoint=endpoint, application_name=SERVICE)
    return trace.get_tracer_provider().force_flush


def phoenix(endpoint: str) -> Flush:
    """Phoenix's register, and OpenInference's instrumentor."""
    from openinference.instrumentation.openai import OpenAIInstrumentor
    from phoenix.otel import register

    provider = register(
        endpoint=f"{endpoint}/v1/traces", protocol="http/protobuf", project_name=SERVICE, batch=True, verbose=False
    )
    OpenAIInstrumentor().instrument(tracer_provider=provider)
    return provider.force_flush


def logfire(endpoint: str) -> Flush:
    """Logfire, sending by OTLP to another collector."""
    os.environ["OTEL_EXPORTER_OTLP_ENDPOINT"] = endpoint
    import logfire

    logfire.configure(send_to_logfire=False, console=False, service_name=SERVICE)
    logfire.instrument_openai()
    return logfire.force_flush


def traceloop(endpoint: str) -> Flush:
    """OpenLLMetry by Traceloop's SDK."""
    os.environ["TRACELOOP_TELEMETRY"] = "false"
    from opentelemetry import trace
    from traceloop.sdk import Traceloop

    Traceloop.init(app_name=SERVICE, api_endpoint=endpoint, api_key="k")
    return trace.get_tracer_provider().force_flush


def mlflow(endpoint: str) -> Flush:
    """MLflow's autologging of OpenAI, exported by OTLP."""
    os.environ |= {
        "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": f"{endpoint}/v1/traces",
        "OTEL_EXPORTER_OTLP_TRACES_PROTOCOL": "http/protobuf",
        "MLFLOW_DISABLE_TELEMETRY": "true",
        "MLFLOW_TRACKING_URI": endpoint,  # else it looks for a store of files, which needs more packages
    }
    import mlflow.openai
    from mlflow.tracing.provider import provider

    mlflow.openai.autolog()
    return lambda: provider.get().force_flush()


STARTS: dict[str, Callable[[str], Flush]] = {
    start.__name__: start
    for start in (
        none, otel, qualitrace, qualitrace_redact, langfuse, openlit, phoenix, logfire, traceloop, mlflow,
    )
}  # fmt: skip
