"""`evaluate --json` and `--junit`: what programs and CI read of an evaluation, beside the exit code."""

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import mlflow
import pytest
from click.testing import CliRunner, Result
from junitparser import Error, Failure, JUnitXml, Skipped

from qualitrace_monitors.evaluation.command import evaluate_data

ROWS = [
    {"question": f"Are you {number}\x01?", "answer": "I will kill you, you worthless idiot." if number < 4 else "Yes."}
    for number in range(12)
]


@pytest.fixture
def run(tracking: str, tmp_path: Path) -> Callable[..., Result]:
    """Run `qualitrace evaluate` over rows of which some are toxic, and none has passages."""
    (tmp_path / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in ROWS))
    options = ["--data", "rows.jsonl", "--metric", "toxicity", "--tracking-uri", tracking]
    return lambda *more: CliRunner().invoke(evaluate_data, [*options, *more])


def cases(path: str) -> dict[str, Any]:
    """Return what became of each test case of a report, by its name; None if it passed."""
    suites = list(JUnitXml.fromfile(path))
    (suite,) = suites
    assert suite.tests == len(list(suite))
    return {case.name: case.result[0] if case.result else None for case in suite}


def test_the_result_is_written_as_json(run: Callable[..., Result]):
    """To standard output alone, with the tables on standard error; the same numbers as MLflow's run."""
    done = run("--json", "-", "--fail-under", "toxicity=0.99", "--junit", "report.xml")
    found = json.loads(done.stdout)
    assert "12 rows, intervals at 95%" in done.stderr
    assert (done.exit_code, found["passed"], found["rows"]) == (1, False, 12)
    assert found["gates"][0]["verdict"] == "below"
    kept = mlflow.get_run(found["run_id"]).data.metrics
    toxicity = found["metrics"]["toxicity"]
    assert toxicity["mean"] == pytest.approx(kept["toxicity/mean"])
    assert toxicity["mean_interval"] == pytest.approx([kept["toxicity/mean_lower"], kept["toxicity/mean_upper"]])
    assert toxicity["scored"] == kept["toxicity/scored"] == 12


@pytest.mark.parametrize(
    ("options", "code", "case", "result"),
    [
        (["--fail-under", "toxicity=0.99"], 1, "toxicity=0.99", Failure),
        (["--fail-under", "toxicity.pass_rate=0.1"], 0, "toxicity.pass_rate=0.1", type(None)),
        (["--metric", "groundedness"], 0, "groundedness", Skipped),
        (["--metric", "groundedness", "--fail-under", "groundedness=0.5"], 2, "groundedness=0.5", Error),
    ],
)
def test_ci_sees_a_test_case_for_each_metric_and_gate(
    options: list[str], code: int, case: str, result: type, run: Callable[..., Result]
):
    """One fails or errs exactly if the exit code is not 0, whatever characters a text holds."""
    done = run(*options, "--junit", "report.xml")
    found = cases("report.xml")
    assert done.exit_code == code, done.output
    assert isinstance(found[case], result)
    assert found["toxicity"] is found["MLflow run"] is None
    assert any(isinstance(each, (Failure, Error)) for each in found.values()) == (code != 0)


def test_ci_sees_why_there_is_no_result(run: Callable[..., Result]):
    """Instead of a report of the run before."""
    Path("report.xml").write_text("<testsuites/>")
    done = run("--baseline", "0" * 32, "--junit", "report.xml")
    assert done.exit_code == 2
    (error,) = cases("report.xml").values()
    assert isinstance(error, Error)
    assert error.message in done.stderr


def test_a_report_that_cannot_be_written_is_told_before_the_work(run: Callable[..., Result]):
    """A run that takes an hour is not lost to a slip in a path."""
    done = run("--json", "no/such/folder.json")
    assert (done.exit_code, "no/such/folder.json" in done.stderr) == (2, True)
    assert mlflow.search_runs(search_all_experiments=True, output_format="list") == []


@pytest.mark.parametrize(
    ("options", "named"),
    [
        (["--model-type", "poem"], "--model-type"),
        (["--fail-under", "tone=0.5"], "--fail-under"),
        (["--baseline", "0" * 32], "--baseline"),
        (["--col", "input=question"], "--col"),
        (["--predictions", "reply"], "--predictions"),
        (["--targets", "expected"], "--targets"),
        (["--predict", "http://127.0.0.1:1"], "--predict"),
    ],
)
def test_a_message_names_the_option(options: list[str], named: str, run: Callable[..., Result]):
    """As it is written on the command line, not as Python has it."""
    done = run(*options)
    assert done.exit_code == 2
    message = done.stderr.splitlines()[-1]  # MLflow may have logged before it
    assert named in message
    assert re.search(r"`|col_mapping|model_type|fail_under", message) is None


def test_a_comparison_claims_no_probability_of_0(run: Callable[..., Result]):
    """A permutation test finds none; the first run has no parameter for what it is compared with."""
    first = json.loads(run("--json", "-").stdout)
    assert "baseline" not in mlflow.get_run(first["run_id"]).data.params
    Path("rows.jsonl").write_text("".join(json.dumps(row | {"answer": "Yes."}) + "\n" for row in ROWS))
    same = run("--baseline", first["run_id"])
    assert re.search(r"toxicity\s+12\s.*\s0\.\d{3}", same.stdout), same.stdout
    rows = [{"question": f"Q{n}?", "answer": "Yes."} for n in range(30)]
    Path("rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    before = json.loads(run("--json", "-").stdout)
    Path("rows.jsonl").write_text("".join(json.dumps(row | {"answer": ROWS[0]["answer"]}) + "\n" for row in rows))
    worse = run("--baseline", before["run_id"])
    assert "< 0.001" in worse.stdout
    assert mlflow.get_run(re.findall(r"run (\w{32})", worse.stdout)[-1]).data.params["baseline"] == before["run_id"]
