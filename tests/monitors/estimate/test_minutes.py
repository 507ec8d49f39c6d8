"""The sums that estimates rest on are kept by the minute: they are those of the scores, whatever happened to these."""

import math
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from qualitrace_collector.state import Database
from qualitrace_monitors.estimate import pairs, scores
from qualitrace_monitors.estimate.estimator import Estimator
from qualitrace_monitors.estimate.interval import Moments
from qualitrace_monitors.estimate.scores import ScoreRow

START = 1_700_000_040.0
"""The beginning of a minute."""

times = st.one_of(st.integers(0, 10).map(lambda n: START + n * 60.0), st.floats(START, START + 600))
rows = st.builds(
    lambda trace, **values: ScoreRow(
        trace_id=f"tr-{trace}",
        version="1",
        model="",
        prompt_version="",
        rationale="",
        assessment_id="",
        tokens=0,
        cost_usd=None,
        scored_at=START,
        **values,
    ),
    trace=st.integers(0, 9),
    judge=st.sampled_from(["safety", "relevance"]),
    tier=st.sampled_from(["local", "llm"]),
    service=st.sampled_from(["shop", "faq"]),
    value=st.floats(0, 1),
    label=st.sampled_from(["pass", "fail", "unsure"]),
    inclusion_probability=st.sampled_from([0.0, 0.01, 0.3, 1.0]),
    completed_at=times,
)
set_aside = st.tuples(st.integers(0, 9).map(lambda n: f"tr-{n}"), st.sampled_from(["safety", "relevance"]))


@settings(max_examples=60)
@given(
    changes=st.lists(st.one_of(rows, rows, set_aside), min_size=5, max_size=40),
    more=st.lists(rows, max_size=10),
    forgotten=st.floats(START, START + 300),
)
def test_the_estimates_are_those_of_the_scores_one_by_one(
    changes: list[Any], more: list[ScoreRow], forgotten: float
) -> None:
    """Saved, replaced, set aside and forgotten: every window sums up to what a loop over its scores does."""
    with TemporaryDirectory() as folder:
        database = Database(Path(folder) / "state.db")
        apply(database, changes)
        check(database)
        scores.prune(database, forgotten)
        check(database)
        apply(database, more)
        check(database)
        database.close()


def apply(database: Database, changes: Sequence[Any]) -> None:
    with database.transaction() as connection:
        for change in changes:
            if isinstance(change, ScoreRow):
                change.save(connection)
            else:
                ScoreRow.set_aside(connection, *change)


def check(database: Database) -> None:
    """Compare the estimates over windows that begin and end on minutes, within them, and in the same one."""
    for first in (-1.0, 0.0, 60.0, 90.5, 119.0):
        for last in (100.0, 120.0, 420.0, 540.5, 601.0):
            start, now = START + first, START + last
            found = Estimator(database).estimates(now, now - start) if start < now else []
            found = [one for one in found if one.tier != "joined"]
            check_pairs(database, start, now)
            expected = one_by_one(database, start, now)
            assert [(one.judge, one.tier, one.service, one.samples) for one in found] == [key for key, *_ in expected]
            for one, (_, mean, interval, pass_rate, unsure_share) in zip(found, expected, strict=True):
                assert (one.mean_score, one.unsure_share) == pytest.approx((mean, unsure_share), abs=1e-6)
                assert one.mean_score_interval == pytest.approx(interval, abs=1e-6)
                assert one.pass_rate == (None if pass_rate is None else pytest.approx(pass_rate, abs=1e-6))


def check_pairs(database: Database, start: float, now: float) -> None:
    """Compare the sums over pairs of scores with a loop over the traces that both tiers scored."""
    by_trace: dict[Any, dict[str, Any]] = defaultdict(dict)
    for row in database.connection().execute("SELECT * FROM score WHERE inclusion_probability > 0"):
        if start < row["completed_at"] <= now:
            by_trace[row["trace_id"], row["judge"], row["service"], row["completed_at"]][row["tier"]] = row
    expected: dict[Any, list[float]] = defaultdict(lambda: [0.0] * 5)
    for (_, judge, service, _), both in by_trace.items():
        if len(both) == 2:
            model, local = both["llm"], both["local"]
            weight, picked = 1 / model["inclusion_probability"], model["inclusion_probability"]
            picked = min(1.0, picked / local["inclusion_probability"])
            for place, term in enumerate(
                (
                    1.0,
                    weight * (model["label"] == "pass"),
                    (1 - picked) * weight**2 * model["value"] * local["value"],
                    (1 - picked) * weight**2 * (model["label"] != "fail") * (local["label"] != "fail"),
                    picked * weight**2 * model["value"] ** 2,
                )
            ):
                expected[judge, service][place] += term
    found = pairs.sum_up(database, start, now, None, None)
    names = ("samples", "w_passed", "a_value_local_value", "a_not_failed_local_not_failed", "b_value_value")
    assert {key: [sums[name] for name in names] for key, sums in found.items()} == {
        key: pytest.approx(sums, abs=1e-6) for key, sums in expected.items()
    }


def one_by_one(database: Database, start: float, now: float) -> list[Any]:
    """Return key with size, mean score, its interval, pass rate and share of unsure scores of each group."""
    groups: dict[Any, list[Any]] = defaultdict(list)
    for row in database.connection().execute("SELECT * FROM score WHERE inclusion_probability > 0"):
        if start < row["completed_at"] <= now:
            groups[row["judge"], row["tier"], row["service"]].append(row)
    found: list[Any] = []
    for key, group in sorted(groups.items()):
        weighted = [(1 / row["inclusion_probability"], row["value"]) for row in group]
        moments = Moments(
            weight=math.fsum(w for w, _ in weighted),
            squared_weight=math.fsum(w * w for w, _ in weighted),
            first=math.fsum(w * y for w, y in weighted),
            second=math.fsum(w * y * y for w, y in weighted),
            squared_first=math.fsum(w * w * y for w, y in weighted),
            squared_second=math.fsum(w * w * y * y for w, y in weighted),
        )
        share = {
            label: math.fsum(w for (w, _), row in zip(weighted, group, strict=True) if row["label"] == label)
            for label in ("pass", "fail", "unsure")
        }
        decided = share["pass"] + share["fail"]
        pass_rate = share["pass"] / decided if decided else None
        interval = moments.interval(0.95)
        found.append(((*key, len(group)), moments.mean, interval, pass_rate, share["unsure"] / moments.weight))
    return found
