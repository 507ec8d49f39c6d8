"""Compares a judge with experts' labels: agreement, thresholds of bounded error, the printed page, the MLflow run.

The share of verdicts beyond a fitted threshold that disagree with experts is at most `target_error`. Thresholds are
fitted by fixed-sequence testing, after Jung, Brahman and Choi, "Trust or Escalate" (arXiv 2407.18370): they are tried
from the most to the least selective; each is tested, by an exact binomial test on the labelled answers beyond it,
against the hypothesis that experts disagree with more than `target_error` of its verdicts; the first that is not
refuted ends the sequence, and the last before it is taken, or, where both sides could decide, an earlier one. All
tests of a side together err with probability `delta` at most.

The grid is fixed before the labels are seen, as the proof wants. Thresholds beyond which there are too few answers for
any test are skipped; for that step the surer of two values must not be the one that is wrong more often.
"""

import math
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal

import numpy as np
from mlflow import MlflowClient
from mlflow.entities import Metric, Param
from scipy.stats import binom, binomtest

from qualitrace_monitors.calibrate.labels import LabelledScore, LabelledScores
from qualitrace_monitors.judges.contract import Label, short_hash

RESAMPLES = 2000
SEED = 20_180_703
STEPS = 100  # thresholds are multiples of 1 / STEPS
VERSION_TAG = "qualitrace.calibration_version"


@dataclass(frozen=True, slots=True)
class Measured:
    """An estimate with its interval; all None where nothing can be measured."""

    estimate: float | None = None
    lower: float | None = None
    upper: float | None = None


@dataclass(frozen=True, slots=True)
class Agreement:
    """What a judge and the experts say of the same answers.

    Attributes:
        confusion: number of answers by (experts call it good, the judge's verdict).
        kappa: Cohen's (1960), over the answers that the judge decides; None where experts and judge know one class
            each: then it means nothing, or is 0 / 0. Its interval melds the exact ones of sensitivity, specificity and
            the share of good answers (Fay, Proschan and Brittain, Biometrics 71, 2015): it holds for rare classes.
        sensitivity: share of the bad answers that the judge fails.
        specificity: share of the good answers that the judge passes.
            `unsure` counts against both. Their intervals are Clopper and Pearson's (1934).
    """

    confusion: dict[tuple[bool, Label], int]
    kappa: Measured
    sensitivity: Measured
    specificity: Measured


def measure(pairs: Sequence[LabelledScore], confidence: float) -> Agreement:
    """Measure the agreement, with intervals of the given confidence (0 to 1)."""
    confusion: Counter[tuple[bool, Label]] = Counter((pair.good, pair.label) for pair in pairs)
    bad, good = ([pair.label for pair in pairs if pair.good is truth] for truth in (False, True))
    return Agreement(
        confusion=dict(confusion),
        kappa=_kappa([pair for pair in pairs if pair.label != "unsure"], confidence),
        sensitivity=_share(bad.count("fail"), len(bad), confidence),
        specificity=_share(good.count("pass"), len(good), confidence),
    )


def _share(count: int, total: int, confidence: float) -> Measured:
    if not total:
        return Measured()
    interval = binomtest(count, total).proportion_ci(confidence, method="exact")
    return Measured(count / total, float(interval.low), float(interval.high))


def _kappa(decided: Sequence[LabelledScore], confidence: float) -> Measured:
    cells = Counter((pair.good, pair.label == "pass") for pair in decided)
    if len(cells) < 2:
        return Measured()  # kappa is 0 / 0, or there is nothing to agree about
    good, bad = (cells[truth, True] + cells[truth, False] for truth in (True, False))
    counts = ((good, len(decided)), (cells[False, False], bad), (cells[True, True], good))
    estimate = _kappa_of(*(np.array(count / of if of else 0.0) for count, of in counts))
    tail, random = (1 - confidence) / 2, np.random.default_rng(SEED)
    bounds: list[list[float]] = []
    for side, quantile in (("lower", tail), ("upper", 1 - tail)):
        # Kappa rises with sensitivity and specificity. It may rise or fall with the share of good answers: the worse
        # of both sides of that counts.
        drawn = [_drawn(random, *count, side) for count in counts[1:]]
        shares = [_drawn(random, *counts[0], which) for which in ("lower", "upper")]
        bounds.append([float(np.nanquantile(_kappa_of(share, *drawn), quantile)) for share in shares])
    return Measured(float(estimate), min(bounds[0]), max(bounds[1]))


def _drawn(random: np.random.Generator, count: int, total: int, side: str) -> np.ndarray:
    """Draw from the distribution whose quantiles are Clopper and Pearson's lower, or upper, bounds of a share."""
    if count == (0 if side == "lower" else total):
        return np.full(RESAMPLES, float(side == "upper"))
    below = count if side == "lower" else count + 1
    return random.beta(below, total + 1 - below, RESAMPLES)


def _kappa_of(good: np.ndarray, sensitivity: np.ndarray, specificity: np.ndarray) -> np.ndarray:
    """Return kappa where a share of the answers is good, NaN where it is 0 / 0."""
    passed = good * specificity + (1 - good) * (1 - sensitivity)
    chance = good * passed + (1 - good) * (1 - passed)
    agreement = good * specificity + (1 - good) * sensitivity
    return np.where(chance < 1, (agreement - chance) / np.where(chance < 1, 1 - chance, 1), np.nan)


@dataclass(frozen=True, slots=True, kw_only=True)
class FittedThreshold:
    """The threshold of one verdict.

    Attributes:
        threshold: pass from it on, or fail up to it; None if no threshold keeps the bound.
        verdicts: labelled answers beyond it.
        errors: those of them where experts say otherwise.
    """

    threshold: float | None = None
    verdicts: int = 0
    errors: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class ThresholdFit:
    """Both sides: with probability `confidence` each disagrees with experts in `target_error` of its verdicts at most.

    Attributes:
        needed: the fewest verdicts of a side with which a bound can be shown at all (none of them wrong).
        coverage: share of the labelled answers that get a verdict; the others are unsure.
    """

    target_error: float
    confidence: float
    needed: int
    passing: FittedThreshold
    failing: FittedThreshold
    coverage: float


def labels_needed(target_error: float, delta: float) -> int:
    """Return the smallest n with (1 - target_error)^n ≤ delta: n answers without an error pass the test."""
    n = math.ceil(math.log(delta) / math.log1p(-target_error))
    return n if (1 - target_error) ** n <= delta else n + 1


def fit(pairs: Sequence[LabelledScore], target_error: float, confidence: float) -> ThresholdFit:
    """Fit both sides, each with half of the error probability 1 - `confidence` (Bonferroni)."""
    delta = (1 - confidence) / 2  # both sides together err with probability 1 - confidence at most
    values = np.array([pair.value for pair in pairs])
    good = np.array([pair.good for pair in pairs], dtype=bool)
    passing, failing = _chosen(
        _fit(values, ~good, target_error, delta, "pass"), _fit(values, good, target_error, delta, "fail")
    )
    return ThresholdFit(
        target_error=target_error,
        confidence=confidence,
        needed=labels_needed(target_error, delta),
        passing=passing,
        failing=failing,
        coverage=(passing.verdicts + failing.verdicts) / len(pairs) if pairs else 0.0,
    )


def _chosen(
    passing: Mapping[int, FittedThreshold], failing: Mapping[int, FittedThreshold]
) -> tuple[FittedThreshold, FittedThreshold]:
    """Take the last threshold of each side; where they overlap, the two neighbours with the fewest errors.

    Of several such pairs the middle one is taken. All passed their tests, so that the bound holds for any choice.
    """
    if not passing or not failing or min(passing) > max(failing):
        return (
            passing[min(passing)] if passing else FittedThreshold(),
            failing[max(failing)] if failing else FittedThreshold(),
        )
    pairs = [(passing[step], failing[step - 1]) for step in sorted(passing) if step - 1 in failing]
    if not pairs:
        return passing[min(passing)], FittedThreshold()
    errors = [above.errors + below.errors for above, below in pairs]
    best = [pair for pair, count in zip(pairs, errors, strict=True) if count == min(errors)]
    return best[len(best) // 2]


def _fit(
    values: np.ndarray, wrong: np.ndarray, target_error: float, delta: float, verdict: Literal["pass", "fail"]
) -> Mapping[int, FittedThreshold]:
    """Return the thresholds that passed their tests, by step."""
    needed, fitted = labels_needed(target_error, delta), dict[int, FittedThreshold]()
    steps = range(STEPS, -1, -1) if verdict == "pass" else range(STEPS + 1)
    for step in steps:
        side = _side(values, wrong, step / STEPS, verdict)
        if side.verdicts < needed:  # no test could refute; thresholds less selective may have enough
            continue
        if binom.cdf(side.errors, side.verdicts, target_error) > delta:
            break
        fitted[step] = side
    return fitted


def _side(values: np.ndarray, wrong: np.ndarray, threshold: float, verdict: Literal["pass", "fail"]) -> FittedThreshold:
    beyond = values >= threshold if verdict == "pass" else values <= threshold
    return FittedThreshold(threshold=threshold, verdicts=int(beyond.sum()), errors=int((beyond & wrong).sum()))


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
