"""The tracers that are compared, each in an environment of its own."""

from dataclasses import dataclass
from pathlib import Path

PROJECT = Path(__file__).parents[2]
APPLICATION = "openai>=3,<4"


@dataclass(frozen=True)
class Peer:
    """A tracer.

    Attributes:
        distribution: whose version is shown.
        requirements: what pip is told to install beside the application's client.
        environment: name of the environment; several peers may share one.
        start: name of the function in `starts` that starts it.
    """

    name: str
    distribution: str
    requirements: tuple[str, ...]
    environment: str
    start: str

    @classmethod
    def of(cls, name: str, *distributions: str) -> "Peer":
        """Make a peer with an environment and a start of its own name."""
        return cls(name, distributions[0].partition(">")[0], distributions, name, name)


BASELINE = "none"
REFERENCE = "otel"
_EDITABLE = ("--editable", f"{PROJECT}[redact]")
PEERS = {
    peer.name: peer
    for peer in (
        Peer(BASELINE, "openai", (), BASELINE, BASELINE),
        Peer.of(
            REFERENCE,
            "opentelemetry-sdk",
            "opentelemetry-exporter-otlp-proto-http",
            "opentelemetry-instrumentation-genai-openai>=1.3b0",
        ),
        Peer("qualitrace", "qualitrace", _EDITABLE, "qualitrace", "qualitrace"),
        Peer("qualitrace-redact", "qualitrace", _EDITABLE, "qualitrace", "qualitrace_redact"),
        Peer.of("langfuse", "langfuse"),
        Peer.of("openlit", "openlit>=1.45"),
        Peer.of("phoenix", "arize-phoenix-otel", "openinference-instrumentation-openai"),
        Peer.of("logfire", "logfire"),
        Peer.of("traceloop", "traceloop-sdk", "httpx"),
        Peer.of("mlflow", "mlflow-tracing", "opentelemetry-exporter-otlp-proto-http"),
    )
}
