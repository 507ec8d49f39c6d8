"""Delivers the outbox.

A notification is deleted after the receiver took it; after a crash in between it is sent again with the same id. Each
receiver gets its notifications in order, so that a resolved alert never overtakes its firing: while one waits for its
next attempt, the later ones wait behind it.
"""

import logging
from collections import Counter
from collections.abc import Mapping

from opentelemetry.trace import NoOpTracer, SpanKind, Tracer
from tenacity.wait import wait_exponential, wait_random_exponential

from qualitrace_collector.process.backoff import seconds_after
from qualitrace_collector.state import Database
from qualitrace_collector.telemetry.spans import own_span
from qualitrace_monitors.notify.firing import repeat_due
from qualitrace_monitors.notify.outbox import Outbox
from qualitrace_monitors.notify.receiver import Answer, DeliveryFailed, Notification, Receiver, attempt

# Doubles from 1 s to 5 min; half of it is random, so that receivers that failed together are not asked together.
RETRY_WAIT = wait_exponential(multiplier=0.5, max=150) + wait_random_exponential(multiplier=0.5, max=150)


class Notifier:
    """Delivers the outbox to the configured receivers.

    Each receiver may be served by a thread of its own, so that one that is slow holds up no other.
    """

    def __init__(self, receivers: Mapping[str, Receiver], database: Database, tracer: Tracer | None = None) -> None:
        self._tracer = tracer or NoOpTracer()
        self._receivers = receivers
        self._database = database
        self._outbox = Outbox(database)
        self._totals: Counter[tuple[str, str]] = Counter()
        self._problems = {last.receiver: last.problem for last in self._outbox.last_deliveries()}

    @property
    def notifications(self) -> dict[tuple[str, str], int]:
        """Totals by receiver and outcome since this process started.

        `sent` and `given_up` count notifications, `failed` counts attempts that will be repeated.
        """
        return dict(self._totals)

    def problem(self, receiver: str) -> str:
        """Say why a receiver did not take the last notification; empty if it did."""
        problem = self._problems.get(receiver, "")
        return f"it did not take the last notification: {problem}" if problem else ""

    def deliver_next(self, receiver: str, now: float) -> bool:
        """Try the oldest notification of `receiver` if it is due at `now` (Unix seconds).

        Returns:
            Whether the next may be due, too.
        """
        configured = self._receivers.get(receiver)
        if configured is not None and configured.repeats_every is not None:
            repeat_due(self._database, receiver, configured.repeats_every, now)
        notification = self._outbox.first(receiver)
        if notification is None or notification.due_at > now:
            return False
        if configured is None:
            self._give_up(notification, now, DeliveryFailed("no longer in the configuration"))
        else:
            self._attempt(configured, notification, now)
        return True

    def give_up_former(self, now: float) -> None:
        """Give up what waits for receivers that the configuration no longer has."""
        for receiver in self._outbox.waiting().keys() - self._receivers.keys():
            while self.deliver_next(receiver, now):
                pass

    def _attempt(self, receiver: Receiver, notification: Notification, now: float) -> None:
        """Try once: afterwards the notification has left the outbox, or is due later."""
        try:
            answer = self._send(receiver, notification, now)
        except DeliveryFailed as failure:
            self._problems[notification.receiver] = failure.problem
            if failure.permanent or now >= notification.created_at + receiver.give_up_after:
                self._give_up(notification, now, failure)
            else:
                self._postpone(receiver, notification, now, failure)
        else:
            self._outbox.remove(notification, "sent", now, problem=answer.problem)
            self._problems[notification.receiver] = answer.problem
            self._totals[notification.receiver, "sent"] += 1
            if answer.problem:
                _log_of(notification.receiver).warning(
                    "receiver %r took notification %s, but: %s", notification.receiver, notification.id, answer.text
                )

    def _send(self, receiver: Receiver, notification: Notification, now: float) -> Answer:
        """Try once, in one of the server's own spans, by OpenTelemetry's conventions for messaging."""
        attributes = {
            "messaging.system": "qualitrace",
            "messaging.destination.name": notification.receiver,
            "messaging.operation.name": "send",
            "messaging.operation.type": "send",
            "messaging.message.id": notification.id,
        }
        name = f"send {notification.receiver}"
        with own_span(self._tracer, name, kind=SpanKind.PRODUCER, attributes=attributes):
            return attempt(receiver, notification, now)

    def _postpone(self, receiver: Receiver, notification: Notification, now: float, failure: DeliveryFailed) -> None:
        wait = seconds_after(notification.attempts + 1, RETRY_WAIT)
        if receiver.repeats_every is not None:  # with longer waits what fires would count as over meanwhile
            wait = min(wait, receiver.repeats_every)
        due_at = min(now + max(wait, failure.retry_after), notification.created_at + receiver.give_up_after)
        self._totals[notification.receiver, "failed"] += 1
        self._outbox.postpone(notification, due_at, now, str(failure), failure.problem)
        _log_of(notification.receiver).warning(
            "receiver %r did not take notification %s, attempt %d: %s; trying again in %.0f s",
            notification.receiver,
            notification.id,
            notification.attempts + 1,
            failure,
            due_at - now,
        )

    def _give_up(self, notification: Notification, now: float, failure: DeliveryFailed) -> None:
        self._outbox.remove(notification, "given_up", now, str(failure), failure.problem)
        self._totals[notification.receiver, "given_up"] += 1
        _log_of(notification.receiver).error(
            "gave up notification %s to %r after %d failed attempts: %s",
            notification.id,
            notification.receiver,
            notification.attempts,
            failure,
        )


def _log_of(receiver: str) -> logging.Logger:
    """Return the receiver's own log: the log's limit counts each by itself, so that none hides why another fails."""
    return logging.getLogger(f"{__name__}.{receiver}")
