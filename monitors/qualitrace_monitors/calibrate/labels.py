"""Reads experts' labels from MLflow, and pairs them with the judge's scores of the same traces."""

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, cast

from mlflow import MlflowClient
from mlflow.entities import Assessment, Feedback, TraceInfo

from qualitrace_collector.person_feedback import SOURCE_KEY, read_label
from qualitrace_monitors.judges.contract import Label

PAGE = 500


@dataclass(frozen=True, slots=True)
class LabelledScore:
    """One trace: the judge's value (0 to 1) and verdict, and whether experts call the answer good."""

    value: float
    label: Label
    good: bool


@dataclass(slots=True)
class LabelledScores:
    """A judge's scores of labelled traces, and why other labelled traces have none.

    Attributes:
        version: the judge's version that the pairs are of.
        pairs: by trace id.
        experiments: pairs by the id of their experiment.
        left_out: labelled traces without a pair, by reason.
    """

    version: str = ""
    pairs: dict[str, LabelledScore] = field(default_factory=dict[str, LabelledScore])
    experiments: Counter[str] = field(default_factory=Counter[str])
    left_out: Counter[str] = field(default_factory=Counter[str])


def collect(
    client: MlflowClient,
    judge: str,
    label: str,
    version: str | None = None,
    progress: Callable[[int], object] = lambda _: None,
) -> LabelledScores:
    """Pair the scores of `judge` with the experts' assessments called `label`, over all experiments.

    Experts' assessments are the human ones, except those that end users sent to the feedback door. Where several
    experts labelled a trace, the majority counts.

    Args:
        version: of the judge; by default that of its newest score on a labelled trace.
        progress: gets how many labelled traces were read.
    """
    labelled: list[tuple[TraceInfo, list[bool]]] = []
    for number, info in enumerate(_traces(client, label), 1):
        progress(number)
        if opinions := _opinions(info, label):
            labelled.append((info, opinions))
    scores = {info.trace_id: _scores(info, judge) for info, _ in labelled}
    newest = max((item for items in scores.values() for item in items), key=_created, default=None)
    found = LabelledScores(version or (_version(newest) if newest is not None else ""))
    for info, opinions in labelled:
        own = [item for item in scores[info.trace_id] if _version(item) == found.version]
        if opinions.count(True) * 2 == len(opinions):
            found.left_out["experts disagree"] += 1
        elif not own:
            reason = "scored by another version" if scores[info.trace_id] else "not scored"
            found.left_out[reason] += 1
        else:
            score = max(own, key=_created)
            good = opinions.count(True) * 2 > len(opinions)
            value, verdict = cast(float, score.value), _metadata(score)["qualitrace.label"]
            found.pairs[info.trace_id] = LabelledScore(value, verdict, good)
            found.experiments[str(info.experiment_id)] += 1
    return found


def _traces(client: MlflowClient, label: str) -> Iterator[TraceInfo]:
    experiments = [experiment.experiment_id for experiment in client.search_experiments()]
    query, token = f"feedback.`{label}` IS NOT NULL", None
    while True:
        page = client.search_traces(
            locations=experiments, filter_string=query, max_results=PAGE, page_token=token, include_spans=False
        )
        yield from (trace.info for trace in page)
        if not (token := page.token):
            return


def _opinions(info: TraceInfo, label: str) -> list[bool]:
    """Return each expert's newest opinion, true for good; values that are neither good nor bad are left out."""
    newest: dict[str, bool] = {}
    for item in sorted(_feedback(info, label), key=_created):
        # MLflow's own UI sets no source: whoever assesses there counts as an expert.
        by_expert = _source_type(item) == "HUMAN" and _metadata(item).get(SOURCE_KEY) != "user"
        good = read_label(item.value)
        if by_expert and good is not None:
            newest[str(item.source.source_id)] = good
    return list(newest.values())


def _scores(info: TraceInfo, judge: str) -> list[Feedback]:
    items = _feedback(info, judge)
    return [item for item in items if _source_type(item) != "HUMAN" and "qualitrace.label" in _metadata(item)]


def _feedback(info: TraceInfo, name: str) -> Sequence[Feedback]:
    return [i for i in info.assessments if isinstance(i, Feedback) and i.name == name and i.valid is not False]


def _source_type(item: Assessment) -> str:
    return str(item.source.source_type)


def _version(item: Assessment) -> str:
    return _metadata(item).get("qualitrace.judge_version", "")


def _created(item: Assessment) -> int:
    return item.create_time_ms or 0


def _metadata(item: Assessment) -> Mapping[str, Any]:
    return item.metadata or {}
