"""Delivery to a real receiver on loopback: signatures, retries, order, giving up, restarts."""

import base64
import email.utils
import json
import re
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from standardwebhooks import Webhook

from qualitrace_collector.process.backoff import seconds_after
from qualitrace_collector.process.log_limit import MESSAGES, LogLimit
from qualitrace_collector.state import Database
from qualitrace_monitors.notify.delivery import RETRY_WAIT, Notifier
from qualitrace_monitors.notify.outbox import Outbox
from qualitrace_monitors.notify.receiver import Answer, Notification
from qualitrace_monitors.notify.receivers import Receiver
from support.ports import free_port

SECRET = "whsec_" + base64.b64encode(b"k" * 32).decode()
START = float(int(time.time()))
"""An arbitrary moment, except where a signature is verified: see `recent`."""


def recent() -> float:
    """Return a moment near the present: verifying refuses timestamps that are more than five minutes off."""
    return float(int(time.time()))


def receivers(url: str, **options: object) -> dict[str, Receiver]:
    """Configure one receiver, `ops`."""
    return {"ops": Receiver.model_validate({"url": url, **options})}


def put(database: Database, *bodies: str, receiver: str = "ops", at: float = START) -> None:
    """Enqueue messages."""
    with database.transaction() as connection:
        for body in bodies:
            Outbox.put(connection, receiver, body, at)


def deliver_due(notifier: Notifier, now: float, *names: str) -> None:
    """Deliver what is due at `now` to these receivers, by default to `ops`."""
    for name in names or ("ops",):
        while notifier.deliver_next(name, now):
            pass


def waiting(database: Database) -> list[dict[str, Any]]:
    """List the rows of the outbox."""
    return [dict(row) for row in database.connection().execute("SELECT * FROM outbox ORDER BY sequence")]


def bodies(receiver: Any) -> list[str]:
    """List the bodies that a receiver got."""
    return [body for _, body in receiver.received]


def test_a_failed_message_is_sent_again_with_its_id_after_a_restart(
    database: Database, webhook_receiver: Any, open_database: Callable[[Path], Database]
) -> None:
    """After a 500 and a restart the same webhook-id arrives, newly signed for its new time."""
    start = recent()
    webhook_receiver.answers = [(500, {})]
    put(database, "{}", at=start)
    config = receivers(webhook_receiver.url, secret=SECRET)
    first = Notifier(config, database)
    deliver_due(first, start)
    assert first.notifications == {("ops", "failed"): 1}
    assert waiting(database)[0]["last_error"] == "the receiver answered 500"
    reopened = open_database(database.path)
    deliver_due(Notifier(config, reopened), start + 1)
    (before, _), (after, body) = webhook_receiver.received
    assert after["webhook-id"] == before["webhook-id"]
    assert after["webhook-timestamp"] == str(int(start + 1))
    Webhook(SECRET).verify(body, after)
    assert waiting(reopened) == []
    reopened.close()


def test_a_receiver_that_is_down_gets_the_message_when_it_is_up(database: Database, webhook_receiver: Any) -> None:
    """A refused connection is an attempt that failed, no error; the message waits."""
    webhook_receiver.stop()
    put(database, "{}")
    notifier = Notifier(receivers(webhook_receiver.url), database)
    deliver_due(notifier, START)
    assert "refused" in waiting(database)[0]["last_error"]
    webhook_receiver.start()
    deliver_due(notifier, START + 1)
    assert bodies(webhook_receiver) == ["{}"]
    assert notifier.notifications == {("ops", "failed"): 1, ("ops", "sent"): 1}


def test_nothing_is_tried_before_it_is_due(database: Database, webhook_receiver: Any) -> None:
    """Within half of the first delay no second attempt is made."""
    webhook_receiver.answers = [(500, {})]
    put(database, "{}")
    notifier = Notifier(receivers(webhook_receiver.url), database)
    deliver_due(notifier, START)
    deliver_due(notifier, START + 0.49)
    assert len(webhook_receiver.received) == 1


@pytest.mark.parametrize("status", [429, 503])
@pytest.mark.parametrize(
    "retry_after", ["120", email.utils.formatdate(START + 120, usegmt=True)], ids=["seconds", "date"]
)
def test_retry_after_of_a_busy_receiver_is_honoured(
    status: int, retry_after: str, database: Database, webhook_receiver: Any
) -> None:
    """The next attempt comes at the time asked for, in seconds or as a date, and not before."""
    webhook_receiver.answers = [(status, {"Retry-After": retry_after})]
    put(database, "{}")
    notifier = Notifier(receivers(webhook_receiver.url), database)
    for after in (0, 119, 120):
        deliver_due(notifier, START + after)
        assert len(webhook_receiver.received) == (2 if after == 120 else 1)


@pytest.mark.parametrize(("status", "retry_after"), [(500, "120"), (503, "soon"), (503, "-5"), (503, "²")], ids=str)
def test_a_retry_after_that_says_nothing_is_ignored(
    status: int, retry_after: str, database: Database, webhook_receiver: Any
) -> None:
    """Other statuses' and malformed values leave the backoff as it is."""
    webhook_receiver.answers = [(status, {"Retry-After": retry_after})]
    put(database, "{}")
    notifier = Notifier(receivers(webhook_receiver.url), database)
    deliver_due(notifier, START)
    deliver_due(notifier, START + 1)
    assert len(webhook_receiver.received) == 2


def test_messages_of_one_receiver_keep_their_order(database: Database, webhook_receiver: Any) -> None:
    """While the first waits for its retry, the second is held back; then both come in order."""
    webhook_receiver.answers = [(500, {})]
    put(database, "firing", "resolved")
    notifier = Notifier(receivers(webhook_receiver.url), database)
    deliver_due(notifier, START)
    deliver_due(notifier, START + 0.4)
    assert bodies(webhook_receiver) == ["firing"]
    deliver_due(notifier, START + 1)
    assert bodies(webhook_receiver) == ["firing", "firing", "resolved"]


def test_a_dead_receiver_does_not_hold_up_another(database: Database, webhook_receiver: Any) -> None:
    """Each receiver has its own queue."""
    config = receivers(webhook_receiver.url) | {
        "dead": Receiver.model_validate({"url": "http://127.0.0.1:9/", "timeout": 1})
    }
    put(database, "lost", receiver="dead")
    put(database, "delivered")
    deliver_due(Notifier(config, database), START, "dead", "ops")
    assert bodies(webhook_receiver) == ["delivered"]
    assert [row["receiver"] for row in waiting(database)] == ["dead"]


def test_a_kind_that_breaks_does_not_hold_up_another(database: Database, webhook_receiver: Any) -> None:
    """Whatever a receiver raises is a failed attempt of its own notification."""

    class Broken(Receiver):
        def deliver(self, notification: Notification, now: float) -> Answer:
            raise OSError("the disk is full")

    put(database, "lost", receiver="broken")
    put(database, "delivered")
    config = receivers(webhook_receiver.url)
    notifier = Notifier({"broken": Broken.model_construct(give_up_after=60.0)} | config, database)
    deliver_due(notifier, START, "broken", "ops")
    assert bodies(webhook_receiver) == ["delivered"]
    assert [row["last_error"] for row in waiting(database)] == ["OSError: the disk is full"]
    deliver_due(notifier, START + 60, "broken")
    assert notifier.notifications["broken", "given_up"] == 1


def test_a_message_is_given_up_after_its_time(
    database: Database, webhook_receiver: Any, caplog: pytest.LogCaptureFixture
) -> None:
    """The last attempt is at `give_up_after`; then the message is counted, logged and gone, and the next is sent."""
    webhook_receiver.answers = [(500, {}), (503, {"Retry-After": "9999"}), (500, {})]
    put(database, "old")
    put(database, "new", at=START + 50)
    notifier = Notifier(receivers(webhook_receiver.url, give_up_after=60), database)
    for after in (0, 30, 59, 60):
        deliver_due(notifier, START + after)
    assert bodies(webhook_receiver) == ["old", "old", "old", "new"]
    assert notifier.notifications == {("ops", "failed"): 2, ("ops", "given_up"): 1, ("ops", "sent"): 1}
    assert "gave up notification" in caplog.text
    assert "'ops' after 2 failed attempts: the receiver answered 500" in caplog.text


@pytest.mark.parametrize("status", [400, 401, 404, 410, 422])
def test_a_receiver_that_refuses_is_not_asked_again(
    status: int, database: Database, webhook_receiver: Any, caplog: pytest.LogCaptureFixture
) -> None:
    """A 4xx gives the message up at its first attempt, with what the receiver said, and the next one is sent."""
    webhook_receiver.answers = [(status, {})]
    put(database, "refused", "next")
    notifier = Notifier(receivers(webhook_receiver.url), database)
    deliver_due(notifier, START)
    assert bodies(webhook_receiver) == ["refused", "next"]
    assert notifier.notifications == {("ops", "given_up"): 1, ("ops", "sent"): 1}
    assert [record.message for record in caplog.records if f"answered {status}" in record.message] == [
        record.message for record in caplog.records
    ]


@pytest.mark.parametrize("status", [302, 408, 429, 500, 503])
def test_a_receiver_that_may_take_it_later_is_asked_again(
    status: int, database: Database, webhook_receiver: Any
) -> None:
    """The message waits for its next attempt."""
    webhook_receiver.answers = [(status, {})]
    put(database, "{}")
    notifier = Notifier(receivers(webhook_receiver.url), database)
    deliver_due(notifier, START)
    assert notifier.notifications == {("ops", "failed"): 1}
    deliver_due(notifier, START + 1)
    assert notifier.notifications == {("ops", "failed"): 1, ("ops", "sent"): 1}


def test_each_failure_is_a_line_and_a_problem(
    database: Database, webhook_receiver: Any, caplog: pytest.LogCaptureFixture
) -> None:
    """The log has the reason at each attempt; the problem outlives a restart, and ends with a message that is taken."""
    webhook_receiver.answers = [(500, {}), (403, {})]
    put(database, "{}")
    config = receivers(webhook_receiver.url)
    notifier = Notifier(config, database)
    assert notifier.problem("ops") == ""
    deliver_due(notifier, START)
    assert notifier.problem("ops") == "it did not take the last notification: it answers 500"
    deliver_due(notifier, START + 1)
    first, second = (record.getMessage() for record in caplog.records)
    assert re.fullmatch(
        "receiver 'ops' did not take notification msg_[0-9a-f]+, attempt 1: the receiver answered 500; "
        "trying again in [01] s",
        first,
    )
    assert "gave up" in second
    assert "the receiver answered 403" in second
    restarted = Notifier(config, database)
    assert restarted.problem("ops") == "it did not take the last notification: it answers 403"
    put(database, "{}")
    deliver_due(restarted, START + 2)
    assert restarted.problem("ops") == ""


def test_a_receiver_that_floods_the_log_hides_no_other(database: Database, caplog: pytest.LogCaptureFixture) -> None:
    """The log's limit on repeated lines is each receiver's own."""
    dead = f"http://127.0.0.1:{free_port()}/"
    notifier = Notifier({name: Receiver.model_validate({"url": dead}) for name in ("ops", "chat")}, database)
    for receiver, times in (("chat", MESSAGES + 3), ("ops", 1)):
        put(database, "{}", receiver=receiver)
        for attempt in range(times):
            deliver_due(notifier, START + 600 * attempt, receiver)
    limit = LogLimit()
    written = [record.getMessage().split("'")[1] for record in caplog.records if limit.filter(record)]
    assert written == ["chat"] * MESSAGES + ["ops"]


def test_a_message_that_is_replaced_while_it_is_tried_keeps_its_pause(database: Database) -> None:
    """However often a topic is renewed during attempts, the pauses grow, and its age is that of the first."""

    class Renewing(Receiver):
        def deliver(self, notification: Notification, now: float) -> Answer:
            with database.transaction() as connection:
                Outbox.put(connection, "ops", "newer", now, topic="heartbeat")
            raise OSError("no")

    notifier = Notifier({"ops": Renewing.model_construct(give_up_after=9e9)}, database)
    with database.transaction() as connection:
        Outbox.put(connection, "ops", "{}", START, topic="heartbeat")
    for attempt in range(5):
        deliver_due(notifier, START + 600 * attempt)
    [row] = waiting(database)
    assert (row["attempts"], row["body"], row["created_at"]) == (5, "newer", START)


def test_a_topic_keeps_one_message_and_its_pause(database: Database, webhook_receiver: Any) -> None:
    """A newer message of a topic takes the place of one that waits: it is not tried sooner, and not behind others."""
    webhook_receiver.answers = [(503, {"Retry-After": "60"})]
    notifier = Notifier(receivers(webhook_receiver.url), database)
    for body, at in (("old", START), ("new", START + 30)):
        with database.transaction() as connection:
            Outbox.put(connection, "ops", body, at, topic="heartbeat")
        put(database, f"behind {body}", at=at)
        deliver_due(notifier, at)
    assert bodies(webhook_receiver) == ["old"]
    deliver_due(notifier, START + 60)
    assert bodies(webhook_receiver) == ["old", "new", "behind old", "behind new"]


def test_messages_to_a_receiver_without_configuration_are_given_up(
    database: Database, webhook_receiver: Any, caplog: pytest.LogCaptureFixture
) -> None:
    """What waits for a receiver that the configuration no longer has is counted, logged and removed."""
    put(database, "{}", receiver="former")
    notifier = Notifier(receivers(webhook_receiver.url), database)
    notifier.give_up_former(START)
    assert waiting(database) == []
    assert notifier.notifications == {("former", "given_up"): 1}
    assert "no longer in the configuration" in caplog.text


def test_the_outbox_keeps_json_bodies_byte_for_byte(database: Database, webhook_receiver: Any) -> None:
    """What was enqueued is what arrives, so that a signature made by anyone over it holds."""
    body = json.dumps({"a": "ü\u2028", "b": [1, 2]}, ensure_ascii=False, indent=1)
    put(database, body)
    deliver_due(Notifier(receivers(webhook_receiver.url), database), START)
    assert bodies(webhook_receiver) == [body]


@given(st.integers(1, 10_000))
def test_the_wait_doubles_up_to_five_minutes(attempts: int) -> None:
    """It lies between half of 1, 2, 4 … 300 seconds and the whole of it."""
    whole = min(300, 2 ** (attempts - 1))
    assert whole / 2 <= seconds_after(attempts, RETRY_WAIT) <= whole
