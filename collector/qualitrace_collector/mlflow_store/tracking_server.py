"""MLflow's client of a tracking server that believes an answer only if a tracking server gives such answers.

A proxy, a login page or a captive portal on the way may answer anything. MLflow's own client takes every 200 from
`/v1/traces` as a success, and an empty one as an empty list of traces.
"""

import json
import time
from collections.abc import Sequence
from contextlib import closing
from http import HTTPStatus
from io import BytesIO
from typing import Any
from urllib.parse import urlsplit

from google.protobuf.message import DecodeError, Message
from mlflow.entities import Span, Trace
from mlflow.exceptions import MlflowException, RestException, get_error_code
from mlflow.protos.databricks_pb2 import ErrorCode
from mlflow.store.tracking.rest_store import RestStore
from mlflow.tracing.utils.otlp import MLFLOW_EXPERIMENT_ID_HEADER, OTLP_TRACES_PATH, resource_to_otel_proto
from mlflow.utils.proto_json_utils import parse_dict
from mlflow.utils.rest_utils import http_request
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
    ExportTraceServiceResponse,
)
from requests import Response

from qualitrace_collector.masking import masked
from qualitrace_collector.mlflow_store.unavailable import (
    ResourceShortage,
    StoreUnavailable,
    Unanswered,
    is_shortage,
)

MAX_ANSWER_BYTES = 256 << 20
"""Fifty traces, which are read at once, of 5 MB each."""
MAX_ANSWER_SECONDS = 120.0
READ_BYTES = 1 << 16

_PROTOBUF = "application/x-protobuf"
_REFUSED_DATA = (HTTPStatus.BAD_REQUEST, HTTPStatus.UNPROCESSABLE_ENTITY)
_ACCESS: dict[int, str] = {
    HTTPStatus.UNAUTHORIZED: "check mlflow.token, or the user and password in mlflow.tracking_uri",
    HTTPStatus.FORBIDDEN: "check the rights of mlflow.token, or of the user in mlflow.tracking_uri",
    HTTPStatus.PROXY_AUTHENTICATION_REQUIRED: "a proxy on the way wants credentials of its own",
}


class TooMuchError(Exception):
    """An answer goes beyond its bounds."""


class TrackingServer(RestStore):
    """Raises `StoreUnavailable` for all but MLflow's own answers, and `MlflowException` where MLflow refuses the data.

    A request may have arrived although its answer is lost. So every call that is repeated is idempotent.
    """

    def log_spans(self, location: str, spans: list[Span], tracking_uri: str | None = None) -> list[Span]:
        """Store spans of one resource in the experiment `location`."""
        if not spans:
            return []
        request = ExportTraceServiceRequest()
        resource = getattr(spans[0]._span, "resource", None)  # pyright: ignore[reportPrivateUsage]
        group = request.resource_spans.add(resource=resource_to_otel_proto(resource))
        group.scope_spans.add(spans=[span.to_otel_proto() for span in spans])
        headers = {"Content-Type": _PROTOBUF, MLFLOW_EXPERIMENT_ID_HEADER: location}
        answer = self._ask("POST", OTLP_TRACES_PATH, data=request.SerializeToString(), extra_headers=headers)
        if answer.headers.get("Content-Type", "").partition(";")[0].strip().lower() != _PROTOBUF:
            raise _not_of_mlflow(answer)
        try:
            response = ExportTraceServiceResponse.FromString(answer.content)
        except DecodeError as error:
            raise _not_of_mlflow(answer) from error
        if response.partial_success.rejected_spans:
            raise MlflowException(f"some spans were rejected: {response.partial_success.error_message}")
        return spans

    def batch_get_traces(self, trace_ids: list[str], *scope: Any, **named: Any) -> list[Trace]:
        """Return the traces with their spans, without those that are unknown."""
        traces = super().batch_get_traces(trace_ids, *scope, **named)
        # MLflow leaves out unknown traces; only what it answers for a single one cannot be another's `{}`.
        for trace_id in set(trace_ids) - {trace.info.trace_id for trace in traces}:
            try:
                self.get_trace_info(trace_id)
            except MlflowException:
                continue
            raise StoreUnavailable(f"the tracking server left out trace {trace_id}, which it has")
        return traces

    def _call_endpoint(
        self,
        api: Any,
        json_body: str | None = None,
        endpoint: str | None = None,
        retry_timeout_seconds: int | None = None,
        response_proto: Any = None,
    ) -> Any:
        self._validate_workspace_support_if_specified()
        infos = self._V3_METHOD_TO_INFO if api in self._V3_APIS else self._METHOD_TO_INFO
        path, method = infos[api]
        body = json.loads(json_body) if json_body else None
        answer = self._ask(method, endpoint or path, **{"params" if method == "GET" else "json": body})
        content, message = _json_object(answer), response_proto or api.Response()
        if content is None or not _fits(content, message):
            raise _not_of_mlflow(answer)
        parse_dict(js_dict=content, message=message)
        return message

    def _ask(self, method: str, path: str, **request: Any) -> Response:
        """Return an answer of status 200.

        Raises:
            Unanswered: there is no answer, or one that does not say whether the data are at fault.
            ResourceShortage: the request cannot be sent.
            MlflowException: MLflow refuses the data.
        """
        try:
            answer: Any = http_request(
                self.get_host_creds(), path, method, raise_on_status=False, stream=True, **request
            )
            answer.raw = BytesIO(_content(answer))  # `answer.content` reads it from there
        except Exception as error:  # reset, timeout, cut off, no such host …
            kind = ResourceShortage if is_shortage(error) else Unanswered
            raise kind(masked(str(error))) from error
        if answer.status_code != HTTPStatus.OK:
            raise _refusal(answer) or _not_of_mlflow(answer)
        return answer


def _content(answer: Response) -> bytes:
    """Read all of an answer. The timeout of MLflow's client only bounds the wait for the next byte.

    Raises:
        TooMuchError: it is too large, or takes too long.
    """
    began, content = time.monotonic(), bytearray()
    with closing(answer):
        while some := answer.raw.read1(READ_BYTES, decode_content=True):
            content += some
            if len(content) > MAX_ANSWER_BYTES:
                raise TooMuchError(f"the answer has more than {MAX_ANSWER_BYTES} bytes")
            if time.monotonic() - began > MAX_ANSWER_SECONDS:
                raise TooMuchError(f"the answer takes more than {MAX_ANSWER_SECONDS:g} s")
    return bytes(content)


def _refusal(answer: Response) -> MlflowException | None:
    """Return what MLflow refuses the data with; None if it was not MLflow, or not because of the data."""
    status, content = answer.status_code, _json_object(answer) or {}
    if status in _ACCESS:
        return None
    if status == HTTPStatus.REQUEST_ENTITY_TOO_LARGE:  # by a proxy, too: half of the batch may fit
        return MlflowException(f"answered {status}: the request is too large", get_error_code(status))
    if str(content.get("error_code")) in ErrorCode.DESCRIPTOR.values_by_name:
        return RestException(content)
    # Where FastAPI finds fault with the request itself, for example a header that was lost, `detail` is a list.
    if status in _REFUSED_DATA and isinstance(detail := content.get("detail"), str):
        return MlflowException(f"answered {status}: {detail}", get_error_code(status))
    return None


def _not_of_mlflow(answer: Response) -> Unanswered:
    status, asked = answer.status_code, answer.history[0] if answer.history else answer
    kind = answer.headers.get("Content-Type") or "no content type"
    text = f"{asked.request.method} {urlsplit(asked.url).path} was answered with {status} ({kind})"
    if answer.history:
        text += f" after a redirect to {urlsplit(answer.url).hostname}"
    return Unanswered(f"{text}: {_ACCESS.get(status, 'MLflow does not answer so; is a proxy on the way?')}")


def _json_object(answer: Response) -> dict[str, Any] | None:
    try:
        content = answer.json()
    except ValueError:
        return None
    return content if isinstance(content, dict) else None


def _fits(content: dict[str, Any], message: Message) -> bool:
    """Return whether a JSON object may be the message: it has known fields, and a single thing that was asked for."""
    fields: Sequence[Any] = message.DESCRIPTOR.fields
    names = {field.name for field in fields} | {field.json_name for field in fields}
    if len(fields) == 1 and fields[0].has_presence and not content:
        return False
    return not content or bool(names & content.keys())
