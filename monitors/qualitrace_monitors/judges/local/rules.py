"""What a local judge is: rules that read a sample, and the bands that turn their value into a label."""

from collections.abc import Callable
from dataclasses import dataclass

from qualitrace_collector.config.quality import JudgeConfig
from qualitrace_collector.samples import Sample
from qualitrace_monitors.judges.contract import Label, Score, Tier
from qualitrace_monitors.judges.versions import folder_digest, short_hash


@dataclass(frozen=True, slots=True)
class Finding:
    """What the rules of a metric found.

    Attributes:
        value: 0 to 1, where 1 is good.
        rationale: why, for a person.
        truncated: which texts were cut at their limit before they were looked at.
        doubt: why a value that passes would be a guess; empty where it would not.
    """

    value: float
    rationale: str
    truncated: tuple[str, ...] = ()
    doubt: str = ""


@dataclass(frozen=True, slots=True)
class Rules:
    """The rules of a metric.

    Attributes:
        metric: its name.
        assess: reads a sample; raises NotApplicable when it lacks something.
        pass_at: the least value that passes, unless configured.
        doubt: how far below the pass mark the verdict is still unsure.
    """

    metric: str
    assess: Callable[[Sample], Finding]
    pass_at: float
    doubt: float


class LocalJudge:
    """Scores by rules alone: no network, no key, about a millisecond."""

    tier: Tier = "local"

    def __init__(self, config: JudgeConfig, rules: Rules) -> None:
        self.name = config.name
        self.source_id = f"qualitrace/{rules.metric}"
        self._assess = rules.assess
        self.pass_mark = rules.pass_at if config.threshold is None else config.threshold
        self._unsure_from = self.pass_mark - rules.doubt
        self.version = short_hash(rules.metric, self.pass_mark, rules.doubt, folder_digest(__file__))

    def score(self, sample: Sample) -> Score:
        """Judge one sample.

        Raises:
            NotApplicable: the sample lacks what the metric needs.
        """
        finding = self._assess(sample)
        details = (("truncated", ", ".join(finding.truncated)),) if finding.truncated else ()
        label = self._label(finding)
        doubted = label == "unsure" and finding.doubt
        rationale = f"{finding.rationale} Not sure: {finding.doubt}." if doubted else finding.rationale
        return Score(value=finding.value, label=label, rationale=rationale, details=details)

    def _label(self, finding: Finding) -> Label:
        if finding.value < self._unsure_from:
            return "fail"
        return "pass" if finding.value >= self.pass_mark and not finding.doubt else "unsure"
