"""The registry of metrics, and that a judge's scores change only together with its version.

`recorded.json` holds, for each metric, the version and the outputs of its local rules and of its prompt on the samples
of `corpus.json`. If a test says that outputs changed, and they should, raise the version that the message names and
record them:

    RECORD_SCORES=1 .venv/bin/pytest tests/monitors/judges/test_builtin.py

What is recorded for a version stays; a sample that is new in the corpus is added to it. This is the one place where
recorded outputs are the expectation.
"""

import hashlib
import json
import os
from pathlib import Path
from typing import Any

import pytest

from qualitrace_collector.doctor.report import PASSAGE_METRICS
from qualitrace_collector.sample import Message, Sample
from qualitrace_monitors.judges.builtin import BUILTIN_METRICS, documentation
from qualitrace_monitors.judges.contract import BuiltinMetric, JudgeError, NotApplicable
from qualitrace_monitors.judges.llm import prompt
from qualitrace_monitors.judges.llm.verdict import Verdict, read_verdict
from qualitrace_monitors.judges.local import LocalJudge

CORPUS: dict[str, Any] = json.loads(Path(__file__).with_name("corpus.json").read_text())
RECORD_FILE = Path(__file__).with_name("recorded.json")
PAGE = Path(__file__).parents[3] / "docs" / "reference" / "judges.md"
EVERY = pytest.mark.parametrize("metric", BUILTIN_METRICS.values(), ids=lambda metric: metric.name)


def samples() -> dict[str, Sample]:
    made: dict[str, Sample] = {}
    for name, texts in CORPUS["samples"].items():
        turns = tuple(Message(role=role, content=content) for role, content in texts.get("conversation", ()))
        made[name] = Sample(
            inputs=texts["inputs"], outputs=texts["outputs"], passages=tuple(texts["passages"]), conversation=turns
        )
    return made


def check(what: str, version: list[int], outputs: dict[str, str], raise_it: str) -> None:
    """Compare outputs with those recorded for the version; if asked to, record a new version, and new samples."""
    recorded = json.loads(RECORD_FILE.read_text())
    known = recorded.get(what, {"version": [], "outputs": {}})
    assert version >= known["version"], f"{what}: a version never falls"
    if version == known["version"]:
        changed = [name for name, output in known["outputs"].items() if outputs.get(name, output) != output]
        assert not changed, f"{what} {version} changed on {changed}: raise {raise_it}, then run with RECORD_SCORES=1"
    if (version, outputs) != (known["version"], known["outputs"]):
        assert os.environ.get("RECORD_SCORES"), f"{what} {version} is not recorded: run with RECORD_SCORES=1"
        recorded[what] = {"version": version, "outputs": outputs}
        RECORD_FILE.write_text(json.dumps(dict(sorted(recorded.items())), ensure_ascii=False, indent=1) + "\n")


def digest(value: object) -> str:
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()[:12]


def scored(metric: BuiltinMetric, sample: Sample) -> str:
    try:
        score = LocalJudge(metric.name, metric).score(sample)
    except NotApplicable:
        return "not applicable"
    return f"{score.label} {score.value:.3f}"


def prompted(criterion: BuiltinMetric | str, sample: Sample) -> str:
    try:
        return digest(prompt.render(criterion, sample, b"key").messages)
    except NotApplicable:
        return "not applicable"


def read(reply: str) -> str:
    try:
        verdict = read_verdict(reply)
    except JudgeError:
        return "no verdict"
    return f"{verdict.verdict} {verdict.score:.3f}"


@EVERY
def test_scores_change_only_with_the_version(metric: BuiltinMetric) -> None:
    """The local rules give each sample of the corpus the value and the label that their version is known for."""
    outputs = {name: scored(metric, sample) for name, sample in samples().items()}
    check(f"{metric.name}, local", [metric.version], outputs, f"`version` of {metric.name}")


@EVERY
def test_prompts_change_only_with_the_version(metric: BuiltinMetric) -> None:
    """The prompt of each sample is the one that the criterion's version is known for."""
    outputs = {name: prompted(metric, sample) for name, sample in samples().items()}
    version = [prompt.VERSION, metric.criterion_version]
    check(f"{metric.name}, prompt", version, outputs, f"`criterion_version` of {metric.name}, or prompt.VERSION")


def test_what_prompts_share_changes_only_with_its_version() -> None:
    """The frame of own instructions, the schema and how replies are read are those of their version."""
    outputs = {f"prompt: {name}": prompted(CORPUS["instructions"], s) for name, s in samples().items()}
    types = {name: str(field.annotation) for name, field in Verdict.model_fields.items()}
    outputs["schema"] = digest([Verdict.__name__, Verdict.__doc__, types])
    outputs |= {f"reply: {reply}": read(reply) for reply in CORPUS["replies"]}
    check("instructions and replies", [prompt.VERSION], outputs, "prompt.VERSION")


def test_the_corpus_shows_each_local_judge_pass_and_fail() -> None:
    """So that a change of its rules shows: give a new metric the samples that it needs."""
    recorded = json.loads(RECORD_FILE.read_text())
    for name in BUILTIN_METRICS:
        labels = {output.split()[0] for output in recorded[f"{name}, local"]["outputs"].values()}
        assert {"pass", "fail"} <= labels, name


def test_the_page_on_judges_has_the_lines_of_each_metric() -> None:
    """A metric states in its module what the page says of it: copy a missing line from this test's message."""
    lines = PAGE.read_text().splitlines()
    missing = [row for table in documentation() for row in table if row not in lines]
    assert not missing, f"missing in {PAGE.name}:\n" + "\n".join(missing)


def test_doctor_knows_the_metrics_of_passages() -> None:
    """The collector, which knows no metric, lists by name the judges that have nothing to judge without a retriever."""
    assert {
        name for name, metric in BUILTIN_METRICS.items() if "passages" in metric.needs and not metric.any_need_will_do
    } == PASSAGE_METRICS
