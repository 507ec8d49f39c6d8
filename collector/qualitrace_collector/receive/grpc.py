"""The OTLP/gRPC door (https://opentelemetry.io/docs/specs/otlp/#otlpgrpc)."""

from collections.abc import Awaitable, Callable
from typing import Any

import grpc
import grpc.aio

from qualitrace_collector.receive.decode import decode_protobuf
from qualitrace_collector.receive.errors import RETRY, Refused, RequestError
from qualitrace_collector.receive.intake import Intake
from qualitrace_collector.receive.signals import SIGNALS, Signal

_CODES = {code.value[0]: code for code in grpc.StatusCode}


def grpc_server(intake: Intake, max_bytes: int) -> grpc.aio.Server:
    """Make the server, without a port yet.

    grpc itself answers a message beyond `max_bytes`, as sent or decompressed, with RESOURCE_EXHAUSTED.
    """
    server = grpc.aio.server(
        options=[
            ("grpc.max_receive_message_length", max_bytes),
            ("grpc.so_reuseport", 0),  # two collectors on one port would share the traffic unnoticed
        ]
    )
    for signal in SIGNALS:
        # No deserializer: the bytes are journalled as they came.
        export = grpc.unary_unary_rpc_method_handler(_exporter(intake, signal))
        server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(signal.service, {"Export": export}),))
    return server


def _exporter(intake: Intake, signal: Signal) -> Callable[[bytes, Any], Awaitable[bytes]]:
    async def export(payload: bytes, context: Any) -> bytes:
        try:
            response = await intake.accept(signal, decode_protobuf(signal, payload), payload, "grpc")
        except RequestError as error:
            intake.count_refusal(error)
            await context.abort(_CODES[error.rpc_code], str(error), _details(error))
            raise AssertionError("abort always raises") from error
        return response.SerializeToString()

    return export


def _details(error: RequestError) -> tuple[tuple[str, bytes], ...]:
    """Return the metadata that tells what is wrong, and when to try again; without that clients drop the request.

    OTLP puts both into the status details; OpenTelemetry's Python exporter looks for the delay under a key of its own.
    """
    status = ("grpc-status-details-bin", error.status().SerializeToString())
    if not isinstance(error, Refused):
        return (status,)
    return status, ("google.rpc.retryinfo-bin", RETRY.SerializeToString())
