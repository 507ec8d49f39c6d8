"""The sums that estimates rest on are kept by minute, hour and day: they are those of the scores, whatever happened to these."""

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
from qualitrace_collector.state.schema import BINS
from qualitrace_monitors.estimate import counting, pairs, scores
from qualitrace_monitors.estimate.distribution import distribution
from qualitrace_monitors.estimate.estimator import Estimate, Estimator
from qualitrace_monitors.estimate.interval import Moments
from qualitrace_monitors.estimate.scores import ScoreRow
from qualitrace_monitors.estimate.sums import DAY

START = 1_700_002_800.0
"""The beginning of the last hour of a day."""

LEAST = 0.01
"""Inclusion probability of the heaviest scores."""

times = st.one_of(
    st.integers(0, 20).map(lambda n: START + n * 600.0),
    st.floats(START, START + 3 * 3600),
    st.floats(START, START + 50 * 3600),
)


def score(trace: int, **values: Any) -> ScoreRow:
    """Make a score whose other columns do not matter."""
    return ScoreRow(
        trace_id=f"tr-{trace}",
        model="",
        prompt_version="",
        rationale="",
        assessment_id="",
        tokens=0,
        cost_usd=None,
        scored_at=START,
        least_probability=LEAST,
        **values,
    )


rows = st.builds(
    score,
    trace=st.integers(0, 14),
    judge=st.sampled_from(["safety", "relevance"]),
    version=st.sampled_from(["1", "2"]),
    tier=st.sampled_from(["local", "llm"]),
    service=st.sampled_from(["shop", "shop", "faq"]),
    value=st.floats(0, 1),
    label=st.sampled_from(["pass", "fail", "unsure"]),
    inclusion_probability=st.sampled_from([0.0, 0.01, 0.3, 1.0]),
    completed_at=times,
    session=st.sampled_from(["", "a", "a", "b"]),
    release=st.sampled_from(["", "1.4", "1.5"]),
)
set_aside = st.tuples(st.integers(0, 14).map(lambda n: f"tr-{n}"), st.sampled_from(["safety", "relevance"]))


@settings(max_examples=30)
@given(
    changes=st.lists(st.one_of(rows, rows, rows, set_aside), min_size=5, max_size=60),
    more=st.lists(rows, max_size=10),
    forgotten=st.floats(START, START + 27 * 3600),
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


@settings(max_examples=60)
@given(
    times=st.lists(
        st.tuples(st.integers(0, 5), st.sampled_from([0.0, 600.0, 3600.0, DAY, DAY + 1, DAY + 600, 2 * DAY])),
        max_size=9,
    )
)
def test_the_scores_of_a_session_come_in_any_order(times: list[tuple[int, float]]) -> None:
    """Also days late, or anew with another time, and where it is cut into parts: estimates are those of its scores."""
    same = {"judge": "safety", "version": "1", "tier": "local", "service": "shop", "label": "pass", "release": ""}
    with TemporaryDirectory() as folder, pytest.MonkeyPatch.context() as patch:
        patch.setattr(counting, "SESSION_SCORES", 3)
        database = Database(Path(folder) / "state.db")
        for number, (trace, seconds) in enumerate(times):
            own = {"value": number / 9, "inclusion_probability": 0.5, "completed_at": START + seconds, "session": "a"}
            apply(database, [score(trace, **same, **own)])
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
    """Compare estimates over windows that begin and end within an hour, and over several hours, with those by hand."""
    everything = [dict(row) for row in database.rows("SELECT * FROM score WHERE inclusion_probability > 0")]
    estimator = Estimator(database)
    for first in (-1.0, 605.0, 3600.0, 5410.0):
        for last in (1800.0, 7199.0, 51 * 3600.0):
            start, now = START + first, START + last
            if start < now:
                estimates = [one for one in estimator.estimates(now, now - start) if one.tier != "joined"]
                found = {(one.judge, one.tier, one.service): one for one in estimates}
                check_pairs(database, start, now)
                compare(found, groups(everything, start // 60, now // 60, 60.0))
                check_distributions(database, start, now, groups(everything, start // 3600, now // 3600, 3600.0))
                for by in ("release", "version"):
                    sliced = {
                        (one.judge, one.tier, one.service, value): one
                        for value, one in estimator.slices(by, now, now - start)
                    }
                    compare(sliced, groups(everything, start // 3600, now // 3600, 3600.0, by))


def check_distributions(database: Database, start: float, now: float, expected: dict[Any, list[Any]]) -> None:
    """Compare the shares of the bins with a loop over the scores."""
    for (judge, tier, service), group in expected.items():
        weights = [0.0] * BINS
        for row in group:
            weights[min(BINS - 1, int(row["value"] * BINS))] += 1 / row["inclusion_probability"]
        shares = [weight / sum(weights) for weight in weights]
        assert distribution(database, judge, service, tier, start, now) == pytest.approx(shares, abs=1e-6)


def check_pairs(database: Database, start: float, now: float) -> None:
    """Compare the sums over pairs of scores with a loop over the traces that both tiers scored."""
    by_trace: dict[Any, dict[str, Any]] = defaultdict(dict)
    for row in database.rows("SELECT * FROM score WHERE inclusion_probability > 0"):
        if start // 60 <= row["completed_at"] // 60 <= now // 60:
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


def groups(
    everything: Sequence[dict[str, Any]], first: float, last: float, unit: float, by: str = ""
) -> dict[Any, Any]:
    found: dict[Any, list[Any]] = defaultdict(list)
    for row in everything:
        if first <= row["completed_at"] // unit <= last and (not by or row[by]):
            key = (row["judge"], row["tier"], row["service"])
            found[(*key, row[by]) if by else key].append(row)
    return found


def compare(found: dict[Any, Estimate], expected: dict[Any, list[dict[str, Any]]]) -> None:
    assert found.keys() == expected.keys()
    for key, group in expected.items():
        one, total = found[key], math.fsum(1 / row["inclusion_probability"] for row in group)
        shares = {label: weighted(group, label) / total for label in ("pass", "fail", "unsure")}
        decided = shares["pass"] + shares["fail"]
        assert one.samples == len(group)
        assert one.unsure_share == pytest.approx(shares["unsure"], abs=1e-6)
        assert one.pass_rate == (pytest.approx(shares["pass"] / decided, abs=1e-6) if decided else None)
        value = moments(group, [row["value"] for row in group])
        assert one.mean_score == pytest.approx(value.mean, abs=1e-6)
        assert one.mean_score_interval == pytest.approx(value.interval(0.95), abs=1e-4)
        unsure = moments(group, [float(row["label"] == "unsure") for row in group])
        assert one.unsure_share_interval == pytest.approx(unsure.interval(0.95), abs=1e-4)
        passed = moments(group, [float(row["label"] == "pass") for row in group])
        assert one.pass_rate_interval[0] == pytest.approx(passed.interval(0.95)[0], abs=1e-4)


def weighted(group: Sequence[dict[str, Any]], label: str) -> float:
    return math.fsum(1 / row["inclusion_probability"] for row in group if row["label"] == label)


def moments(group: Sequence[dict[str, Any]], values: Sequence[float]) -> Moments:
    """Sum up by hand: over each session, or each score that has none."""
    clusters: dict[Any, list[tuple[float, float]]] = defaultdict(list)
    for row, value in zip(group, values, strict=True):
        w = 1 / row["inclusion_probability"]
        began = row["session_began"]
        clusters[row["trace_id"] if began is None else (row["session"], began)].append((w, w * value))
    sums = [tuple(math.fsum(part) for part in zip(*cluster, strict=True)) for cluster in clusters.values()]
    return Moments(
        weight=math.fsum(w for w, _ in sums),
        squared_weight=math.fsum(w * w for w, _ in sums),
        first=math.fsum(wy for _, wy in sums),
        squared_first=math.fsum(w * wy for w, wy in sums),
        squared_second=math.fsum(wy * wy for _, wy in sums),
        heaviest=1 / LEAST,
    )
