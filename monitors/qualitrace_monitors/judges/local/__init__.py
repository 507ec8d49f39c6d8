"""Judges by rules alone, and what the rules of several metrics share: forms of text, numbers, sentences, languages."""

from dataclasses import replace

from qualitrace_collector.sample import Sample
from qualitrace_monitors.judges.contract import BuiltinMetric, Finding, Label, Score, TextName, Tier, short_hash
from qualitrace_monitors.judges.local.text import MAX_ANSWER


class LocalJudge:
    """Scores by the local rules of a metric: no network, no key, about a millisecond. Thread-safe.

    Args:
        name: the judge's name.
        metric: whose rules decide.
        threshold: the lowest value that passes, else the metric's own.
    """

    tier: Tier = "local"

    def __init__(self, name: str, metric: BuiltinMetric, threshold: float | None = None) -> None:
        self.name = name
        self.source_id, self.model = f"qualitrace/{metric.name}", ""
        self.pass_mark = metric.pass_at if threshold is None else threshold
        self.version = f"{metric.version}-{short_hash(metric.name, self.pass_mark)}"
        self._metric = metric

    def score(self, sample: Sample) -> Score:
        """Judge one sample.

        Raises:
            NotApplicable: the sample lacks what the metric needs.
        """
        # The rules take time linear in the text, so the bound on texts bounds the time of a judgement.
        seen = replace(sample, inputs=sample.inputs[:MAX_ANSWER], outputs=sample.outputs[:MAX_ANSWER])
        self._metric.check(seen)
        finding = self._metric.assess(seen)
        truncated = self._truncated(sample, finding)
        label, guess = self._label(finding, truncated)
        return Score(
            value=finding.value,
            label=label,
            rationale=f"{finding.rationale} Not sure: {guess}." if guess else finding.rationale,
            details=(("truncated", ", ".join(truncated)),) if truncated else (),
        )

    def _truncated(self, sample: Sample, finding: Finding) -> list[TextName]:
        """List the texts that were cut, of those that the metric reports."""
        metric = self._metric
        reported = {*metric.needs, *metric.whole_for_pass, *metric.whole_for_fail}
        cut: set[TextName] = set(finding.truncated)
        cut |= {"inputs"} if len(sample.inputs) > MAX_ANSWER else set()
        cut |= {"outputs"} if len(sample.outputs) > MAX_ANSWER else set()
        return sorted(cut & reported)

    def _label(self, finding: Finding, truncated: list[TextName]) -> tuple[Label, str]:
        """Return the label, and why it is unsure where the value alone would decide."""
        metric = self._metric
        if finding.value >= self.pass_mark:
            guess = finding.doubt or _unseen(metric.whole_for_pass, truncated)
            return ("unsure", guess) if guess else ("pass", "")
        if finding.value < self.pass_mark - metric.unsure_band:
            guess = finding.excuse or _unseen(metric.whole_for_fail, truncated)
            return ("unsure", guess) if guess else ("fail", "")
        return "unsure", finding.doubt


def _unseen(needed: tuple[TextName, ...], truncated: list[TextName]) -> str:
    cut = [name for name in truncated if name in needed]
    return f"the unseen rest of the {' and the '.join(cut)} could change the verdict" if cut else ""
