"""`qualitrace calibrate` on a real MLflow: labels found, agreement shown, thresholds stored and usable."""

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import yaml
from click.testing import CliRunner, Result
from mlflow import MlflowClient
from mlflow.entities import AssessmentSource, Feedback

from qualitrace_collector.config import parse_config
from qualitrace_collector.sample import Sample
from qualitrace_monitors.calibrate.command import calibrate
from qualitrace_monitors.config import Config
from qualitrace_monitors.judges.build import build_judge
from qualitrace_monitors.judges.contract import Judge
from qualitrace_monitors.judges.settings import JudgeConfig
from support.mlflow_db import converted, new_store
from support.otlp import rag_trace


@dataclass
class Bench:
    """Traces in MLflow, scored by a judge and labelled by people."""

    folder: Path
    ids: list[str] = field(default_factory=list[str])

    def __post_init__(self) -> None:
        self.store = new_store(self.folder)
        (self.folder / "config.yaml").write_text(f"mlflow: {{tracking_uri: '{self.store.tracking_uri}'}}")
        self.client = MlflowClient(self.store.tracking_uri)

    def answers(self, count: int) -> list[str]:
        """Store so many new traces and return their ids."""
        numbers = range(len(self.ids) + 1, len(self.ids) + count + 1)
        traces = [converted(rag_trace(n, question="Q?", answer="A.", passages=["P."]), "shop") for n in numbers]
        self.store.save(traces)
        new = [trace.trace_id for trace in traces]
        self.ids += new
        return new

    def score(self, ids: list[str], value: float, label: str, version: str = "v1") -> None:
        metadata = {"qualitrace.label": label, "qualitrace.judge_version": version}
        self._assess(ids, "groundedness", value, "CODE", "qualitrace/groundedness", metadata)

    def label(
        self, ids: list[str], value: Any, expert: str = "eva", name: str = "groundedness", **metadata: str
    ) -> None:
        self._assess(ids, name, value, "HUMAN", expert, metadata)

    def _assess(self, ids: list[str], name: str, value: Any, kind: str, who: str, metadata: dict[str, str]) -> None:
        made = []
        for trace_id in ids:
            source = AssessmentSource(kind, who)
            item = Feedback(name=name, value=value, source=source, metadata=metadata, trace_id=trace_id)
            item.assessment_id = f"{trace_id[-6:]}-{name}-{who}-{metadata.get('qualitrace.judge_version', '')}"[:50]
            made.append(item)
        assert self.store.save_assessments(made) == {}

    def run(self, *arguments: str) -> Result:
        return CliRunner().invoke(
            calibrate, ["--config", str(self.folder / "config.yaml"), "--judge", "groundedness", *arguments]
        )

    def json(self, *arguments: str) -> dict[str, Any]:
        result = self.run("--json", *arguments)
        assert result.exit_code == 0, result.output
        return json.loads(result.stdout)


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(tmp_path)


def test_a_calibration_from_labels_to_a_judge_that_uses_it(bench: Bench):
    """60 good answers at 0.9, 60 bad ones at 0.1, ten doubtful: both thresholds, stored once, ready to paste."""
    good, bad, doubtful = bench.answers(60), bench.answers(60), bench.answers(10)
    for ids, value, verdict in ((good, 0.9, "pass"), (bad, 0.1, "fail"), (doubtful, 0.5, "unsure")):
        bench.score(ids, value, verdict)
    bench.label([*good, *doubtful[:5]], True)
    bench.label([*bad, *doubtful[5:]], "fail")
    found = bench.json()
    assert (found["labels"], found["kappa"]["estimate"]) == (130, 1.0)
    assert found["sensitivity"]["estimate"] == pytest.approx(60 / 65)
    passing = found["thresholds"]["passing"]
    assert (passing["threshold"], passing["verdicts"], passing["errors"]) == (0.51, 60, 0)
    text = bench.run().output
    assert "disagreement with experts is at most" in text
    pasted = text[text.index("- {name: groundedness") :].splitlines()[0]
    (config,) = parse_config({"judges": [*yaml.safe_load(pasted)]}, Config).judges
    assert config.thresholds is not None
    assert config.thresholds.passing == found["thresholds"]["passing"]["threshold"]
    assert config.thresholds.version == "v1"
    experiment = bench.client.get_experiment_by_name("shop")
    assert experiment is not None
    (run,) = bench.client.search_runs([experiment.experiment_id])
    assert run.data.tags["qualitrace.calibration_version"] == found["version"]
    assert run.data.params["judge_version"] == "v1"
    assert run.data.metrics["labels"] == 130
    assert [artifact.path for artifact in bench.client.list_artifacts(run.info.run_id)] == ["calibration.json"]


def test_end_users_do_not_calibrate(bench: Bench):
    """Feedback of source `user` is not a label; an expert's by the same door is."""
    first, second = bench.answers(2)
    bench.score([first, second], 0.9, "pass")
    bench.label([first], True, **{"qualitrace.feedback.source": "user"})
    bench.label([second], True, **{"qualitrace.feedback.source": "expert"})
    assert bench.json()["labels"] == 1


def test_what_has_no_pair_is_counted(bench: Bench):
    """Labels without a score, of another version, and experts who disagree evenly; a majority decides."""
    unscored, old, split, voted = bench.answers(4)
    bench.score([old], 0.9, "pass", version="v0")
    bench.score([split, voted], 0.9, "pass")
    bench.label([unscored, old, split, voted], True)
    bench.label([split, voted], False, expert="ida")
    bench.label([voted], "no", expert="ole")
    found = bench.json("--judge-version", "v1")
    assert found["left_out"] == {"not scored": 1, "scored by another version": 1, "experts disagree": 1}
    assert found["confusion"] == [{"expert": "bad", "judge": "pass", "count": 1}]


def test_labels_may_have_a_name_of_their_own(bench: Bench):
    """`--label` names them, and what is said under the judge's name is left alone."""
    (one,) = bench.answers(1)
    bench.score([one], 0.2, "fail")
    bench.label([one], False, name="is-grounded")
    assert bench.json("--label", "is-grounded")["labels"] == 1


def test_too_few_labels_are_reported_with_how_many_it_takes(bench: Bench):
    """With 2.5 % a side and an error of 10 %, (1 - 0.1)^n must be at most 0.025: 36; nor is there a kappa of one class."""
    ids = bench.answers(3)
    bench.score(ids, 0.9, "pass")
    bench.label(ids, True)
    result = bench.run()
    assert "too few labels (3): need at least 36" in result.output
    assert "Cohen's kappa  not defined" in result.output
    assert "thresholds: {" not in result.output


def test_no_labels_is_an_error_that_says_how_to_label(bench: Bench):
    """Exit code 1, nothing is stored, and no table of zeros is shown."""
    bench.answers(1)
    result = bench.run()
    assert (result.exit_code, result.stdout) == (1, "")
    assert result.stderr.startswith("MLflow at sqlite:///")
    assert "label traces in MLflow's UI" in result.stderr


def test_without_mlflow_it_says_where_it_looked(bench: Bench):
    """One line with the address, and no traceback."""
    (bench.folder / "config.yaml").write_text("mlflow: {tracking_uri: 'http://127.0.0.1:1'}")
    result = bench.run()
    assert result.exit_code == 1
    assert result.stderr.startswith("Error: MLflow at http://127.0.0.1:1: API request to ")
    assert len(result.stderr.splitlines()) == 1


def test_in_a_wrong_folder_nothing_is_made(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Without a configuration it would look into a new database, and find no label there."""
    monkeypatch.chdir(tmp_path)
    result = CliRunner().invoke(calibrate, ["--judge", "groundedness"])
    assert result.exit_code == 1
    assert "no such file; name the server's own configuration with --config" in result.stderr
    assert list(tmp_path.iterdir()) == []


def test_the_same_labels_are_the_same_calibration(bench: Bench):
    """One run in MLflow; another label makes another version."""
    ids = bench.answers(3)
    bench.score(ids, 0.9, "pass")
    bench.label(ids[:2], True)
    first, again = bench.json()["version"], bench.json()["version"]
    bench.label(ids[2:], False)
    assert first == again != bench.json()["version"]
    experiment = bench.client.get_experiment_by_name("shop")
    assert experiment is not None
    assert len(bench.client.search_runs([experiment.experiment_id])) == 2


def test_a_calibrated_judge_decides_by_its_thresholds():
    """The value stays; between the thresholds it is unsure, and the version depends on the thresholds."""
    sample = Sample(
        inputs="How long is the warranty?",
        outputs="The warranty lasts 24 months.",
        passages=("The warranty of a tent lasts 24 months.",),
    )
    settings = (None, {"pass": 0.1}, {"fail": 0.99}, {"pass": 1.0, "fail": 0.0})
    judges = [
        build_judge(JudgeConfig.model_validate({"name": "groundedness", "thresholds": thresholds}))
        for thresholds in settings
    ]
    scores = [judge.score(sample) for judge in judges]
    assert len({score.value for score in scores}) == 1
    assert 0.1 < scores[0].value < 0.99
    assert [score.label for score in scores[1:]] == ["pass", "fail", "unsure"]
    assert len({judge.version for judge in judges}) == 4


def test_doubts_of_a_version_that_was_not_calibrated_stand(caplog: pytest.LogCaptureFixture):
    """They may be new; those that were there when experts labelled are overruled."""
    dutch = Sample(
        inputs="Hoe lang duurt de garantie?",
        outputs="De garantie op deze rugzak duurt vierentwintig maanden vanaf de aankoop.",
        passages=("Voor rugzakken geldt een garantie van twee jaar na aankoop.",),
    )
    english = Sample(
        inputs="How long is it?", outputs="It lasts 24 months.", passages=("The warranty of a tent lasts 24 months.",)
    )

    def calibrated(version: str | None) -> Judge:
        fitted = {"pass": 0.0} if version is None else {"pass": 0.0, "version": version}
        return build_judge(JudgeConfig.model_validate({"name": "groundedness", "thresholds": fitted}))

    own = build_judge(JudgeConfig(name="groundedness"))
    assert own.score(dutch).label == "unsure"
    unpinned = calibrated(None)
    for known in (unpinned, calibrated(own.version), calibrated(unpinned.version)):
        assert (known.score(dutch).label, known.version) == ("pass", unpinned.version)
    assert "fitted to" not in caplog.text
    older = calibrated("0-0123456789ab")
    assert [older.score(sample).label for sample in (dutch, english)] == ["unsure", "pass"]
    assert older.version != unpinned.version
    assert f"fitted to version 0-0123456789ab, and it is {own.version} now" in caplog.text
