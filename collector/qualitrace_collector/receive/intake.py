"""The path that both doors share: validate, journal, and only then ack."""

import logging
from collections import Counter
from collections.abc import Callable, Set
from typing import Any, Literal

from google.protobuf.message import Message

from qualitrace_collector.journal import ForeignTraces, GroupCommitter, JournalEntry, JournalError, JournalFull
from qualitrace_collector.journal.entry import Counts
from qualitrace_collector.person_feedback import PersonFeedback
from qualitrace_collector.receive.decode import Decoded
from qualitrace_collector.receive.errors import Refused, RequestError
from qualitrace_collector.receive.signals import Signal
from qualitrace_collector.receive.validate import Verdict, remove

Door = Literal["http", "grpc"]

_REPAIRED = "{count} texts repaired: strings must be UTF-8; what is not became U+FFFD"

logger = logging.getLogger(__name__)

WARNING_SECONDS = 3600.0
"""Between two warnings of the same kind."""


class Intake:
    """Takes decoded requests.

    It counts, in the transaction that makes a request durable: requests_received and bytes_received by door,
    spans_received and log_records_received by door, spans_rejected, log_records_rejected and spans_adjusted by reason,
    feedback_received by source; and, within a second, requests_refused by reason and texts_repaired by
    signal.

    Args:
        committer: makes requests durable.
        clock: Unix seconds.
    """

    def __init__(self, committer: GroupCommitter, clock: Callable[[], float]) -> None:
        self._committer = committer
        self._clock = clock
        self._stopping = False
        self._refusing = ""
        self._next_warning = 0.0

    async def accept(self, signal: Signal, decoded: Decoded, door: Door, tenant: str | None = None) -> Message:
        """Make the valid part of a request durable and return the answer to its client.

        Args:
            decoded: its payload, if there is one, is journalled as it is unless something in it is rejected or
                adjusted.
            tenant: who sent it; what it holds of other tenants' traces is rejected. None if there are no tenants.

        Raises:
            Refused: it cannot be kept now; the client should try again.
        """
        self._check_running()
        request, payload = decoded.message, decoded.payload
        verdict = signal.check(request)
        if verdict.rejected or verdict.adjusted:
            payload = None
        if verdict.adjusted:
            self._warn_of_adjusted(verdict)
        while verdict.kept:
            try:
                await self._journal(signal, request, payload, verdict, door, tenant)
                break
            except ForeignTraces as error:
                take_out(signal, request, error.trace_ids, verdict)
                payload = None
        else:
            self._committer.count(_counts(signal, verdict, door, 0))
        return self._response(signal, verdict, decoded.repaired)

    def _response(self, signal: Signal, verdict: Verdict, repaired: int) -> Message:
        """Make the answer; OTLP lets a partial success without rejections warn of what the client should fix."""
        response: Any = signal.response(verdict)
        if repaired:
            self._committer.count({("texts_repaired", signal.name): repaired})
            partial = response.partial_success
            partial.error_message = "; ".join(filter(None, (partial.error_message, _REPAIRED.format(count=repaired))))
        return response

    async def _journal(
        self, signal: Signal, request: Message, payload: bytes | None, verdict: Verdict, door: Door, tenant: str | None
    ) -> None:
        if payload is None:
            payload = request.SerializeToString()
        entry = JournalEntry(
            signal=signal.name,
            payload=payload,
            received_at=self._clock(),
            tenant=tenant or "",
            claims=frozenset() if tenant is None else trace_ids(signal, request),
        )
        await self._append(entry, _counts(signal, verdict, door, len(payload)))

    async def keep_feedback(self, feedback: PersonFeedback, tenant: str | None = None) -> None:
        """Make what a person said of a trace durable.

        Raises:
            Refused: it cannot be kept now; the client should try again.
            ForeignTraces: the trace belongs to another tenant.
        """
        self._check_running()
        entry = JournalEntry(
            signal="feedback",
            payload=feedback.model_dump_json().encode(),
            received_at=self._clock(),
            tenant=tenant or "",
            claims=frozenset() if tenant is None else frozenset((feedback.otlp_trace_id,)),
        )
        await self._append(entry, {("feedback_received", feedback.source): 1})

    def _warn_of_adjusted(self, verdict: Verdict) -> None:
        """Log a warning at most once an hour: the counter has every one."""
        if self._clock() >= self._next_warning:
            self._next_warning = self._clock() + WARNING_SECONDS
            logger.warning(
                "%d spans of a request end before they start and are kept with a duration of 0; does a client's clock "
                "jump? the metric qualitrace_otlp_spans_adjusted_total counts them",
                verdict.adjusted.total(),
            )

    def _check_running(self) -> None:
        if self._stopping:
            raise Refused("the collector is stopping", "stopping")

    async def _append(self, entry: JournalEntry, counts: Counts) -> None:
        try:
            await self._committer.append(entry, counts)
        except JournalError as error:
            reason = "full" if isinstance(error, JournalFull) else "unavailable"
            if self._refusing != reason:
                logger.warning("refusing requests: %s", error)
                self._refusing = reason
            raise Refused(f"the journal is {reason}; try again", reason) from error
        if self._refusing:
            logger.warning("taking requests again")
            self._refusing = ""

    def count_refusal(self, error: RequestError) -> None:
        """Count a request that a door answers with `error`."""
        self._committer.count({("requests_refused", error.reason): 1})

    def stop(self) -> None:
        """Refuse every request that comes from now on."""
        self._stopping = True


def _counts(signal: Signal, verdict: Verdict, door: Door, size: int) -> Counter[tuple[str, str]]:
    counts = Counter({("requests_received", door): 1})
    if verdict.kept:
        counts["bytes_received", door] = size
        counts[f"{signal.items}_received", door] = verdict.kept
    for reason, count in verdict.rejected.items():
        counts[f"{signal.items}_rejected", reason] = count
    for reason, count in verdict.adjusted.items():
        counts[f"{signal.items}_adjusted", reason] = count
    return counts


def trace_ids(signal: Signal, request: Any) -> frozenset[bytes]:
    """Return the ids of all traces that a request has items of."""
    return frozenset(item.trace_id for items in signal.lists(request) for item in items)


def take_out(signal: Signal, request: Any, foreign: Set[bytes], verdict: Verdict) -> None:
    """Take the items of other tenants' traces out of `request` and note them in `verdict`: a trace belongs to one.

    The first is told by its trace id: what was taken out before has moved the places.
    """
    for items in signal.lists(request):
        indexes = {index for index, item in enumerate(items) if item.trace_id in foreign}
        if indexes:
            verdict.kept -= len(indexes)
            verdict.rejected["tenant"] += len(indexes)
            verdict.first.setdefault("tenant", f"trace_id {items[min(indexes)].trace_id.hex()}")
            remove(items, indexes)
