"""The heartbeat: a notification at a steady pace, whose absence says that the monitor is dead.

It fires like Prometheus' customary Watchdog alert, and says when the last score was made and how much waits, so
that a monitor that is alive but does not judge shows too.
"""

import sqlite3

from qualitrace_collector.state import Database, JudgeQueue
from qualitrace_monitors.notify.outbox import Outbox
from qualitrace_monitors.notify.payload import Alert, Links, rfc3339, webhook_payload
from qualitrace_monitors.notify.settings import HeartbeatConfig

LABELS = {"alertname": "QualitraceHeartbeat", "severity": "none"}


class Heartbeat:
    """Puts a heartbeat into the outbox whenever one is due; the pace outlives restarts."""

    def __init__(self, config: HeartbeatConfig, database: Database, links: Links) -> None:
        self._config = config
        self._database = database
        self._links = links

    def beat(self, now: float) -> None:
        """Enqueue a heartbeat if the last is an interval ago; one that still waits is replaced."""
        with self._database.transaction() as connection:
            last = connection.execute("SELECT sent_at FROM heartbeat").fetchone()
            # A time to come is a clock that was set back: it must not silence the heartbeat.
            if last is not None and 0 <= now - last["sent_at"] < self._config.interval:
                return
            connection.execute("INSERT OR REPLACE INTO heartbeat VALUES (1, ?)", (now,))
            alert = Alert(labels=LABELS, annotations=self._annotations(connection), starts_at=now)
            for receiver in self._config.notify:
                body = webhook_payload(alert, receiver, self._links)
                Outbox.put(connection, receiver, body, now, topic="heartbeat")

    def _annotations(self, connection: sqlite3.Connection) -> dict[str, str]:
        last = connection.execute("SELECT max(scored_at) AS at FROM score").fetchone()["at"]
        last_score_at = "never" if last is None else rfc3339(last)
        waiting = str(JudgeQueue(self._database).waiting())
        return {
            "summary": f"qualitrace is alive; last score: {last_score_at}, judgements waiting: {waiting}",
            "last_score_at": last_score_at,
            "waiting_judgements": waiting,
        }
