"""The OTLP/gRPC door (https://opentelemetry.io/docs/specs/otlp/#otlpgrpc)."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import grpc
import grpc.aio

from qualitrace_collector.receive.decode import THREAD_BYTES, Decoded, decode_protobuf
from qualitrace_collector.receive.errors import RETRY_INFO, RequestError, TooSlow, Unavailable, Undecodable
from qualitrace_collector.receive.guard import DoorGuard
from qualitrace_collector.receive.intake import Intake
from qualitrace_collector.receive.settings import Otlp, Tls
from qualitrace_collector.receive.signals import SIGNALS, Signal

# Requests under way on one connection; clients hold back further ones.
MAX_STREAMS = 128

_CODES = {code.value[0]: code for code in grpc.StatusCode}


def grpc_server(intake: Intake, guard: DoorGuard, otlp: Otlp, max_connections: int) -> grpc.aio.Server:
    """Make the server, without a port yet."""
    server = grpc.aio.server(
        options=[
            ("grpc.max_receive_message_length", guard.max_bytes),  # as sent and decompressed: RESOURCE_EXHAUSTED
            ("grpc.so_reuseport", 0),  # a second collector on the port must fail, not take half of the traffic
            ("grpc.max_concurrent_streams", MAX_STREAMS),
            ("grpc.max_allowed_incoming_connections", max_connections),
            ("grpc.server_handshake_timeout_ms", _milliseconds(otlp.header_timeout)),
            ("grpc.max_connection_idle_ms", _milliseconds(otlp.idle_timeout)),
            ("grpc.keepalive_time_ms", _milliseconds(otlp.body_timeout)),  # closes what a dead peer left open
            ("grpc.keepalive_timeout_ms", _milliseconds(otlp.header_timeout)),
        ]
    )
    for signal in SIGNALS:
        # Without a deserializer the bytes reach the journal as they came. For clients a stream of one message is the
        # same as a unary call; the server can check the token, and the time, before it reads the message.
        export = grpc.stream_unary_rpc_method_handler(_exporter(intake, signal, guard))
        server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(signal.service, {"Export": export}),))
    return server


def credentials(tls: Tls) -> grpc.ServerCredentials:
    """Return the certificates in grpc's form."""
    ca = tls.client_ca_file.read_bytes() if tls.client_ca_file else None
    pair = (tls.key_file.read_bytes(), tls.cert_file.read_bytes())
    return grpc.ssl_server_credentials([pair], ca, require_client_auth=ca is not None)


def _exporter(intake: Intake, signal: Signal, guard: DoorGuard) -> Callable[[Any, Any], Awaitable[bytes]]:
    async def export(_: Any, context: Any) -> bytes:
        try:
            tenant = guard.tokens.tenant_of(_authorization(context))
            with guard.memory.hold() as add_bytes:
                payload = await _read(context, guard.body_timeout)
                add_bytes(len(payload))
                response = await intake.accept(signal, await _decode(signal, payload), "grpc", tenant)
        except RequestError as error:
            intake.count_refusal(error)
            await context.abort(_CODES[error.rpc_code], str(error), _details(error))
            raise AssertionError("abort always raises") from error
        return response.SerializeToString()

    return export


def _authorization(context: Any) -> str:
    return next((str(value) for key, value in context.invocation_metadata() if key == "authorization"), "")


async def _read(context: Any, seconds: float) -> bytes:
    try:
        async with asyncio.timeout(seconds):
            message = await context.read()
    except TimeoutError as error:
        raise TooSlow(seconds) from error
    if not isinstance(message, bytes):  # grpc.aio.EOF
        raise Undecodable("the call has no message")
    return message


async def _decode(signal: Signal, payload: bytes) -> Decoded:
    if len(payload) < THREAD_BYTES:
        return decode_protobuf(signal, payload)
    return await asyncio.to_thread(decode_protobuf, signal, payload)  # repairing its texts may take long


def _milliseconds(seconds: float) -> int:
    return max(1, round(seconds * 1000))


def _details(error: RequestError) -> tuple[tuple[str, bytes], ...]:
    """Return the metadata with the error, and with the time to try again, without which clients drop the request."""
    status = ("grpc-status-details-bin", error.status().SerializeToString())
    if not isinstance(error, Unavailable):
        return (status,)
    # OTLP has the delay in the status details; OpenTelemetry's Python exporter looks for it under a key of its own.
    return status, ("google.rpc.retryinfo-bin", RETRY_INFO.SerializeToString())
