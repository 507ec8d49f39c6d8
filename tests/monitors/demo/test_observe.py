"""What the demo reads: quality and alert from a /metrics page, timings and counts from the databases."""

import sqlite3
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qualitrace_collector.sample import Sample
from qualitrace_collector.state import Database, JudgeQueue, JudgeTask
from qualitrace_monitors.demo.observe import Metrics, Quality, freshness, traces_in_mlflow
from qualitrace_monitors.estimate.scores import ScoreRow

OURS = 'judge="groundedness",tier="local",service="shop-assistant"'
PAGE = f"""
# TYPE qualitrace_pass_rate gauge
qualitrace_pass_rate{{{OURS},window="1h"}} 0.5
qualitrace_pass_rate{{{OURS},window="15s"}} 0.75
qualitrace_pass_rate{{judge="safety",tier="local",service="shop-assistant",window="15s"}} 1.0
# TYPE qualitrace_pass_rate_lower gauge
qualitrace_pass_rate_lower{{{OURS},window="15s"}} 0.625
# TYPE qualitrace_pass_rate_upper gauge
qualitrace_pass_rate_upper{{{OURS},window="15s"}} 0.875
# TYPE qualitrace_pass_rate_samples gauge
qualitrace_pass_rate_samples{{{OURS},window="15s"}} 24
# TYPE qualitrace_traces_total counter
qualitrace_traces_total{{service="shop-assistant",outcome="stored"}} 30
qualitrace_traces_total{{service="shop-assistant",outcome="not_genai"}} 2
qualitrace_traces_total{{service="other",outcome="stored"}} 9
# TYPE qualitrace_alert_state gauge
qualitrace_alert_state{{alert="low",service="shop-assistant",state="pending"}} 0
qualitrace_alert_state{{alert="low",service="shop-assistant",state="firing"}} 1
qualitrace_alert_state{{alert="high",service="shop-assistant",state="pending"}} 0
"""


def test_quality_is_that_of_the_judge_and_window() -> None:
    """The estimate, its interval and its samples come from the series with the demo's labels and no other."""
    assert Metrics(PAGE).quality("15s") == Quality(rate=0.75, lower=0.625, upper=0.875, samples=24)


def test_quality_is_unknown_without_scores() -> None:
    """No series, a part of it, or an estimate of nothing is no quality."""
    assert Metrics("").quality("15s") is None
    assert Metrics(PAGE).quality("1h") is None
    assert Metrics(PAGE.replace("} 24", "} 0").replace("} 0.75", "} NaN")).quality("15s") is None


def test_totals_sum_the_series_with_the_labels() -> None:
    """Only series that carry all given labels count."""
    assert Metrics(PAGE).total("qualitrace_traces_total", service="shop-assistant", outcome="stored") == 30
    assert Metrics(PAGE).total("qualitrace_traces_total", outcome="stored") == 39
    assert Metrics(PAGE).total("qualitrace_absent_total") == 0


def test_alert_state_is_the_one_that_is_set() -> None:
    """The state whose series is 1 is the alert's, and an alert without one is inactive."""
    assert Metrics(PAGE).alert_state("low") == "firing"
    assert Metrics(PAGE).alert_state("high") == "inactive"


@pytest.fixture
def state(tmp_path: Path) -> Database:
    """A state database with the tables the server makes."""
    return Database(tmp_path / "state.db")


def _score(database: Database, trace_id: str, root_ended_at: float, scored_at: float) -> None:
    common: dict[str, Any] = {
        "trace_id": trace_id,
        "judge": "groundedness",
        "service": "shop-assistant",
        "completed_at": scored_at,
    }
    task = JudgeTask(**common, sample=Sample(), inclusion_probability=1.0, root_ended_at=root_ended_at)
    row = ScoreRow(
        **common,
        version="1",
        tier="local",
        model="",
        prompt_version="",
        value=1.0,
        label="pass",
        rationale="",
        inclusion_probability=1.0,
        assessment_id="a",
        tokens=0,
        cost_usd=None,
        scored_at=scored_at,
    )
    with database.transaction() as connection:
        JudgeQueue.put(connection, task)
        row.save(connection)


def test_freshness_is_measured_from_the_root_spans_end(state: Database) -> None:
    """A hundred and one scores that took 0.00 to 1.00 s have their percentiles at 0.50 and 0.95 s."""
    for hundredths in range(101):
        _score(state, f"tr-{hundredths}", root_ended_at=100.0, scored_at=100.0 + hundredths / 100)
    measured = freshness(state.path)
    assert measured is not None
    assert (measured.p50, measured.p95) == (pytest.approx(0.50), pytest.approx(0.95))


def test_freshness_is_unknown_before_the_second_score(state: Database) -> None:
    """Percentiles need two scores."""
    assert freshness(state.path) is None
    _score(state, "tr-1", 100.0, 101.0)
    assert freshness(state.path) is None


@given(st.integers(0, 50))
def test_counts_mlflows_traces(tmp_path_factory: pytest.TempPathFactory, count: int) -> None:
    """Every row of MLflow's trace table is counted."""
    path = tmp_path_factory.mktemp("mlflow") / "mlflow.db"
    connection = sqlite3.connect(path)
    connection.execute("CREATE TABLE trace_info (request_id TEXT)")
    connection.executemany("INSERT INTO trace_info VALUES (?)", [(str(number),) for number in range(count)])
    connection.commit()
    connection.close()
    assert traces_in_mlflow(path) == count
