"""The path that all doors share: validate, journal, and only then ack."""

import logging
from collections import Counter
from collections.abc import Callable
from functools import partial
from typing import Literal

from google.protobuf.message import Message

from qualitrace_collector.journal import (
    ForeignTraces,
    GroupCommitter,
    JournalEntry,
    JournalError,
    JournalFull,
    SignalName,
)
from qualitrace_collector.journal.entry import Counts
from qualitrace_collector.person_feedback import PersonFeedback
from qualitrace_collector.receive.checked_request import RequestPart, check_request, without_foreign
from qualitrace_collector.receive.decode import JSON
from qualitrace_collector.receive.errors import RequestError, Unavailable
from qualitrace_collector.receive.item_count import size_in_turns
from qualitrace_collector.receive.settings import ItemLimits
from qualitrace_collector.receive.signals import Signal
from qualitrace_collector.receive.turns import MEDIUM_BYTES, Turns
from qualitrace_collector.receive.validation import Validation

Door = Literal["http", "grpc"]

logger = logging.getLogger(__name__)

MAX_PROOF_BYTES = 4 << 20
WARNING_SECONDS = 3600.0  # between two warnings of the same kind


class Intake:
    """Takes requests.

    The transaction that makes a request durable counts it, too: requests_received, bytes_received, spans_received and
    log_records_received by door, spans_rejected, log_records_rejected and spans_adjusted by reason, feedback_received
    by source. Within a second it also counts requests_refused by reason and texts_repaired by signal.

    Attributes:
        refused_bytes: size of the last request if the journal refused it, `MAX_PROOF_BYTES` at most; 0 if it took it.

    Args:
        committer: makes requests durable.
        clock: Unix seconds.
        turns: in which requests are checked.
        limits: what a request may hold.
    """

    def __init__(
        self,
        committer: GroupCommitter,
        clock: Callable[[], float],
        turns: Turns | None = None,
        limits: ItemLimits | None = None,
    ) -> None:
        self._committer = committer
        self._clock = clock
        self._turns = turns or Turns()
        self._limits = limits or ItemLimits()
        self.refused_bytes = 0
        self._stopping = False
        self._refusing = ""  # why, so that the log has one line when it begins and one when it ends
        self._next_warning = 0.0

    async def accept(
        self, signal: Signal, media_type: str, data: bytes, door: Door, tenant: str | None = None
    ) -> Message:
        """Make the valid part of a request durable and return the answer to its client.

        Args:
            media_type: that of the data, `PROTOBUF` or `JSON`.
            tenant: the sender; items of other tenants' traces are rejected. None if there are no tenants.

        Raises:
            Undecodable: it is no such request.
            Unavailable: it cannot be kept now; the client should try again.
        """
        self._check_running()
        size = size_in_turns(None if media_type == JSON else signal.request, data)
        work = partial(check_request, signal, media_type, data, self._limits, has_tenant=tenant is not None)
        checked = await self._turns.take(size, work)
        validation = checked.validation
        if validation.adjusted:
            self._warn_of_adjusted(validation)
        uncounted = Counter({("requests_received", door): 1}) + _removals(signal, validation)
        # Each part is durable by itself: a client that has to try again sends all of them again, which does no harm.
        # They are counted with the last one, so that those of a request that was refused count once.
        for number, part in enumerate(checked.parts, 1):
            payload = data if part.payload is None else part.payload
            is_last = number == len(checked.parts)
            await self._keep(signal, door, tenant, part, payload, validation, uncounted, is_last=is_last)
        if uncounted:
            self._committer.count(uncounted)
        if not checked.repaired:
            return signal.answer(validation)
        self._committer.count({("texts_repaired", signal.name): checked.repaired})
        warning = f"{checked.repaired} texts repaired: strings must be UTF-8; what is not became U+FFFD"
        return signal.answer(validation, warning)

    async def _keep(
        self,
        signal: Signal,
        door: Door,
        tenant: str | None,
        part: RequestPart,
        payload: bytes,
        validation: Validation,
        uncounted: Counter[tuple[str, str]],
        *,
        is_last: bool,
    ) -> None:
        """Make a part durable without the items of other tenants' traces.

        What it holds is `uncounted` then; the last part makes all that is uncounted durable with it.
        """
        while part.kept:
            held = {("bytes_received", door): len(payload), (f"{signal.items}_received", door): part.kept}
            counts = uncounted + Counter(held)
            try:
                await self._append(signal.name, payload, tenant, part.trace_ids, counts if is_last else {})
            except ForeignTraces as error:  # only the journal's writer knows whose a trace is
                foreign = error.trace_ids
            else:
                uncounted.clear()
                if not is_last:
                    uncounted.update(counts)
                return
            work = partial(without_foreign, signal, payload, foreign, validation)
            removed_before = _removals(signal, validation)
            part = await self._turns.take(min(len(payload), MEDIUM_BYTES), work)  # in this process: it counts
            payload = part.payload or b""
            uncounted.update(_removals(signal, validation) - removed_before)

    async def keep_feedback(self, feedback: PersonFeedback, tenant: str | None = None) -> None:
        """Make a person's feedback durable.

        Raises:
            Unavailable: it cannot be kept now; the client should try again.
            ForeignTraces: the trace belongs to another tenant.
        """
        self._check_running()
        # Feedback claims the trace for its tenant, as spans do: a trace that nobody has sent is the first speaker's.
        claims = frozenset(() if tenant is None else (feedback.otlp_trace_id,))
        counts = {("feedback_received", feedback.source): 1}
        await self._append("feedback", feedback.model_dump_json().encode(), tenant, claims, counts)

    def _warn_of_adjusted(self, validation: Validation) -> None:
        """Log a warning at most once an hour; the counter has every adjustment."""
        if self._clock() >= self._next_warning:
            self._next_warning = self._clock() + WARNING_SECONDS
            logger.warning(
                "%d spans of a request end before they start and are kept with a duration of 0; does a client's clock "
                "jump? the metric qualitrace_otlp_spans_adjusted_total counts them",
                validation.adjusted.total(),
            )

    def _check_running(self) -> None:
        if self._stopping:
            raise Unavailable("the collector is stopping", "stopping")

    async def _append(
        self, signal: SignalName, payload: bytes, tenant: str | None, claims: frozenset[bytes], counts: Counts
    ) -> None:
        entry = JournalEntry(
            signal=signal,
            payload=payload,
            received_at=self._clock(),
            tenant=tenant or "",
            claims=claims,
        )
        try:
            await self._committer.append(entry, counts)
        except JournalError as error:
            self.refused_bytes = min(len(payload), MAX_PROOF_BYTES)
            reason = "full" if isinstance(error, JournalFull) else "unavailable"
            if self._refusing != reason:
                logger.warning("refusing requests: %s", error)
                self._refusing = reason
            raise Unavailable(f"the journal is {reason}; try again", reason) from error
        self.refused_bytes = 0
        if self._refusing:
            logger.warning("taking requests again")
            self._refusing = ""

    def count_refusal(self, error: RequestError) -> None:
        """Count a request that a door answers with `error`."""
        self._committer.count({("requests_refused", error.reason): 1})

    def stop(self) -> None:
        """Refuse every further request."""
        self._stopping = True


def _removals(signal: Signal, validation: Validation) -> Counter[tuple[str, str]]:
    counts = Counter[tuple[str, str]]()
    for reason, count in validation.rejected.items():
        counts[f"{signal.items}_rejected", reason] = count
    for reason, count in validation.adjusted.items():
        counts[f"{signal.items}_adjusted", reason] = count
    return counts
