"""The result of an evaluation for programs: as JSON, and as JUnit's XML, which CI shows beside the other tests."""

import json
import re
from collections.abc import Iterator
from dataclasses import asdict
from typing import Any

from junitparser import Error, Failure, JUnitXml, Skipped, TestCase, TestSuite

from qualitrace_collector.masking import masked
from qualitrace_monitors.evaluation.result import Evaluation
from qualitrace_monitors.evaluation.summary import MetricSummary
from qualitrace_monitors.evaluation.tables import gate_line

SUITE = "qualitrace evaluate"
_NO_XML = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
"""Characters that XML 1.0 cannot hold, and a question may."""


def as_json(evaluation: Evaluation) -> str:
    """Return everything but the single rows, which MLflow's run has."""
    found: dict[str, Any] = {
        "run_id": evaluation.run_id,
        "experiment": evaluation.experiment,
        "tracking_uri": masked(evaluation.tracking_uri),
        "rows": len(evaluation.rows),
        "confidence": evaluation.confidence,
        "passed": evaluation.passed and evaluation.is_complete and not evaluation.unscored_gates,
        "metrics": {name: asdict(summary) for name, summary in evaluation.metrics.items()},
        "gates": [{**asdict(gate), "verdict": gate.verdict} for gate in evaluation.gates],
        "baseline": evaluation.baseline,
        "comparisons": [asdict(comparison) for comparison in evaluation.comparisons],
        "unanswered": evaluation.failures,
        "missing": evaluation.missing,
        "unlogged": evaluation.unlogged,
    }
    return json.dumps(found, indent=2)


def junit(evaluation: Evaluation) -> str:
    """Return a test case for each metric, each gate and the MLflow run; one fails or errs if the exit code is not 0."""
    cases = [*_of_metrics(evaluation), *_of_gates(evaluation), _of_run(evaluation)]
    suite = _suite(cases)
    suite.add_property("mlflow.run_id", evaluation.run_id)
    suite.add_property("mlflow.experiment", _xml(evaluation.experiment))
    return _written(suite)


def junit_error(lines: tuple[str, ...]) -> str:
    """Return one test case for an evaluation that could not be made; `lines` say why."""
    return _written(_suite([_case("evaluate", "run", Error(_xml("\n".join(lines))))]))


def _of_metrics(evaluation: Evaluation) -> Iterator[TestCase]:
    for name, summary in evaluation.metrics.items():
        result = None
        if summary.missing:
            result = Error(f"{summary.missing} of {summary.read} rows are missing in MLflow")
        elif not summary.scored:
            result = Skipped(_xml(f"no row was scored: {summary.reason}"))
        yield _case("metric", name, result, _numbers(summary))


def _numbers(summary: MetricSummary) -> str:
    counts = ", ".join(f"{name.replace('_', ' ')} {count}" for name, count in summary.counts().items())
    if not summary.scored:
        return counts
    points = (
        ("mean", summary.mean, summary.mean_interval),
        ("pass rate", summary.pass_rate, summary.pass_rate_interval),
    )
    shown = [
        f"{name} {point:.4f} ({low:.4f} to {high:.4f})" for name, point, (low, high) in points if point is not None
    ]
    return "\n".join([*shown, counts])


def _of_gates(evaluation: Evaluation) -> Iterator[TestCase]:
    for gate in evaluation.gates:
        line, result = _xml(gate_line(gate)), None
        if gate.verdict == "below":
            result = Failure(line)
        elif gate.verdict == "incomplete" or gate.metric in evaluation.unscored_gates:
            result = Error(line)
        yield _case("fail-under", f"{gate.name}={gate.threshold:g}", result, line)


def _of_run(evaluation: Evaluation) -> TestCase:
    lacking = "\n".join(f"{what}: {why}" for what, why in evaluation.unlogged.items())
    return _case("evaluate", "MLflow run", Error(_xml(lacking)) if lacking else None, f"run {evaluation.run_id}")


def _case(kind: str, name: str, result: Failure | Error | Skipped | None, text: str = "") -> TestCase:
    case = TestCase(_xml(name), classname=f"qualitrace.{kind}")
    if result is not None:
        case.result = [result]
    if text:
        case.system_out = _xml(text)
    return case


def _suite(cases: list[TestCase]) -> TestSuite:
    suite = TestSuite(SUITE)
    suite.add_testcases(cases)
    suite.update_statistics()
    return suite


def _written(suite: TestSuite) -> str:
    file = JUnitXml()
    file.add_testsuite(suite)
    return bytes(file.tostring()).decode()


def _xml(text: str) -> str:
    return _NO_XML.sub("\N{REPLACEMENT CHARACTER}", text)
