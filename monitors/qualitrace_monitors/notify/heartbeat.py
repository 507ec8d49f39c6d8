"""The heartbeat: a notification at a steady pace, whose absence says that the monitor is dead.

It fires like Prometheus' customary Watchdog alert. It also says when the last score was made and how many judgements
wait, so that a monitor that runs but does not judge is seen too.
"""

import sqlite3

from pydantic import Field

from qualitrace_collector.config.section import Section
from qualitrace_collector.config.values import Duration
from qualitrace_collector.state import Database, JudgeQueue
from qualitrace_monitors.notify.outbox import Outbox
from qualitrace_monitors.notify.payload import Alert, Links, rfc3339, webhook_payload

BEATS_UNTIL_DEAD = 3
"""One may be late, and one may be lost with a restart."""
LABELS = {"alertname": "QualitraceHeartbeat", "severity": "none"}


class HeartbeatConfig(Section):
    """A notification at a steady pace: its absence says that the monitor is dead."""

    interval: Duration = Field(default=300.0, gt=0)
    """The time between two heartbeats."""
    notify: tuple[str, ...] = Field(min_length=1)
    """The receivers, by their names under `notify`."""


class Heartbeat:
    """Puts a heartbeat into the outbox whenever one is due; the pace survives restarts."""

    def __init__(self, config: HeartbeatConfig, database: Database, links: Links) -> None:
        self._config = config
        self._database = database
        self._links = links

    def beat(self, now: float) -> None:
        """Enqueue a heartbeat if the last is an interval ago; it replaces one that still waits."""
        with self._database.transaction() as connection:
            last = connection.execute("SELECT sent_at FROM heartbeat").fetchone()
            # A last beat in the future means that the clock was set back: it must not silence the heartbeat.
            if last is not None and 0 <= now - last["sent_at"] < self._config.interval:
                return
            connection.execute("INSERT OR REPLACE INTO heartbeat VALUES (1, ?)", (now,))
            ends_at = now + BEATS_UNTIL_DEAD * self._config.interval
            alert = Alert(labels=LABELS, annotations=self._annotations(connection), starts_at=now, expires_at=ends_at)
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
