"""What a server's engine found at the time, and what a replay of its database finds."""

import json
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path

from qualitrace_collector.state import Database
from qualitrace_monitors.alerts.settings import AlertRule
from qualitrace_monitors.backtest.history import History, Wanted
from qualitrace_monitors.backtest.replay import Course, Replay

Change = tuple[str, str, str, float]
"""State, rule, service, and when it came to it, Unix seconds."""


def found_at_the_time(database: Database) -> list[Change]:
    """List (state, rule, service, moment) of all notifications, in order."""
    bodies = [json.loads(row["body"]) for row in database.rows("SELECT body FROM outbox ORDER BY sequence")]
    found: list[Change] = []
    for alert in (body["alerts"][0] for body in bodies):
        moment = alert["startsAt"] if alert["status"] == "firing" else alert["endsAt"]
        at = datetime.fromisoformat(moment).timestamp()
        found.append((alert["status"], alert["labels"]["alertname"], alert["labels"]["service"], at))
    return sorted(found)


def found_later(courses: dict[tuple[str, str], Course]) -> list[Change]:
    """List the same of a replay."""
    found: list[Change] = []
    for key, course in courses.items():
        for firing in course.firings:
            found.append(("firing", *key, firing.fired_at))
            if firing.resolved_at is not None:
                found.append(("resolved", *key, firing.resolved_at))
    return sorted(found)


def replayed(
    database: Database, folder: Path, rules: Sequence[AlertRule], until: float, judge: str = "groundedness"
) -> Replay:
    """Replay what a database has stored."""
    wanted = Wanted(judges={judge}, summed={judge}, requests=True)
    history = History.copy(database.path, folder / "history.db", wanted, until)
    silence = min(rule.session_silence for rule in rules)
    scratch = Database(folder / "scratch.db")
    replay = Replay(rules, silence, scratch, minutes_since=history.minutes_since)
    assert [*replay.run(history, until, history.requests())][-1:] == [history.scores]
    return replay
