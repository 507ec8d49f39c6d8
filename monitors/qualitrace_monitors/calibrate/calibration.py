"""A judge compared with experts' labels: as JSON, as the page that is printed, and as a run of MLflow."""

import time
from dataclasses import asdict, dataclass
from typing import Any

from mlflow import MlflowClient
from mlflow.entities import Metric, Param

from qualitrace_monitors.calibrate.agreement import Agreement, Measured
from qualitrace_monitors.calibrate.labels import LabelledScores
from qualitrace_monitors.calibrate.thresholds import FittedThreshold, ThresholdFit
from qualitrace_monitors.judges.contract import short_hash

VERSION_TAG = "qualitrace.calibration_version"


@dataclass(frozen=True, slots=True, kw_only=True)
class Calibration:
    """A judge compared with experts' labels called `label`."""

    judge: str
    label: str
    labelled: LabelledScores
    agreement: Agreement
    thresholds: ThresholdFit

    def to_dict(self) -> dict[str, Any]:
        """Return everything as JSON values; `version` is the hash of the rest, the labels' traces included."""
        content: dict[str, Any] = {
            "judge": self.judge,
            "judge_version": self.labelled.version,
            "label": self.label,
            "labels": len(self.labelled.pairs),
            "left_out": dict(self.labelled.left_out),
            "confusion": [
                {"expert": "good" if good else "bad", "judge": label, "count": count}
                for (good, label), count in sorted(self.agreement.confusion.items())
            ],
            "kappa": asdict(self.agreement.kappa),
            "sensitivity": asdict(self.agreement.sensitivity),
            "specificity": asdict(self.agreement.specificity),
            "thresholds": asdict(self.thresholds),
        }
        pairs = sorted((trace_id, *asdict(pair).items()) for trace_id, pair in self.labelled.pairs.items())
        return content | {"version": short_hash(content, pairs)}

    def to_text(self) -> str:
        """Write the page that `qualitrace calibrate` prints."""
        content, thresholds = self.to_dict(), self.thresholds
        lines = [
            f"{self.judge} (version {self.labelled.version or 'none'}) against experts' {self.label!r}: "
            f"{len(self.labelled.pairs)} labelled answers"
        ]
        lines += [f"  left out: {count} {reason}" for reason, count in sorted(self.labelled.left_out.items())]
        lines += ["", "  experts   judge: pass   unsure     fail"]
        for good, name in ((True, "good"), (False, "bad")):
            counts = [self.agreement.confusion.get((good, verdict), 0) for verdict in ("pass", "unsure", "fail")]
            lines.append(f"  {name:7}        {counts[0]:6}   {counts[1]:6}   {counts[2]:6}")
        lines += ["", f"  with {thresholds.confidence:.0%} intervals:"]
        lines.append(
            f"  Cohen's kappa  {_measured(self.agreement.kappa, 'not defined')}  of the answers that the judge decides"
        )
        lines.append(f"  sensitivity    {_measured(self.agreement.sensitivity)}  of the bad answers, those it fails")
        lines.append(f"  specificity    {_measured(self.agreement.specificity)}  of the good answers, those it passes")
        lines += ["", *self._threshold_lines(), "", f"  calibration {content['version']}"]
        return "\n".join(lines)

    def _threshold_lines(self) -> list[str]:
        fitted, total = self.thresholds, len(self.labelled.pairs)
        error, sure = f"{fitted.target_error:.3g}", f"{fitted.confidence:.3g}"
        if total < fitted.needed:
            return [
                f"  thresholds: too few labels ({total}): need at least {fitted.needed} on one side, none of them",
                f"  wrong, to show an error of at most {error} with {sure} confidence",
            ]
        lines = [
            _side_line("pass", "from", fitted.passing, fitted),
            _side_line("fail", "up to", fitted.failing, fitted),
        ]
        sides = {"pass": fitted.passing.threshold, "fail": fitted.failing.threshold}
        given = ", ".join(f"{verdict}: {value:g}" for verdict, value in sides.items() if value is not None)
        if given:
            given += f', version: "{self.labelled.version}"'
            lines += [
                f"  among verdicts that are not unsure ({fitted.coverage:.0%}), disagreement with experts is at most",
                f"  {error}, with probability {sure} or more, for answers like these",
                "",
                "  judges:",
                f"    - {{name: {self.judge}, thresholds: {{{given}}}}}",
            ]
        return lines


def _measured(value: Measured, otherwise: str = "not measurable") -> str:
    if value.estimate is None:
        return f"{otherwise:20}"
    return f"{value.estimate:5.3f} [{value.lower:5.3f}, {value.upper:5.3f}]"


def _side_line(verdict: str, preposition: str, side: FittedThreshold, fitted: ThresholdFit) -> str:
    if side.threshold is None:
        return f"  {verdict}: no threshold keeps the bound (it takes {fitted.needed} answers or more on this side)"
    return f"  {verdict} {preposition} {side.threshold:g}: {side.verdicts} verdicts, {side.errors} of them wrong"


def store(client: MlflowClient, calibration: Calibration) -> str:
    """Write parameters, metrics, tags and `calibration.json` to a run; return its id.

    The run is in the experiment that most of the labels are in. A calibration that is there already is left as it is.
    """
    content = calibration.to_dict()
    ((experiment_id, _),) = calibration.labelled.experiments.most_common(1)
    # The version is a hash of the results and the labels, so the same labels make no second run.
    there = client.search_runs([experiment_id], f"tags.`{VERSION_TAG}` = '{content['version']}'", max_results=1)
    if there:
        return str(there[0].info.run_id)
    tags = {
        VERSION_TAG: str(content["version"]),
        "qualitrace.judge": calibration.judge,
        "qualitrace.judge_version": calibration.labelled.version,
    }
    run = client.create_run(experiment_id, run_name=f"calibrate {calibration.judge}", tags=tags)
    run_id = str(run.info.run_id)
    thresholds, agreement = calibration.thresholds, calibration.agreement
    params = {name: content[name] for name in ("judge", "judge_version", "label")}
    params |= {"target_error": thresholds.target_error, "confidence": thresholds.confidence}
    metrics = {
        "labels": len(calibration.labelled.pairs),
        "kappa": agreement.kappa.estimate,
        "sensitivity": agreement.sensitivity.estimate,
        "specificity": agreement.specificity.estimate,
        "threshold_pass": thresholds.passing.threshold,
        "threshold_fail": thresholds.failing.threshold,
        "coverage": thresholds.coverage,
    }
    now = int(time.time() * 1000)
    measured = [Metric(name, value, now, 0) for name, value in metrics.items() if value is not None]
    client.log_batch(run_id, measured, [Param(name, str(value)) for name, value in params.items()])
    client.log_dict(run_id, content, "calibration.json")
    client.set_terminated(run_id)
    return run_id
