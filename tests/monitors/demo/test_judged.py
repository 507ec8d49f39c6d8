"""The demo's answers before the local judges: what they see is what the demo says happens."""

import pytest

from qualitrace_collector.config.quality import JudgeConfig
from qualitrace_collector.sample import Sample
from qualitrace_monitors.demo.answers import answer
from qualitrace_monitors.demo.retrieval import Index, load_handbook
from qualitrace_monitors.judges.builtin.grounding import GROUNDEDNESS
from qualitrace_monitors.judges.builtin.relevance import RELEVANCE
from qualitrace_monitors.judges.local.rules import LocalJudge, Rules


def _labels(rules: Rules, *, stale: bool) -> list[str]:
    """Judge the answer to each question of the handbook."""
    handbook = load_handbook()
    index = Index(handbook.passages)
    index.stale = stale
    judge = LocalJudge(JudgeConfig(name=rules.metric), rules)
    return [judge.score(_sample(question, index.search(question))).label for question in handbook.questions]


def _sample(question: str, passages: list[str]) -> Sample:
    return Sample(
        inputs=question,
        outputs=answer(question, "\n\n".join(passages)),
        passages=tuple(passages),
        passages_source="retriever",
    )


@pytest.mark.parametrize("rules", [GROUNDEDNESS, RELEVANCE], ids=["groundedness", "relevance"])
def test_every_healthy_answer_passes(rules: Rules) -> None:
    """With retrieval whole, each answer is both grounded and relevant."""
    assert set(_labels(rules, stale=False)) == {"pass"}


def test_broken_answers_are_not_grounded() -> None:
    """With stale retrieval at least four in five answers fail groundedness."""
    labels = _labels(GROUNDEDNESS, stale=True)
    assert labels.count("fail") >= 0.8 * len(labels)
