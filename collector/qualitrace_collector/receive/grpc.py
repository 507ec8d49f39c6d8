"""The OTLP/gRPC door (https://opentelemetry.io/docs/specs/otlp/#otlpgrpc)."""

from collections.abc import Awaitable, Callable
from typing import Any

import grpc
import grpc.aio
from google.protobuf.any_pb2 import Any as AnyMessage
from google.protobuf.duration_pb2 import Duration
from google.rpc.error_details_pb2 import RetryInfo
from google.rpc.status_pb2 import Status

from qualitrace_collector.receive.decode import MAX_REQUEST_BYTES, decode_protobuf
from qualitrace_collector.receive.errors import RETRY_AFTER_SECONDS, Refused, RequestError
from qualitrace_collector.receive.intake import Intake
from qualitrace_collector.receive.signals import SIGNALS, Signal

_CODES = {code.value[0]: code for code in grpc.StatusCode}


def grpc_server(intake: Intake, max_bytes: int = MAX_REQUEST_BYTES) -> grpc.aio.Server:
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
    """Return the metadata that tells clients when to try again; without it they drop the request.

    OTLP puts it into the status details; OpenTelemetry's Python exporter looks for a key of its own.
    """
    if not isinstance(error, Refused):
        return ()
    retry = RetryInfo(retry_delay=Duration(seconds=RETRY_AFTER_SECONDS))
    detail = AnyMessage()
    detail.Pack(retry)
    status = Status(code=error.rpc_code, message=str(error), details=[detail])
    return (
        ("grpc-status-details-bin", status.SerializeToString()),
        ("google.rpc.retryinfo-bin", retry.SerializeToString()),
    )
