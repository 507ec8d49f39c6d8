"""OpenTelemetry's exporter, made to keep its requests small and to count what became of each span.

The original drops a request over 64 MiB as a whole, takes a redirect for success, and does not read which spans
the collector rejected.
"""

import os
from collections.abc import Iterable, Iterator, Sequence
from http import HTTPStatus
from typing import Any, Protocol

import requests
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceResponse
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export import SpanExportResult
from requests.adapters import HTTPAdapter
from requests.utils import get_netrc_auth

from qualitrace.bounds import batches, bound, size
from qualitrace.content import captures_content
from qualitrace.delivery import Tally
from qualitrace.quiet import SparseFilter, logger, never_raises
from qualitrace.reading import RecordedSpan, read_span
from qualitrace.redaction.queries import without_queries
from qualitrace.redaction.redactor import Redactor
from qualitrace.redaction.span_copy import SpanRedactor
from qualitrace.sendable import sendable
from qualitrace.simple_spans import SIMPLE_BYTES, simple_texts

_CREDENTIAL_PROVIDERS = (
    "OTEL_PYTHON_EXPORTER_OTLP_HTTP_CREDENTIAL_PROVIDER",
    "OTEL_PYTHON_EXPORTER_OTLP_HTTP_TRACES_CREDENTIAL_PROVIDER",
)

_log = logger.getChild("exporter")
_log.addFilter(SparseFilter())


class SpanReader(Protocol):
    """Reads spans as they are sent: redacted, and with their huge texts cut."""

    def take(self, spans: Sequence[RecordedSpan]) -> None:
        """Read the spans of an export."""
        ...

    def close(self) -> None:
        """Tracing has ended."""
        ...


class DeliveringExporter(OTLPSpanExporter):
    """Cuts huge texts, splits large batches, and counts in `tally` what became of the spans.

    Attributes:
        sends: whether the spans are sent; if not, they count as sent when the readers have them.

    Args:
        tally: the counts of this process.
        readers: get the spans, too; more may come later.
        options: those of OpenTelemetry's exporter.
    """

    def __init__(self, tally: Tally, readers: Sequence[SpanReader], **options: Any) -> None:
        self._answers = _Session()
        if not any(map(os.environ.get, _CREDENTIAL_PROVIDERS)):  # which bring a session of their own
            options["session"] = self._answers
        super().__init__(**options)
        self._tally = tally
        self.sends = True
        self._readers = readers

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        """Send the spans, in several requests if need be."""
        self._tally.start(len(spans))
        prepared: Iterable[tuple[ReadableSpan, int]] = self._prepared(spans)
        if self._readers:
            prepared = list(prepared)
            self._show([span for span, _ in prepared])
        if not self.sends:
            self._tally.sent(len(list(prepared)))
            return SpanExportResult.SUCCESS
        results = [self._send(batch) for batch in batches(prepared)]
        return SpanExportResult.SUCCESS if all(results) else SpanExportResult.FAILURE

    @never_raises
    def _show(self, spans: Sequence[ReadableSpan]) -> None:
        found = [read_span(span) for span in spans]
        for reader in self._readers:
            reader.take(found)

    def leaves(self, span: ReadableSpan, texts: list[str]) -> bool:
        """Return whether it is sure that `prepare` would not change a span in which only these texts could be."""
        return True

    def prepare(self, span: ReadableSpan) -> ReadableSpan:
        """Return what is sent of a span: here, all but the middle of huge texts."""
        return bound(span)

    def _prepared(self, spans: Iterable[ReadableSpan]) -> Iterator[tuple[ReadableSpan, int]]:
        """Yield what is sent, and the most bytes that it takes."""
        for span in spans:
            try:
                texts = simple_texts(span)
                if texts is not None and self.leaves(span, texts):
                    prepared, most = span, SIMPLE_BYTES
                else:
                    prepared = self.prepare(sendable(span))
                    most = size(prepared)
            except Exception as error:
                self._tally.dropped(1, f"could not be encoded ({type(error).__name__})")
            else:
                yield prepared, most

    def _send(self, spans: Sequence[ReadableSpan]) -> bool:
        self._answers.forget()
        result = super().export(spans)
        code, why = self._answers.code, self._answers.why
        if code == HTTPStatus.REQUEST_ENTITY_TOO_LARGE and len(spans) > 1:
            middle = len(spans) // 2
            return all([self._send(spans[:middle]), self._send(spans[middle:])])
        if code is not None and code >= 300:
            self._tally.refused(len(spans), f"were answered {why}")
            if code < 400:  # which the original takes for success, so that it says nothing
                _log.warning("%d spans are lost: the collector answers %s", len(spans), why)
        elif result is not SpanExportResult.SUCCESS:
            self._tally.dropped(len(spans), f"got no answer ({why or 'they could not be encoded'})")
        else:
            self._count_taken(len(spans))
            return True
        return False

    def _count_taken(self, count: int) -> None:
        rejected, message = self._answers.rejected()
        if rejected:
            self._tally.refused(min(rejected, count), f"were rejected: {message}")
            _log.warning("the collector rejected %d of %d spans: %s", rejected, count, message)
        self._tally.sent(max(0, count - rejected))


class RedactingExporter(DeliveringExporter):
    """Redacts spans in the exporting thread, on copies: other exporters of the app get them as they are.

    Args:
        redact: is asked for each text.
        tally, readers, options: as above.
    """

    def __init__(self, redact: Redactor, tally: Tally, readers: Sequence[SpanReader], **options: Any) -> None:
        super().__init__(tally, readers, **options)
        self._text = redact
        self._span = SpanRedactor(redact)

    def leaves(self, span: ReadableSpan, texts: list[str]) -> bool:
        """Return whether nothing would be redacted. Without content that is not sure: URLs lose their queries then."""
        return captures_content() and self._span.leaves(span, texts)

    def prepare(self, span: ReadableSpan) -> ReadableSpan:
        """Return a redacted copy of the span; first huge texts are cut, which would take long to redact."""
        if not captures_content():
            span = without_queries(span)
        return self._span(bound(span, self._text))


class _Session(requests.Session):
    """Remembers the last answer, which OpenTelemetry's exporter keeps to itself.

    Attributes:
        code: HTTP status; None without an answer.
        why: the status in words, or the name of the error.
    """

    def __init__(self) -> None:
        super().__init__()
        self._pid = os.getpid()
        self.forget()

    def forget(self) -> None:
        """Begin a new export."""
        self.code: int | None = None
        self.why = ""
        self._response: requests.Response | None = None

    def request(self, *args: Any, **options: Any) -> requests.Response:
        """Send a request; remember its answer or error."""
        if self._pid != os.getpid():  # a forked child may not write into the connections of its parent
            self._pid = os.getpid()
            self.mount("http://", HTTPAdapter())
            self.mount("https://", HTTPAdapter())
        self.forget()
        try:
            if self.trust_env:
                self._read_environment(options["url"])
            response = super().request(*args, **options)
        except Exception as error:
            self.why = type(error).__name__
            raise
        self.code, self._response = response.status_code, response
        self.why = f"{response.status_code} {response.reason}"
        if place := response.headers.get("Location"):
            self.why += f" (moved to {place[:200]}; redirects are not followed, set the endpoint)"
        return response

    def _read_environment(self, url: str) -> None:
        """Read proxies, certificates and netrc once, not for each request."""
        found = self.merge_environment_settings(url, {}, None, None, None)
        self.proxies, self.verify, self.cert = found["proxies"], found["verify"], found["cert"]
        self.auth = get_netrc_auth(url)
        self.trust_env = False

    def rejected(self) -> tuple[int, str]:
        """Return how many spans of the last request were rejected, and the collector's reason."""
        response = self._response
        if response is None or "protobuf" not in response.headers.get("Content-Type", ""):
            return 0, ""
        try:
            partial = ExportTraceServiceResponse.FromString(response.content).partial_success
        except Exception:  # no OTLP, as of a proxy: the spans may have arrived
            return 0, ""
        return max(0, partial.rejected_spans), partial.error_message[:200]
