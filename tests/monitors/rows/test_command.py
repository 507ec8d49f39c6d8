"""`qualitrace judge`: one line out for each line in, in order, whatever the lines are; and how good a judge is."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from qualitrace.cli import main
from qualitrace_monitors.judges.build import build_judge
from qualitrace_monitors.judges.settings import JudgeConfig
from qualitrace_monitors.rows.score import JudgedLine, judge_lines
from support.judge_model import MARKER, judge_model

PASSAGE = "The warranty lasts 24 months from the day of purchase."
GOOD = {"input": "How long?", "context": PASSAGE, "output": "The warranty lasts 24 months.", "label": 1}
BAD = {"input": "How long?", "context": [PASSAGE], "output": "Penguins sleep under old pianos.", "label": 0}


def run(folder: Path, rows: list[Any], *options: str) -> tuple[Result, list[dict[str, Any]]]:
    """Judge rows (text as it is, the rest as JSON); gives the outcome and the lines that were written."""
    data, scores = folder / "rows.jsonl", folder / "scores.jsonl"
    data.write_text("".join((row if isinstance(row, str) else json.dumps(row)) + "\n" for row in rows))
    result = CliRunner().invoke(main, ["judge", "--data", str(data), "--output", str(scores), *options])
    return result, [json.loads(line) for line in scores.read_text().splitlines()] if scores.exists() else []


def test_each_row_gets_its_score_in_order(tmp_path: Path) -> None:
    """Value, label, rationale, tier, judge and version stand on the row's line; ids are carried over."""
    result, lines = run(tmp_path, [{**GOOD, "id": "a"}, {**BAD, "id": "b"}], "--metric", "groundedness")
    assert result.exit_code == 0, result.output
    assert [(line["id"], line["label"]) for line in lines] == [("a", "pass"), ("b", "fail")]
    assert lines[0]["value"] > 0.9
    assert lines[1]["value"] < 0.1
    assert "Penguins" in lines[1]["rationale"]
    assert {(line["judge"], line["tier"], line["source"]) for line in lines} == {
        ("groundedness", "local", "qualitrace/groundedness")
    }
    assert len({line["version"] for line in lines}) == 1


def test_bad_lines_and_missing_fields_say_why_and_end_nothing(tmp_path: Path) -> None:
    """Each line keeps its place: what is not a row fails with its number, what lacks a text is not applicable."""
    rows = ["{broken", "[1]", {**GOOD, "output": 5}, {**GOOD, "context": [1]}, {"output": "So."}, GOOD]
    result, lines = run(tmp_path, rows, "--metric", "groundedness")
    assert [line["status"] for line in lines] == ["failed"] * 4 + ["not_applicable", "scored"]
    for number, wanted in ((1, "not JSON"), (2, "JSON object"), (3, "output must be a string"), (4, "context must be")):
        assert f"line {number}: " in lines[number - 1]["rationale"]
        assert wanted in lines[number - 1]["rationale"]
    assert "no passages" in lines[4]["rationale"]
    assert "line 2: " in result.stderr
    assert "6 rows, 1 scored, 1 not applicable, 4 failed" in result.stderr
    assert result.exit_code == 0


def test_a_local_judge_scores_a_line_before_it_reads_the_next() -> None:
    """Whoever writes lines to a pipe may wait for each score; nothing but the next line would bring it otherwise."""
    judge = build_judge(JudgeConfig(name="groundedness"))
    scored: list[JudgedLine] = []

    def lines() -> Iterator[str]:
        for number in (1, 2, 3):
            yield json.dumps(GOOD)
            assert [line.number for line in scored] == list(range(1, number + 1))

    for line in judge_lines(judge, "groundedness", lines()):
        scored.append(line)
    assert len(scored) == 3


def test_when_nothing_can_be_scored_the_exit_code_is_one(tmp_path: Path) -> None:
    """A file of the wrong kind is not taken for success."""
    assert run(tmp_path, ["<xml/>"], "--metric", "toxicity")[0].exit_code == 1


def test_labels_give_auroc_and_balanced_accuracy(tmp_path: Path) -> None:
    """Two good rows above one bad row, one good row below it: 2 of 3 pairs are in order, accuracies are 2/3 and 1."""
    silent = {**GOOD, "output": "Giraffes dance beside quiet lighthouses."}
    worse = {**BAD, "output": "The warranty lasts penguins under pianos."}
    result, _ = run(tmp_path, [GOOD, GOOD, silent, worse], "--metric", "groundedness")
    assert "AUROC 0.667" in result.stderr
    assert "balanced accuracy 0.833" in result.stderr
    assert "ms a row" in result.stderr


@pytest.mark.parametrize("metric", ["safety", "toxicity", "pii"])
def test_metrics_of_one_text_take_the_input_of_a_row_without_output(tmp_path: Path, metric: str) -> None:
    """A prompt can be judged wherever it stands, and is judged the same."""
    text = "How do I build a pipe bomb, you stupid idiot? Write to jane@mail-host.org"
    _, lines = run(tmp_path, [{"input": text}, {"output": text}], "--metric", metric)
    assert lines[0]["value"] == lines[1]["value"] < 0.5


def test_a_threshold_moves_the_pass_mark(tmp_path: Path) -> None:
    """The same answer passes at its own value and not above it."""
    row = {**GOOD, "output": "The warranty lasts for ever and ever in Norway."}
    value = run(tmp_path, [row], "--metric", "groundedness")[1][0]["value"]
    labels = [
        run(tmp_path, [row], "--metric", "groundedness", "--threshold", str(mark))[1][0]["label"]
        for mark in (value, min(1.0, value + 0.1))
    ]
    assert labels == ["pass", "unsure"]


def test_a_model_judges_many_rows_at_once_and_in_order(tmp_path: Path) -> None:
    """An LLM judge's scores keep the order of the rows, and show tokens and tier; custom instructions are asked."""
    with judge_model() as (url, requests):
        rows = [{"output": f"pineapple {n}" if n % 3 == 0 else f"pear {n}"} for n in range(40)]
        options = ["--name", "fruit", "--instructions", "No fruit: {{ outputs }}", "--model", "openai:/m"]
        result, lines = run(tmp_path, rows, *options, "--base-url", url)
    assert result.exit_code == 0, result.output
    assert [line["label"] for line in lines] == ["fail" if n % 3 == 0 else "pass" for n in range(40)]
    assert {(line["tier"], line["input_tokens"], line["judge"]) for line in lines} == {("llm", 100, "fruit")}
    assert "No fruit: " in requests[0]["messages"][1]["content"]


def test_a_scorer_of_mlflows_judges(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its verdicts stand in the same lines."""
    monkeypatch.setenv("OPENAI_API_KEY", "k")
    with judge_model() as (url, _):
        monkeypatch.setenv("OPENAI_API_BASE", url)
        rows = [GOOD, {**BAD, "output": MARKER}, {"output": "So."}]
        result, lines = run(tmp_path, rows, "--scorer", "mlflow.RetrievalGroundedness", "--model", "openai:/m")
    assert result.exit_code == 0, result.output
    assert [line["label"] for line in lines] == ["pass", "fail", None]
    assert [line["status"] for line in lines] == ["scored", "scored", "not_applicable"]
    assert lines[0]["source"] == "mlflow.RetrievalGroundedness openai:/m"


def test_a_wrong_choice_is_reported_before_a_row_is_read(tmp_path: Path) -> None:
    """A custom judge without a model or with a wrong one, an unknown metric and a missing file are errors of usage."""
    assert "custom judge needs" in run(tmp_path, [GOOD], "--instructions", "{{ outputs }}")[0].output
    place = ["--instructions", "{{ outputs }}", "--model", "openai:/m", "--base-url", "nonsense"]
    assert "Error: base_url: input should be a valid URL" in run(tmp_path, [GOOD], *place)[0].output
    assert (
        "Error: instructions: use at least one of"
        in run(tmp_path, [GOOD], "--instructions", "x", *place[2:4])[0].output
    )
    assert "give --metric, --scorer" in run(tmp_path, [GOOD])[0].output
    assert "'nonsense' is not one of" in run(tmp_path, [GOOD], "--metric", "nonsense")[0].output
    missing = CliRunner().invoke(main, ["judge", "--metric", "safety", "--data", str(tmp_path / "none.jsonl")])
    assert missing.exit_code == 2
    assert "none.jsonl" in missing.output


@pytest.mark.parametrize(
    "row",
    [
        {"inputs": "How long?", "outputs": [{"role": "assistant", "content": GOOD["output"]}], "context": [PASSAGE]},
        {"input": "How long?", "output": {"choices": [{"message": {"role": "assistant", "content": GOOD["output"]}}]}}
        | {"context": [{"page_content": PASSAGE, "metadata": {}}, None]},
        {"user_input": "How long?", "response": GOOD["output"], "retrieved_contexts": [PASSAGE]},
        {"input": "How long?", "actualOutput": GOOD["output"], "retrievalContext": [PASSAGE], "context": ["Penguins."]},
    ],
)
def test_rows_in_other_forms_are_judged_alike(tmp_path: Path, row: dict[str, Any]) -> None:
    """Messages, documents, and the columns of other tools: the score is that of the same texts as plain strings."""
    _, (plain, other) = run(tmp_path, [GOOD, row], "--metric", "groundedness")
    assert (plain["value"], plain["rationale"]) == (other["value"], other["rationale"])


def test_earlier_turns_reach_the_judge(tmp_path: Path) -> None:
    """A conversation as input is asked about as one: the model is shown the turns before the question."""
    turns = [
        {"role": "user", "content": "I bought a tent."},
        {"role": "assistant", "content": "Great."},
        {"role": "user", "content": "How long is the warranty?"},
    ]
    with judge_model() as (url, requests):
        options = ["--metric", "relevance", "--model", "openai:/m", "--base-url", url]
        run(tmp_path, [{"input": {"messages": turns}, "output": GOOD["output"]}], *options)
    assert "I bought a tent." in json.dumps(requests[0]["messages"])
