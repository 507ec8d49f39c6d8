"""What a local judge is: rules that read a sample, and the bands that turn their value into a label."""

from collections.abc import Callable
from dataclasses import dataclass

from qualitrace_collector.sample import Sample
from qualitrace_monitors.judges.contract import Label, Score, Tier
from qualitrace_monitors.judges.settings import JudgeConfig
from qualitrace_monitors.judges.versions import folder_digest, short_hash


@dataclass(frozen=True, slots=True)
class Finding:
    """What the rules of a metric found.

    Attributes:
        value: 0 to 1, where 1 is good.
        rationale: why, for a person.
        truncated: which texts were cut at their limit before they were looked at.
        doubt: why a value that passes would be a guess; empty where it would not.
        excuse: why a value that fails would be a guess; empty where it would not.
    """

    value: float
    rationale: str
    truncated: tuple[str, ...] = ()
    doubt: str = ""
    excuse: str = ""


@dataclass(frozen=True, slots=True)
class Rules:
    """The rules of a metric.

    Attributes:
        metric: its name.
        assess: reads a sample; raises NotApplicable when it lacks something.
        pass_at: the least value that passes, unless configured.
        doubt: how far below the pass mark the verdict is still unsure.
        pass_needs: the texts whose unseen part could turn a pass; with one of them truncated there is none.
        fail_needs: the texts whose unseen part could turn a fail.
    """

    metric: str
    assess: Callable[[Sample], Finding]
    pass_at: float
    doubt: float
    pass_needs: frozenset[str] = frozenset()
    fail_needs: frozenset[str] = frozenset()


class LocalJudge:
    """Scores by rules alone: no network, no key, about a millisecond."""

    tier: Tier = "local"

    def __init__(self, config: JudgeConfig, rules: Rules) -> None:
        self.name = config.name
        self.source_id = f"qualitrace/{rules.metric}"
        self._rules = rules
        self.pass_mark = rules.pass_at if config.threshold is None else config.threshold
        self._unsure_from = self.pass_mark - rules.doubt
        self.version = short_hash(rules.metric, self.pass_mark, rules.doubt, folder_digest(__file__))

    def score(self, sample: Sample) -> Score:
        """Judge one sample.

        Raises:
            NotApplicable: the sample lacks what the metric needs.
        """
        finding = self._rules.assess(sample)
        details = (("truncated", ", ".join(finding.truncated)),) if finding.truncated else ()
        label, guess = self._label(finding)
        rationale = f"{finding.rationale} Not sure: {guess}." if guess else finding.rationale
        return Score(value=finding.value, label=label, rationale=rationale, details=details)

    def _label(self, finding: Finding) -> tuple[Label, str]:
        """Return the label, and why it is unsure where the value alone would not be."""
        if finding.value >= self.pass_mark:
            guess = finding.doubt or _unseen(self._rules.pass_needs, finding)
            return ("unsure", guess) if guess else ("pass", "")
        if finding.value < self._unsure_from:
            guess = finding.excuse or _unseen(self._rules.fail_needs, finding)
            return ("unsure", guess) if guess else ("fail", "")
        return "unsure", finding.doubt


def _unseen(needed: frozenset[str], finding: Finding) -> str:
    cut = [name for name in finding.truncated if name in needed]
    return f"the unseen rest of the {' and the '.join(cut)} could change the verdict" if cut else ""
