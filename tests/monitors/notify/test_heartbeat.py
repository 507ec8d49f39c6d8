"""The heartbeat: its pace, what it says, and that it never piles up."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from qualitrace_collector.sample import Sample
from qualitrace_collector.state import Database, JudgeQueue, JudgeTask
from qualitrace_monitors.notify.heartbeat import Heartbeat, HeartbeatConfig
from qualitrace_monitors.notify.outbox import Outbox
from qualitrace_monitors.notify.payload import Links

NOW = 1_764_000_000.0
AddScore = Callable[..., str]


def heartbeat_on(database: Database, *receivers: str) -> Heartbeat:
    """Make a heartbeat of five minutes."""
    config = HeartbeatConfig(interval=300, notify=receivers or ("ops",))
    return Heartbeat(config, database, Links("http://127.0.0.1:9464"))


def outbox(database: Database) -> list[tuple[str, dict[str, Any]]]:
    """List (receiver, payload) of what waits, in order."""
    rows = database.connection().execute("SELECT receiver, body FROM outbox ORDER BY sequence")
    return [(row["receiver"], json.loads(row["body"])) for row in rows]


def test_a_heartbeat_goes_to_every_receiver_at_its_pace(database: Database) -> None:
    """The first beat is sent at once, the next after the interval and not before, to each receiver."""
    heartbeat = heartbeat_on(database, "ops", "chat")
    started: list[set[str]] = []
    for after in (0, 299, 300):
        heartbeat.beat(NOW + after)
        started.append({body["alerts"][0]["startsAt"] for _, body in outbox(database)})
    assert started == [{"2025-11-24T16:00:00.000Z"}, {"2025-11-24T16:00:00.000Z"}, {"2025-11-24T16:05:00.000Z"}]
    assert sorted(receiver for receiver, _ in outbox(database)) == ["chat", "ops"]


def test_the_pace_outlives_a_restart(database: Database, open_database: Callable[[Path], Database]) -> None:
    """A new process does not beat again before the interval is over."""
    heartbeat_on(database).beat(NOW)
    with database.transaction() as connection:
        connection.execute("DELETE FROM outbox")
    reopened = open_database(database.path)
    heartbeat_on(reopened).beat(NOW + 299)
    assert outbox(reopened) == []
    reopened.close()


def test_a_clock_that_was_set_back_does_not_silence_it(database: Database) -> None:
    """A last beat in the future counts for nothing."""
    heartbeat = heartbeat_on(database)
    heartbeat.beat(NOW + 1_000_000)
    heartbeat.beat(NOW)
    [(_, body)] = outbox(database)
    assert body["alerts"][0]["startsAt"] == "2025-11-24T16:00:00.000Z"


def test_undelivered_heartbeats_are_replaced_and_alerts_are_not(database: Database) -> None:
    """However long a receiver is away, one heartbeat waits for it, beside every alert."""
    with database.transaction() as connection:
        for body in ('{"n": 1}', '{"n": 2}'):
            Outbox.put(connection, "ops", body, NOW)
    heartbeat = heartbeat_on(database)
    for beat in range(5):
        heartbeat.beat(NOW + beat * 300)
    first, second, (_, last) = outbox(database)
    assert (first, second) == (("ops", {"n": 1}), ("ops", {"n": 2}))
    assert last["alerts"][0]["startsAt"] == "2025-11-24T16:20:00.000Z"


def test_it_says_whether_judging_works(database: Database, add_score: AddScore) -> None:
    """It names the time of the last score and how many judgements wait; at first there is none."""
    heartbeat = heartbeat_on(database)
    heartbeat.beat(NOW)
    [(_, body)] = outbox(database)
    assert body["status"] == "firing"
    assert body["commonLabels"] == {"alertname": "QualitraceHeartbeat", "severity": "none"}
    assert (body["commonAnnotations"]["last_score_at"], body["commonAnnotations"]["waiting_judgements"]) == (
        "never",
        "0",
    )
    add_score(database, "pass", NOW + 60)
    task = JudgeTask(
        trace_id="tr-1",
        judge="groundedness",
        service="shop",
        sample=Sample(),
        inclusion_probability=1.0,
        root_ended_at=NOW,
        completed_at=NOW,
    )
    with database.transaction() as connection:
        JudgeQueue.put(connection, task)
    heartbeat.beat(NOW + 300)
    [(_, body)] = outbox(database)
    assert body["commonAnnotations"] == {
        "summary": "qualitrace is alive; last score: 2025-11-24T16:01:00.000Z, judgements waiting: 1",
        "last_score_at": "2025-11-24T16:01:00.000Z",
        "waiting_judgements": "1",
    }
