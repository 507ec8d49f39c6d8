"""What is said to be wrong, and what is not."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from qualitrace_collector.state import Database, DeadLetter, DeadLetters, Ledger
from qualitrace_collector.state.requests import seen
from qualitrace_monitors.judges.contract import Usage
from qualitrace_monitors.overview.problems import LEAST_FREE_BYTES
from support.web import NOW, WebStand

OpenWeb = Callable[..., WebStand]
QUIET = {"alerts": [{"name": "low", "judge": "groundedness", "when": "pass_rate < 0.9", "notify": ["ops"]}],
         "notify": {"ops": {"url": "http://127.0.0.1:9/"}}}  # fmt: skip


def problems(web: WebStand) -> dict[str, dict[str, Any]]:
    """Return the problems by kind and subject."""
    found = web.get("/status.json").json()["problems"]
    return {" ".join(filter(None, (each["kind"], each["subject"]))): each for each in found}


def outcomes(database: Database, judge: str, **counts: int) -> None:
    with database.transaction() as connection:
        for outcome, count in counts.items():
            Ledger.add(connection, "shop", outcome, judge, count)  # type: ignore[arg-type]


def request_minutes(database: Database, count: int) -> None:
    """Let so many requests come in the last minutes."""
    with database.transaction() as connection:
        connection.execute(
            "INSERT INTO request_minute (minute, service, requests, errors, tokens, usd) VALUES (?, 'shop', ?, 0, 0, 0)",
            ((NOW - 120) // 60, count),
        )
        seen(connection, [("", "", "shop")], NOW - 120)


def test_nothing_is_wrong_where_nothing_is(open_web: OpenWeb) -> None:
    """Backlogs that are usual are none of anybody's business."""
    web = open_web(**QUIET)
    web.health.add("mlflow", lambda: "")
    assert web.get("/status.json").json()["problems"] == []


def test_what_waits_for_mlflow_is_one_problem(open_web: OpenWeb) -> None:
    """Its consequences are not listed beside it; a loop that stands still by itself is."""
    web = open_web(**QUIET)
    for name in ("mlflow", "storing", "judging:0", "feedback"):
        web.health.add(name, lambda: "it is not running")
    web.health.add("prune", lambda: "it fails: see the log")
    found = problems(web)
    assert [*found] == ["mlflow", "component prune"]
    assert (found["mlflow"]["severity"], found["mlflow"]["runbook"], found["mlflow"]["since"]) == (
        "critical",
        "mlflow",
        NOW,
    )


def test_what_waits_for_the_state_database_is_no_fault_of_mlflow(open_web: OpenWeb) -> None:
    """One problem, whose age is that of what is wrong, not of the first look at it."""
    web = open_web(**QUIET)
    for name in ("storing", "judging:0", "alerts", "delivery:ops"):
        web.health.add(name, lambda: "it fails: see the log")
    web.health.add("state_database", lambda: "another process holds its lock, for 8 s now", lambda: 8.0)
    (found,) = problems(web).items()
    assert (found[0], found[1]["severity"], found[1]["since"]) == ("state_database", "critical", NOW - 8)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"requests": 40, "oldest_at": NOW - 4000}, "40 requests wait, the oldest for 1h6m40s"),
        ({"bytes": 3 << 28}, "the journal is 75% full"),
        ({"free_bytes": LEAST_FREE_BYTES - 1}, "537 MB are left on the disk of data_dir"),
    ],
)
def test_the_journal_and_its_disk(open_web: OpenWeb, changes: dict[str, float], said: str) -> None:
    """Lag, size and room are reported before anything is refused."""
    web = open_web(**QUIET)
    web.journal = replace(web.journal, **changes)
    (found,) = problems(web).values()
    assert found["text"] == said


def test_dead_letters_wait_for_a_decision(database: Database, open_web: OpenWeb) -> None:
    """They are in no figure."""
    letter = DeadLetter(trace_id="tr-1", service="shop", error="no", traces=b"x", logs=b"", recorded_at=NOW, tenant="")
    with database.transaction() as connection:
        DeadLetters.put(connection, letter)
    assert problems(open_web(**QUIET))["dead_letters"]["text"].startswith("1 trace could not be stored")


def test_a_spent_budget_names_judge_and_window(database: Database, open_web: OpenWeb) -> None:
    """And what it means."""
    judge = {"name": "safety", "model": "openai:/gpt-5-mini", "budget": {"tokens_per_hour": 1000}}
    web = open_web(**QUIET, judges=["groundedness", judge])
    with database.transaction() as connection:
        web.spending.book(connection, "safety", "tr-1", Usage(input_tokens=1000, output_tokens=100), NOW)
    found = problems(web)["budget safety"]
    assert found["text"] == "110% of 1,000 tokens an hour is spent"
    assert "make no call until" in found["meaning"]


class TestSilentJudges:
    def test_one_that_scored_and_does_not_any_more(self, database: Database, open_web: OpenWeb) -> None:
        """As soon as ten scores are missing, by the share of the traces that it scored before."""
        outcomes(database, "groundedness", scored=50, sampled_out=450)
        with database.transaction() as connection:
            seen(connection, [("groundedness", "local", "shop")], NOW - 3600)
        request_minutes(database, 90)
        web = open_web(**QUIET, judges=["groundedness"])
        assert problems(web) == {}
        with database.transaction() as connection:
            connection.execute("UPDATE request_minute SET requests = requests + 15")
        assert problems(web)["no_scores groundedness"]["since"] == NOW - 3600

    @pytest.mark.parametrize(
        ("counts", "severity", "reason"),
        [
            ({"failed": 30}, "warning", "its calls fail (30 traces)"),
            ({"not_applicable": 30}, "info", "the traces lack what it needs"),
            ({"sampled_out": 300}, "info", "none was picked at its rate"),
        ],
    )
    def test_one_that_never_scored(
        self, database: Database, open_web: OpenWeb, counts: dict[str, int], severity: str, reason: str
    ) -> None:
        """By what became of its traces; what the configuration may mean so is not a warning."""
        outcomes(database, "groundedness", **counts)
        request_minutes(database, 300)
        found = problems(open_web(**QUIET, judges=["groundedness"]))["no_scores groundedness"]
        assert (found["severity"], reason in found["text"]) == (severity, True)

    def test_one_that_was_not_picked_yet_is_not_told(self, database: Database, open_web: OpenWeb) -> None:
        """Of twenty traces a tenth is two: chance leaves them out."""
        outcomes(database, "groundedness", sampled_out=20)
        request_minutes(database, 20)
        assert problems(open_web(**QUIET, judges=["groundedness"])) == {}
