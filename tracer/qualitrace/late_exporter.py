"""The exporter, made at the first export: what it imports takes as long as all the rest of `init`."""

import os
import threading
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export import SpanExporter, SpanExportResult

from qualitrace.delivery import Tally
from qualitrace.quiet import never_raises
from qualitrace.settings import Settings

if TYPE_CHECKING:
    from qualitrace.exporter import DeliveringExporter, SpanReader

_importing = threading.RLock()

if hasattr(os, "register_at_fork"):  # not on Windows
    # A child that is forked in the middle of an import could never import the same modules.
    os.register_at_fork(
        before=_importing.acquire, after_in_parent=_importing.release, after_in_child=_importing.release
    )


class LateExporter(SpanExporter):
    """Stands in for the exporter until there is something to export.

    Attributes:
        readers: get the spans, too.
        sends: whether the spans are sent; if not, they count as sent when the readers have them.

    Args:
        settings: where to send, and what to redact.
        tally: the counts of this process.
    """

    def __init__(self, settings: Settings, tally: Tally) -> None:
        self.readers: list[SpanReader] = []
        self.sends = True
        self._settings, self._tally = settings, tally
        self._exporter: DeliveringExporter | None = None

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        """Send the spans."""
        exporter = self.load()
        if exporter is None:
            self._tally.start(len(spans))
            self._tally.dropped(len(spans), "could not be sent: the exporter did not start")
            return SpanExportResult.FAILURE
        exporter.sends = self.sends
        return exporter.export(spans)

    def load(self) -> "DeliveringExporter | None":
        """Return the exporter; None if it cannot be made, which the log says."""
        with _importing:
            self._exporter = self._exporter or self._make()
            return self._exporter

    @never_raises
    def _make(self) -> "DeliveringExporter":
        from qualitrace.exporter import DeliveringExporter, RedactingExporter

        settings = self._settings
        options: dict[str, Any] = {
            "endpoint": settings.endpoint,
            "headers": dict(settings.headers or {}),
            "timeout": settings.export_timeout,
        }
        if (redact := settings.redactor) is None:
            return DeliveringExporter(self._tally, self.readers, **options)
        return RedactingExporter(redact, self._tally, self.readers, **options)

    def shutdown(self) -> None:
        """Send no more; let the readers end."""
        if self._exporter is not None:
            self._exporter.shutdown()
        for reader in self.readers:
            reader.close()

    def force_flush(self, timeout_millis: int = 30_000) -> bool:
        """Return True: nothing waits here."""
        return True
