"""Pass rates corrected by experts' labels: what they rest on, and that their intervals hold."""

from collections.abc import Callable

import numpy as np
import pytest
from scipy.stats import binomtest

from qualitrace_collector.person_feedback import PersonFeedback
from qualitrace_collector.state import Database, ExpertLabels
from qualitrace_monitors.estimate.corrected import Corrected, correct
from qualitrace_monitors.estimate.estimator import Estimate, Estimator
from qualitrace_monitors.estimate.interval import Moments

NOW = 1_000_000.0
AddScore = Callable[..., str]
Label = Callable[..., None]


@pytest.fixture
def label(database: Database) -> Label:
    """Let an expert label a trace."""

    def give(trace_id: str, value: bool | str, user: str = "ada", source: str = "expert") -> None:
        fields = {"trace_id": trace_id, "name": "groundedness", "value": value, "user": user, "source": source}
        with database.transaction() as connection:
            ExpertLabels.put(connection, PersonFeedback.model_validate(fields), NOW)

    return give


def corrected(database: Database) -> list[Corrected]:
    return correct(database, Estimator(database).estimates(NOW, 60))


def test_labels_correct_the_judges_error(database: Database, add_score: AddScore, label: Label) -> None:
    """By hand: of 60 passes experts call 2 of 10 bad, of 40 fails 5 of 10 good: 0.6 · 0.8 + 0.4 · 0.5."""
    passes = [add_score(database, "pass", NOW) for _ in range(60)]
    fails = [add_score(database, "fail", NOW) for _ in range(40)]
    for number in range(10):
        label(passes[number], number >= 2)
        label(fails[number], number >= 5)
    [found] = corrected(database)
    assert found.pass_rate == pytest.approx(0.68)
    assert found.labels == 20
    assert found.interval[0] < 0.68 < found.interval[1]
    assert found.interval[1] - found.interval[0] < 0.6


def test_no_label_no_correction(database: Database, add_score: AddScore, label: Label) -> None:
    """Nor by an end user, by experts who disagree, or for an answer that was judged because it was disliked."""
    by_user, disputed = (add_score(database, "pass", NOW) for _ in range(2))
    disliked = add_score(database, "fail", NOW, inclusion_probability=0.0)
    label(by_user, False, source="user")
    label(disputed, True)
    label(disputed, False, user="bob")
    label(disliked, False)
    assert corrected(database) == []


def test_a_verdict_without_labels_leaves_its_part_open(database: Database, add_score: AddScore, label: Label) -> None:
    """Half of the answers fail and none of them was looked at: half of the interval is theirs."""
    passes = [add_score(database, "pass", NOW) for _ in range(50)]
    for _ in range(50):
        add_score(database, "fail", NOW)
    for trace_id in passes[:40]:
        label(trace_id, True)
    [found] = corrected(database)
    assert found.pass_rate == pytest.approx(0.5)
    assert found.interval[1] == 1.0
    assert found.interval[0] < 0.5


def test_labels_of_an_earlier_version_do_not_count(database: Database, add_score: AddScore, label: Label) -> None:
    """Another version of the judge makes other errors."""
    label(add_score(database, "pass", NOW - 40, version="1"), False)
    for _ in range(3):
        label(add_score(database, "pass", NOW, version="2"), True)
    [found] = corrected(database)
    assert (found.labels, found.pass_rate) == (3, 1.0)


def test_labels_that_all_agree_are_not_certainty(database: Database, add_score: AddScore, label: Label) -> None:
    """Twenty passes, all labelled good: no more is known than what twenty labels tell."""
    for _ in range(20):
        label(add_score(database, "pass", NOW), True)
    [found] = corrected(database)
    assert found.interval[0] <= binomtest(20, 20).proportion_ci(0.95, method="exact").low
    assert found.interval[1] == 1.0


def measured(service: str, passed: int, scores: int) -> Estimate:
    """Make the estimate of a judge that is never unsure."""
    moments = Moments.of([1.0] * passed + [0.0] * (scores - passed))
    return Estimate(
        judge="groundedness", tier="local", service=service, window=60, confidence=0.95, samples=scores,
        effective_samples=scores, pass_rate=passed / scores, mean_score=passed / scores, unsure_share=0.0,
        sampling_rate=1.0, passed=moments, not_failed=moments, value=moments, unsure=Moments.of([0.0] * scores),
    )  # fmt: skip


def test_the_interval_covers_the_truth(database: Database) -> None:
    """With a judge that errs on 10 % of the good and 30 % of the bad answers, at 40 labels, half of them of fails."""
    random, streams, truth = np.random.default_rng(3), 300, 0.85
    estimates: list[Estimate] = []
    with database.transaction() as connection:
        for stream in range(streams):
            good = random.random(300) < truth
            passed = random.random(300) < np.where(good, 0.9, 0.3)
            estimates.append(measured(f"s{stream}", int(passed.sum()), 300))
            for number in (*np.flatnonzero(passed)[:20], *np.flatnonzero(~passed)[:20]):
                label = "pass" if passed[number] else "fail"
                connection.execute(
                    "INSERT INTO score (trace_id, judge, version, tier, service, model, prompt_version, value, label, "
                    "rationale, inclusion_probability, assessment_id, tokens, completed_at, scored_at) VALUES "
                    "(?, 'groundedness', '1', 'local', ?, '', '', 1, ?, '', 1, '', 0, ?, ?)",
                    (f"tr-{stream}-{number}", f"s{stream}", label, NOW, NOW),
                )
                row = (f"tr-{stream}-{number}", int(good[number]), NOW)
                connection.execute("INSERT INTO expert_label VALUES (?, 'groundedness', 'ada', ?, ?)", row)
    found = correct(database, estimates)
    held = sum(each.interval[0] <= truth <= each.interval[1] for each in found)
    assert len(found) == streams
    assert held / streams >= 0.95 - 2 * (0.95 * 0.05 / streams) ** 0.5
