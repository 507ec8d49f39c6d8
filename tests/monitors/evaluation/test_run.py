"""`evaluate` against a real MLflow: what its client reads back of a run, and what a later run makes of it."""

from pathlib import Path
from typing import Any

import mlflow
import pytest
from click.testing import CliRunner
from mlflow.genai.datasets import search_datasets

import qualitrace_monitors
from qualitrace_monitors.evaluation.command import evaluate_data
from qualitrace_monitors.evaluation.dataset import DataError
from qualitrace_monitors.evaluation.result import Evaluation
from support.judge_model import judge_model

GOOD = {
    "question": "How long is the guarantee of the frame?",
    "answer": "The frame has a guarantee of eight years.",
    "context": ["The frame has a guarantee of eight years."],
    "expected": "eight years",
}
BAD = {
    "question": "How long is the guarantee of the tyres?",
    "answer": "The tyres have a guarantee of ninety months in Atlantis.",
    "context": ["Brakes, chain and tyres have a guarantee of one year."],
    "expected": "one year",
}
BARE = {"question": "Who are you?", "answer": "A shop.", "context": None, "expected": None}
OPTIONS: dict[str, Any] = {"model_type": "question-answering", "targets": "expected"}


def run_over(*rows: dict[str, Any], **options: Any) -> Evaluation:
    return qualitrace_monitors.evaluate(list(rows), **(OPTIONS | options))


def test_mlflow_reads_back_means_intervals_versions_and_tables(tracking: str):
    """The run has each mean with its interval, the judges' versions, plots, all scores and the worst rows."""
    evaluation = run_over(GOOD, BAD, BARE)
    run = mlflow.get_run(evaluation.run_id)
    groundedness = evaluation.metrics["groundedness"]
    assert run.data.metrics["groundedness/mean"] == pytest.approx(groundedness.mean)
    assert run.data.metrics["groundedness/mean_lower"] == pytest.approx(groundedness.mean_interval[0])
    assert run.data.metrics["groundedness/not_applicable"] == 1
    assert run.data.metrics["rows"] == 3
    assert run.data.tags["qualitrace.judge.groundedness"] == groundedness.version
    assert run.data.tags["mlflow.runType"] == "genai_evaluate"
    worst = mlflow.load_table("qualitrace/worst_rows.json", run_ids=[evaluation.run_id])
    assert BAD["question"] in list(worst["question"])
    assert GOOD["question"] not in list(worst["question"])
    client = mlflow.MlflowClient()
    assert "plots/groundedness.png" in [item.path for item in client.list_artifacts(evaluation.run_id, "plots")]


def test_artifacts_lie_beside_a_sqlite_file_wherever_the_command_runs(
    tracking: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    """As `serve` has them: in the folder of the database, not in MLflow's `mlruns` of the working directory."""
    (elsewhere := tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(elsewhere)
    run_over(GOOD)
    assert list(tmp_path.glob("artifacts/*/*/artifacts/qualitrace/scores.json"))
    assert list(elsewhere.iterdir()) == []


def test_each_score_is_an_assessment_on_a_trace_of_the_run(tracking: str):
    """With source, rationale and the judge's version; the passages are a retriever's, as in production."""
    evaluation = run_over(BAD)
    experiment = mlflow.get_experiment_by_name("evaluation")
    assert experiment is not None
    (trace,) = mlflow.search_traces(locations=[experiment.experiment_id], run_id=evaluation.run_id, return_type="list")
    (found,) = [item for item in trace.info.assessments if item.name == "groundedness"]
    assert found.metadata["qualitrace.label"] == "fail"
    assert found.metadata["qualitrace.judge_version"] == evaluation.metrics["groundedness"].version
    assert found.source.source_id == "qualitrace/groundedness"
    assert "Atlantis" in found.rationale
    (retriever,) = trace.search_spans(span_type="RETRIEVER")
    assert retriever.outputs[0]["page_content"] == BAD["context"][0]


def test_a_function_answers_and_its_failures_are_counted(tracking: str):
    """Answer and context of a function are judged; a question that it fails on is a failed prediction, no bad score."""

    def predict(question: str) -> dict[str, Any]:
        if "tyres" in question:
            raise RuntimeError("no tyres here")
        return {"answer": GOOD["answer"], "context": GOOD["context"]}

    evaluation = run_over({"question": GOOD["question"]}, {"question": BAD["question"]}, targets=None, predict=predict)
    assert evaluation.failures == ["RuntimeError: no tyres here"]
    assert evaluation.metrics["groundedness"].scored == 1
    assert evaluation.values("groundedness") == {evaluation.rows[0].key: pytest.approx(1.0)}


def test_a_later_run_is_compared_row_by_row(tracking: str):
    """The difference is over the rows of both runs; a gate closes on it only where the interval says so."""
    rows = [{**GOOD, "id": str(number)} for number in range(12)]
    first = run_over(*rows, fail_under={"groundedness.pass_rate": 0.5})
    assert [gate.verdict for gate in first.gates] == ["met"]
    worse = [{**row, "answer": BAD["answer"]} for row in rows]
    second = run_over(*worse, baseline=first.run_id, fail_under={"groundedness.pass_rate": 0.5})
    (fall,) = [item for item in second.comparisons if item.metric == "groundedness"]
    assert fall.pairs == 12
    assert fall.difference == pytest.approx(
        second.values("groundedness")["0"] - first.values("groundedness")["0"], abs=1e-6
    )
    assert fall.interval[1] < 0
    assert (first.passed, second.passed) == (True, False)


def test_another_judge_is_not_compared(tracking: str):
    """Two versions of a judge do not share a scale: the reason is given instead of a difference."""
    first = run_over(GOOD, metrics=["refusal"])
    second = run_over(GOOD, metrics=[{"name": "groundedness", "threshold": 0.9}, "pii"], baseline=first.run_id)
    reasons = {item.metric: item.reason for item in second.comparisons if item.reason}
    assert set(reasons) == {"groundedness", "pii"}
    assert reasons["groundedness"].startswith("judge changed (")
    assert reasons["pii"] == "not in the earlier run"


def test_the_worst_rows_keep_all_inputs(tracking: str):
    """An app that needs more than the question can be asked again."""
    inputs = {"question": BAD["question"], "customer": "ada"}
    rows = [{"inputs": inputs, "outputs": BAD["answer"], "context": BAD["context"]}]
    qualitrace_monitors.evaluate(rows, metrics=["groundedness"]).save_worst_rows("customers")
    (dataset,) = search_datasets(filter_string="name = 'customers'")
    answers = {"ada": GOOD["answer"]}
    again = qualitrace_monitors.evaluate(
        dataset, metrics=["relevance"], predict=lambda question, customer: answers[customer]
    )
    assert again.failures == []


def test_the_worst_rows_become_a_data_set_that_is_evaluated_again(tracking: str):
    """Question and expected answer of what failed are kept in MLflow, and the fixed app is tried on them."""
    run_over(GOOD, BAD).save_worst_rows("regressions")
    (dataset,) = search_datasets(filter_string="name = 'regressions'")
    again = qualitrace_monitors.evaluate(
        dataset, metrics=["relevance"], predict=lambda _question: "The tyres have a guarantee of one year."
    )
    assert [row.question for row in again.rows] == [BAD["question"]]
    assert again.metrics["answer_correctness"].pass_rate == 1.0


def test_recorded_traces_are_evaluated_where_they_are(tracking: str):
    """Traces of an application are scored without a copy, in their own experiment."""
    first = run_over(GOOD, BAD)
    traces = [mlflow.get_trace(row.trace_id) for row in first.rows]
    again = qualitrace_monitors.evaluate(traces, metrics=["groundedness"])
    assert {row.trace_id for row in again.rows} == {row.trace_id for row in first.rows}
    assert sorted(again.values("groundedness").values()) == sorted(first.values("groundedness").values())


def test_a_model_is_shown_a_custom_metrics_definition_grades_and_examples(tracking: str):
    """As make_genai_metric had them: the model is shown all three, and its verdict is the score."""
    with judge_model() as (url, requests):
        metric = {
            "name": "plain_words",
            "definition": "Whether a child understands it.",
            "grading_prompt": "1 is jargon, 5 is plain.",
            "examples": [{"inputs": "Why?", "outputs": "Q.E.D.", "score": 1, "justification": "Latin"}],
            "model": "openai:/judge",
            "base_url": url,
        }
        evaluation = run_over({**GOOD, "answer": "A pineapple."}, metrics=[metric])
    assert evaluation.metrics["plain_words"].pass_rate == 0.0
    assert (evaluation.metrics["plain_words"].tier, evaluation.metrics["plain_words"].tokens) == ("llm", 120)
    prompt = requests[0]["messages"][-1]["content"]
    for shown in (metric["definition"], metric["grading_prompt"], "'Q.E.D.': grade 1, because Latin", "A pineapple."):
        assert shown in prompt


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"model_type": "poetry"}, "`model_type`: must be one of question-answering, text"),
        ({"model_type": None, "targets": None}, "no metric: set `model_type`"),
        ({"model": "gpt-5"}, "metric 'answer_correctness': .*model must be an MLflow model URI"),
        ({"metrics": ["kindness"]}, "metric 'kindness': 'kindness' is no built-in metric"),
        ({"fail_under": {"kindness": 0.5}}, "`fail_under`: 'kindness' is no metric of this run"),
        ({"fail_under": {"safety.median": 0.5}}, "`fail_under`: 'safety.median' is no metric"),
        ({"fail_under": {"safety": 90}}, r"`fail_under`: safety must be from 0 to 1, as scores are \(got 90\)"),
        ({"baseline": "0" * 32}, "`baseline` 0+: no evaluation by qualitrace"),
        ({"evaluator_config": {"mapping": {}}}, "`evaluator_config`: unknown key 'mapping'; known: col_mapping"),
    ],
)
def test_settings_that_cannot_be_used_say_so_before_anything_is_scored(
    tracking: str, options: dict[str, Any], message: str
):
    """The message names the setting; no run is left behind."""
    with pytest.raises(DataError, match=message):
        run_over(GOOD, **options)
    assert mlflow.get_experiment_by_name("evaluation") is None


def test_rows_without_answers_need_someone_who_answers(tracking: str):
    """Neither column nor function: the message says how many rows, and what to do."""
    with pytest.raises(DataError, match="1 of 2 rows have no answer: name their column with `predictions`, or give"):
        run_over(GOOD, {"question": "Q"})


def test_an_app_that_answers_nothing_is_no_evaluation(tracking: str):
    """The error says why, also where the data has answers of its own, so that no gate lets a dead app pass."""

    def predict(question: str) -> str:
        raise RuntimeError("the shop is closed")

    with pytest.raises(DataError, match=r"`predict`: no question was answered: .*the shop is closed"):
        run_over(GOOD, BAD, predict=predict)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--tracking-uri", "http://127.0.0.1:1"], "MLflow at http://127.0.0.1:1: API request to "),
        (["--config", "none.yaml"], "none.yaml: cannot be read"),
    ],
)
def test_what_cannot_be_used_has_another_exit_code_than_a_closed_gate(tracking: str, options: list[str], message: str):
    """Exit code 2, not 1, and one line instead of a traceback: without MLflow, and without the configuration file."""
    Path("rows.csv").write_text("question,answer\nWhy?,Because.\n")
    done = CliRunner().invoke(evaluate_data, ["--data", "rows.csv", "--metric", "safety", *options])
    assert (done.exit_code, done.stdout) == (2, "")
    assert message in done.stderr
    assert len(done.stderr.splitlines()) == 1


def test_a_gate_without_any_score_is_reported(tracking: str):
    """A judge that applied to no row, or failed on all, says nothing: the gate neither passes nor fails on it."""
    evaluation = run_over(BARE, fail_under={"groundedness": 0.5, "safety": 0.1})
    assert [gate.verdict for gate in evaluation.gates] == ["undecided", "undecided"]
    assert evaluation.unscored_gates == ["groundedness"]
