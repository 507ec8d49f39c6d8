"""No row of an evaluation is lost: it is scored, failed or not applicable in MLflow, or it is named as missing."""

import json
import os
import sqlite3
import threading
from contextlib import closing, nullcontext
from pathlib import Path
from typing import Any

import mlflow
import pytest
from click.testing import CliRunner
from mlflow.artifacts import load_text
from mlflow.exceptions import MlflowException
from mlflow.tracing.attachments import Attachment

import qualitrace_monitors
from qualitrace_monitors.evaluation import patience
from qualitrace_monitors.evaluation.command import evaluate_data
from qualitrace_monitors.evaluation.dataset import DataError
from qualitrace_monitors.evaluation.result import Evaluation
from support.app import served
from support.judge_model import judge_model
from support.mlflow_db import new_database
from support.sqlite_lock import Lock, refusals

PASSAGE = "The kettle boils a litre in three minutes."
ROWS = [{"id": str(number), "question": f"How fast is kettle {number}?", "context": PASSAGE} for number in range(60)]
ANSWERED = [{**row, "answer": PASSAGE} for row in ROWS]
MARKER = "the broken one"
METRICS = ("relevance", "groundedness", "safety")


pytestmark = [pytest.mark.slow, pytest.mark.timeout(60)]


@pytest.fixture(autouse=True)
def in_a_hurry(monkeypatch: pytest.MonkeyPatch) -> None:
    """Wait a tenth of a second at most between two tries."""
    monkeypatch.setattr(patience, "LONGEST_WAIT", 0.1)


def file_of(tracking: str) -> Path:
    """Return the database of a tracking URI."""
    return Path(tracking.removeprefix("sqlite:///"))


def in_mlflow(evaluation: Evaluation) -> dict[str, set[str]]:
    """Return the metrics that each row of the run has a value of, read back from MLflow."""
    experiment = mlflow.get_experiment_by_name("evaluation")
    assert experiment is not None
    places = [experiment.experiment_id]
    traces = mlflow.search_traces(locations=places, run_id=evaluation.run_id, return_type="list")
    return {
        trace.info.tags["qualitrace.row"]: {item.name for item in trace.info.assessments if item.feedback}
        for trace in traces
    }


@pytest.mark.parametrize("kind", ["IMMEDIATE", "EXCLUSIVE"])
def test_rows_wait_for_a_database_that_another_process_has_locked(tracking: str, kind: str):
    """It is locked from the first answer until MLflow was refused four times: then every row is there, with all scores."""
    lock = Lock(file_of(tracking), kind)

    def predict(question: str) -> str:
        lock.hold()
        return PASSAGE

    with refusals(lambda count: count >= 4 and lock.release()):
        evaluation = qualitrace_monitors.evaluate(ROWS, metrics=METRICS, predict=predict, fail_under={"safety": 0.5})
    assert in_mlflow(evaluation).keys() == {row["id"] for row in ROWS}
    assert evaluation.is_complete
    assert evaluation.passed
    assert evaluation.metrics["safety"].scored == len(ROWS)


def test_a_row_that_takes_long_holds_up_no_other(tracking: str, monkeypatch: pytest.MonkeyPatch):
    """The first question is answered once all others are, by the second of two threads."""
    monkeypatch.setenv("MLFLOW_GENAI_EVAL_MAX_WORKERS", "2")
    answered, others = 0, threading.Event()

    def predict(question: str) -> str:
        nonlocal answered
        if question == ROWS[0]["question"]:
            assert others.wait(20)
        else:
            answered += 1
            if answered == 9:
                others.set()
        return PASSAGE

    evaluation = qualitrace_monitors.evaluate(ROWS[:10], metrics=["safety"], predict=predict)
    assert not evaluation.failures
    assert evaluation.metrics["safety"].scored == 10


def test_a_database_that_is_locked_at_first_is_waited_for(tracking: str):
    """Another process that writes for a while when the command starts costs nothing but time."""
    lock = Lock(file_of(tracking))
    lock.hold()
    with refusals(lambda count: lock.release()):
        evaluation = qualitrace_monitors.evaluate(ANSWERED[:3], metrics=METRICS)
    assert in_mlflow(evaluation) == {str(number): set(METRICS) for number in range(3)}


def test_rows_that_never_reach_mlflow_are_named_and_pass_no_gate(tracking: str, monkeypatch: pytest.MonkeyPatch):
    """A database that stays locked after the start: exit code 2, the rows and metrics that are missing, and why."""
    monkeypatch.setattr(patience, "PATIENCE", 0.5)
    monkeypatch.setenv("MLFLOW_GENAI_EVAL_MAX_WORKERS", "1")
    Path("rows.csv").write_text("id,question\na,How fast is it?\nb,How hot is it?\n")
    lock = Lock(file_of(tracking))

    def answer(path: str, asked: Any) -> tuple[int, bytes]:
        lock.hold()
        return 200, json.dumps({"answer": PASSAGE}).encode()

    options = ["--data", "rows.csv", "--metric", "safety", "--metric", "pii", "--fail-under", "safety=0.1"]
    with served(answer) as url, refusals():
        done = CliRunner().invoke(evaluate_data, [*options, "--predict", url, "--tracking-uri", tracking])
        lock.release()
    assert done.exit_code == 2
    assert "safety, pii: 2 of 2 rows are missing in MLflow (a, b): " in done.stderr
    assert "database is locked" in done.stderr
    assert "not passed: rows are missing" in " ".join(done.stdout.split())


def test_a_database_that_is_locked_for_good_is_reported(tracking: str, monkeypatch: pytest.MonkeyPatch):
    """Nothing can be scored: exit code 2 and one line that says so."""
    monkeypatch.setattr(patience, "PATIENCE", 0.5)
    Path("rows.csv").write_text("question,answer\nWhy?,Because.\n")
    lock = Lock(file_of(tracking))
    lock.hold()
    with refusals():
        done = CliRunner().invoke(
            evaluate_data, ["--data", "rows.csv", "--metric", "safety", "--tracking-uri", tracking]
        )
    lock.release()
    assert done.exit_code == 2
    assert f"qualitrace evaluate: MLflow at {tracking}: " in done.stderr
    assert "database is locked; no row was scored" in done.stderr


def test_a_row_that_mlflow_refuses_costs_only_itself(tracking: str):
    """The others of its batch are written; its metrics count it as missing, and their gates do not pass."""
    with closing(sqlite3.connect(tracking.removeprefix("sqlite:///"))) as connection:
        connection.execute(
            f"CREATE TRIGGER refuse BEFORE INSERT ON spans WHEN NEW.content LIKE '%{MARKER}%' "
            "BEGIN SELECT RAISE(ABORT, 'value out of range'); END"
        )
    rows = [*ANSWERED[:5], {**ANSWERED[5], "question": f"How fast is {MARKER}?"}]
    evaluation = qualitrace_monitors.evaluate(rows, metrics=METRICS, fail_under={"safety": 0.1})
    assert in_mlflow(evaluation).keys() == {"0", "1", "2", "3", "4"}
    assert evaluation.missing == {metric: ["5"] for metric in METRICS}
    assert "value out of range" in evaluation.rows[5].missing["safety"]
    assert [gate.verdict for gate in evaluation.gates] == ["incomplete"]
    assert not evaluation.passed


def test_the_counts_of_every_metric_add_up_to_the_rows_that_were_read(tracking: str):
    """Scored, failed (a broken application or judge), not applicable: in the run's numbers and in its table of scores."""

    def predict(question: str) -> dict[str, Any]:
        if "kettle 1?" in question:
            raise RuntimeError("out of order")
        return {"answer": PASSAGE, "context": [PASSAGE] if "kettle 2?" in question else []}

    rows = [{"id": row["id"], "question": row["question"]} for row in ROWS[:4]]
    with judge_model(status=400) as (url, _):
        broken = {"name": "kind", "instructions": "Kind: {{ outputs }}", "model": "openai:/m", "base_url": url}
        evaluation = qualitrace_monitors.evaluate(rows, metrics=["groundedness", broken], predict=predict)
    kept = json.loads(load_text(f"runs:/{evaluation.run_id}/qualitrace/scores.json"))
    assert kept["metrics"] == {
        "groundedness": {"read": 4, "scored": 1, "not_applicable": 2, "failed": 1, "missing": 0},
        "kind": {"read": 4, "scored": 0, "not_applicable": 0, "failed": 4, "missing": 0},
    }
    assert "out of order" in kept["rows"][1]["unscored"]["groundedness"]["reason"]
    numbers = mlflow.get_run(evaluation.run_id).data.metrics
    assert [numbers[f"kind/{name}"] for name in ("read", "failed", "missing")] == [4, 4, 0]


def test_a_tracking_uri_of_its_own_leaves_the_callers_alone(tracking: str, tmp_path: Path):
    """MLflow's URI, its variable and its experiment are as before; the run, and the worst rows later, are elsewhere."""
    (tmp_path / "other").mkdir()
    other = new_database(tmp_path / "other")
    lies = [{**ANSWERED[0], "answer": "Penguins sleep under old pianos."}]
    evaluation = qualitrace_monitors.evaluate(lies, metrics=["groundedness"], tracking_uri=other)
    evaluation.save_worst_rows("worst")
    assert (mlflow.get_tracking_uri(), os.environ["MLFLOW_TRACKING_URI"]) == (tracking, tracking)
    assert mlflow.get_experiment_by_name("evaluation") is None
    assert mlflow.MlflowClient(other).get_run(evaluation.run_id).info.status == "FINISHED"


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"predict": lambda question: 1 / 0},
        {"metrics": ["no_such_metric"]},
        {"baseline": "0" * 32},
    ],
    ids=["well", "predict fails", "unknown metric", "unknown baseline"],
)
def test_the_callers_mlflow_is_as_before_however_it_ends(tracking: str, tmp_path: Path, options: dict[str, Any]):
    """The caller's URI and experiment still hold: its next run and trace go where they went before."""
    (tmp_path / "other").mkdir()
    other = new_database(tmp_path / "other")
    mine = mlflow.set_experiment("mine").experiment_id
    before = mlflow.get_tracking_uri(), dict(os.environ)
    rows = ROWS[:1] if "predict" in options else ANSWERED[:1]
    with nullcontext() if not options else pytest.raises((DataError, MlflowException)):
        qualitrace_monitors.evaluate(rows, **{"metrics": ["safety"], "tracking_uri": other} | options)
    assert (mlflow.get_tracking_uri(), dict(os.environ)) == before
    with mlflow.start_run() as run, mlflow.start_span("mine"):
        pass
    mlflow.flush_trace_async_logging()
    assert run.info.experiment_id == mine
    client = mlflow.MlflowClient(tracking)
    assert client.get_run(run.info.run_id).info.experiment_id == mine
    assert len(client.search_traces(locations=[mine])) == 1


def test_traces_that_the_application_makes_are_kept_once(tracking: str):
    """What it traces lies inside its row's trace; nothing is exported beside it."""

    @mlflow.trace(name="inner", span_type="RETRIEVER")
    def retrieve(question: str) -> list[dict[str, str]]:
        return [{"page_content": PASSAGE}]

    def predict(question: str) -> str:
        retrieve(question)
        return PASSAGE

    evaluation = qualitrace_monitors.evaluate(ROWS[:2], metrics=["groundedness"], predict=predict)
    mlflow.flush_trace_async_logging()
    experiment = mlflow.get_experiment_by_name("evaluation")
    assert experiment is not None
    traces = mlflow.search_traces(locations=[experiment.experiment_id], return_type="list")
    assert sorted(trace.info.trace_id for trace in traces) == sorted(row.trace_id for row in evaluation.rows)
    assert [[span.name for span in trace.data.spans] for trace in traces] == [["answer", "inner"]] * 2
    assert evaluation.metrics["groundedness"].scored == 2


def test_files_that_the_application_traces_are_kept(tracking: str, tmp_path: Path):
    """An image in a span is uploaded beside its trace, as when MLflow exports the trace."""

    def predict(question: str) -> str:
        with mlflow.start_span("look") as span:
            span.set_inputs({"picture": Attachment(content_type="image/png", content_bytes=b"a picture")})
        return PASSAGE

    evaluation = qualitrace_monitors.evaluate(ROWS[:1], metrics=["safety"], predict=predict)
    kept = [path for path in tmp_path.glob(f"**/{evaluation.rows[0].trace_id}/**/*") if path.is_file()]
    assert [path.read_bytes() for path in kept] == [b"a picture"]


def test_recorded_traces_are_scored_where_they_are_or_as_copies(tracking: str):
    """Those of the run's experiment are linked, those of another copied; both count as rows of the run."""
    mlflow.set_experiment("shop")
    for _ in range(2):
        with mlflow.start_span("ask", span_type="CHAIN") as span:
            span.set_inputs({"question": "How fast?"})
            span.set_outputs(PASSAGE)
    mlflow.flush_trace_async_logging()
    experiment = mlflow.get_experiment_by_name("shop")
    assert experiment is not None
    traces = mlflow.search_traces(locations=[experiment.experiment_id], return_type="list")
    here = qualitrace_monitors.evaluate(traces, metrics=["safety"], experiment="shop")
    there = qualitrace_monitors.evaluate(traces, metrics=["safety"], experiment="evaluation")
    ids = {trace.info.trace_id for trace in traces}
    assert {row.trace_id for row in here.rows} == ids
    assert {row.trace_id for row in there.rows}.isdisjoint(ids)
    assert in_mlflow(there) == {trace_id: {"safety"} for trace_id in ids}
    linked = mlflow.search_traces(locations=[experiment.experiment_id], run_id=here.run_id, return_type="list")
    assert {trace.info.trace_id for trace in linked} == ids
