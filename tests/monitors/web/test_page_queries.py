"""What pages read of the state database: by index and from sums, however many scores there are."""

import re
import sqlite3
from pathlib import Path

import pytest

from qualitrace_collector.state import Database
from qualitrace_monitors.web.pages import PAGES
from support.many_scores import JUDGES, Load, fill
from support.page_addresses import addresses
from support.web import NOW, WebStand

LARGE = (
    "score",
    "answer",
    "score_hour",
    "score_day",
    "score_minute",
    "score_bin",
    "bet_hour",
    "pair_minute",
    "pair_hour",
    "trace",
)
"""Tables with a row a score, a trace, or an hour of each judge, service and slice."""


class ListeningDatabase(Database):
    """A state database that keeps the statements which are run."""

    def __init__(self, path: Path) -> None:
        self.statements: set[str] = set()
        super().__init__(path)

    def connection(self) -> sqlite3.Connection:
        """Return this thread's connection."""
        connection = super().connection()
        connection.set_trace_callback(self.statements.add)
        return connection


def test_no_page_scans_a_large_table(database: Database) -> None:
    """SQLite's plan of each statement that a page runs begins at an index in each large table."""
    fill(database, Load(scores=2_000, until=NOW - 5, services=3, judges=4, days=30))
    listening = ListeningDatabase(database.path)
    rules = [{"name": "low", "judge": JUDGES[0], "when": "pass_rate < 0.999"}]
    web = WebStand(listening, {"alerts": rules, "judges": [*JUDGES[:3]]})
    web.alerts.evaluate(NOW)
    pages = addresses(NOW)
    assert pages.keys() == {page.path for page in PAGES}
    with web.server:
        for address in (address for of_page in pages.values() for address in of_page):
            listening.statements.clear()
            assert web.get(address).status_code in (200, 404), address
            read = [each for each in listening.statements if re.match(r"\s*(SELECT|WITH)\b", each)]
            assert read, address
            found = {scan for statement in read for scan in scans(database, statement)}
            assert not found, address
    listening.close()


def scans(database: Database, statement: str) -> list[str]:
    """Return the parts of a statement's plan that read the whole of a large table, or of an index of it.

    One that reads an index in order, up to a limit, does not read the whole.
    """
    aliases = {name: table for table, name in re.findall(r"\b(\w+) AS (\w+)", statement) if table in LARGE}
    plan = [row["detail"] for row in database.rows(f"EXPLAIN QUERY PLAN {statement}")]
    is_limited = re.search(r"\bLIMIT \d+\s*$", statement) and not any("TEMP B-TREE" in step for step in plan)
    scanned = [(step, re.match(r"SCAN (\w+)(?! USING INDEX)" if is_limited else r"SCAN (\w+)", step)) for step in plan]
    return [
        f"{step}: {' '.join(statement.split())[:300]}"
        for step, match in scanned
        if match and aliases.get(match[1], match[1]) in LARGE
    ]


@pytest.mark.parametrize("statement", ["SELECT * FROM score", "SELECT count(*) FROM score_hour AS h WHERE h.hour > 3"])
def test_a_scan_is_noticed(database: Database, statement: str) -> None:
    """Under its own name and under another one."""
    assert len(scans(database, statement)) == 1
    assert not scans(database, "SELECT * FROM score WHERE trace_id = 'a'")
    assert not scans(database, "SELECT * FROM score ORDER BY completed_at LIMIT 9")
    assert scans(database, "SELECT * FROM score ORDER BY value LIMIT 9")
