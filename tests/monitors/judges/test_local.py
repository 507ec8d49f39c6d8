"""What holds for every local judge: any text, any length, thresholds, versions, no heavy imports."""

import subprocess
import sys
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qualitrace_collector.sample import Sample
from qualitrace_monitors.judges.build import build_judge
from qualitrace_monitors.judges.contract import Judge, NotApplicable
from qualitrace_monitors.judges.settings import METRICS, JudgeConfig

JUDGES = [build_judge(JudgeConfig(name=name)) for name in METRICS]
EVERY = pytest.mark.parametrize("judge", JUDGES, ids=lambda judge: judge.name)

ANY_TEXT = st.text(max_size=200) | st.text(alphabet="a1A .?!“'\n\0保証é{}\ud800[]*", max_size=200)


def test_each_metric_has_a_local_judge_named_after_it() -> None:
    """Names, tier and source are what assessments will show."""
    assert [(judge.name, judge.tier, judge.source_id) for judge in JUDGES] == [
        (name, "local", f"qualitrace/{name}") for name in METRICS
    ]


@EVERY
@given(question=ANY_TEXT, answer=ANY_TEXT, passages=st.lists(ANY_TEXT, max_size=3))
def test_any_text_gives_a_value_from_0_to_1(judge: Judge, question: str, answer: str, passages: list[str]) -> None:
    """No text raises anything but NotApplicable; the rationale is never empty."""
    try:
        score = judge.score(Sample(inputs=question, outputs=answer, passages=tuple(passages)))
    except NotApplicable:
        return
    assert 0 <= score.value <= 1
    assert score.rationale


@EVERY
@pytest.mark.parametrize(
    "unit",
    ["word ", "a", "1", "1. ", "kill my ", "保", "(", "\n", "I am not ", "reasons why black ", '"." ', "A.B", "['’"],
)
def test_a_megabyte_is_cut_and_judged_soon(judge: Judge, unit: str) -> None:
    """Long text of any shape is cut at the limit: it costs no ten seconds of CPU, and the score says what was cut."""
    text = ("Yes it is. " + unit * 1_000_000)[:1_000_000]
    started = time.process_time()
    score = judge.score(Sample(inputs=text, outputs=text, passages=(text,)))
    assert time.process_time() - started < 10  # of a loaded machine; what grows with the square takes minutes
    assert {"inputs", "outputs"} & set(dict(score.details)["truncated"].split(", "))


@EVERY
def test_what_is_not_cut_is_not_called_truncated(judge: Judge) -> None:
    """A short sample's score has no details."""
    assert judge.score(Sample(inputs="Is it free?", outputs="It is free.", passages=("It is free.",))).details == ()


def test_a_threshold_moves_the_pass_mark_and_the_band_below_it() -> None:
    """With the threshold at an answer's value it passes, just above it is unsure, far above it fails."""
    sample = Sample(
        outputs="Lunch is served at noon in Oslo by Henrik.", passages=("Lunch is served at noon in the hall.",)
    )
    value = build_judge(JudgeConfig(name="groundedness")).score(sample).value
    labels = []
    for threshold in (value, value + 0.1, value + 0.4):
        judge = build_judge(JudgeConfig(name="groundedness", threshold=threshold))
        labels.append(judge.score(sample).label)
    assert labels == ["pass", "unsure", "fail"]


def test_versions_differ_by_metric_and_threshold_and_not_by_name() -> None:
    """What can change a label changes the version; what it is called does not."""

    def version(**settings: object) -> str:
        return build_judge(JudgeConfig.model_validate(settings)).version

    plain = version(name="safety")
    assert plain == version(name="another", metric="safety")
    assert len({plain, version(name="toxicity"), version(name="safety", threshold=0.9)}) == 3


def test_building_local_judges_loads_nothing_heavy() -> None:
    """The local judges come without MLflow, scikit-learn, pandas and scipy."""
    code = (
        "import sys; from qualitrace_monitors.judges.settings import JudgeConfig;"
        "from qualitrace_collector.sample import Sample; from qualitrace_monitors.judges.build import build_judge;"
        "judge = build_judge(JudgeConfig(name='toxicity')); judge.score(Sample(outputs='Hello'));"
        "print([name for name in ('mlflow', 'sklearn', 'pandas', 'scipy', 'torch') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
