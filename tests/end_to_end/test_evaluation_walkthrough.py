"""The walk-through of docs/how-to/evaluate.md: its commands, as they stand but for ports, do what the page says."""

import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import httpx
import mlflow
import pytest

from support import plain_http
from support.judge_model import judge_model
from support.mlflow_db import new_database
from support.ports import free_port
from support.serving import QUALITRACE, environment
from support.waiting import eventually

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "how-to" / "evaluate.md").read_text()
COMMANDS = re.findall(r"```sh\n(.*?)```", PAGE, re.DOTALL)
EVALUATE = """\
qualitrace evaluate --data questions.csv --targets expected --model-type question-answering \\
    --predict http://127.0.0.1:{}"""
SCRIPT = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)[0]


class Reader:
    """Follows the page in a copy of the example, with free ports in place of the page's."""

    def __init__(self, folder: Path, judge_url: str) -> None:
        self.folder = folder
        self.ports = {str(number): str(free_port()) for number in (4317, 4318, 8000, 8001, 8002, 9464)}
        self.environment = {**environment(), "JUDGE_URL": judge_url, "OPENAI_API_KEY": "none"}
        self.environment.pop("MLFLOW_TRACKING_URI", None)  # MLflow leaves it behind in the tests' process
        self.environment["QUALITRACE_ENDPOINT"] = f"http://127.0.0.1:{self.ports['4318']}"
        listen = "{" + ", ".join(
            f"{name}: '127.0.0.1:{self.ports[port]}'"
            for name, port in (("otlp_http", "4318"), ("otlp_grpc", "4317"), ("web", "9464"))
        )
        with (folder / "judges.yaml").open("a") as config:
            config.write(f"listen: {listen}}}\n")

    def command(self, start: str, **replaced: str) -> list[str]:
        """Find the command of the page that starts so, and make it run here."""
        (text,) = [text for text in COMMANDS if text.startswith(start)]
        for page, here in (*self.ports.items(), *replaced.items()):
            text = re.sub(rf"\b{page}\b", here, text)
        words = shlex.split(text.replace("\\\n", " "))
        return [
            part for word in words for part in {"qualitrace": QUALITRACE, "python": [sys.executable]}.get(word, [word])
        ]

    def run(self, start: str, **replaced: str) -> subprocess.CompletedProcess[str]:
        """Run a command to its end."""
        return subprocess.run(
            self.command(start, **replaced),
            cwd=self.folder, env=self.environment, capture_output=True, text=True, timeout=150, check=False,
        )  # fmt: skip

    @contextmanager
    def running(self, start: str, is_up: Callable[[], bool]) -> Iterator[None]:
        """Keep a command running in the block, which begins when it is up."""
        with (self.folder / "log").open("ab") as log:
            process = subprocess.Popen(
                self.command(start), cwd=self.folder, env=self.environment, stdout=log, stderr=log
            )
        try:
            eventually(is_up, timeout=90)
            yield
        finally:
            process.terminate()
            process.wait(30)

    def make_tables(self) -> None:
        """Give MLflow's tables to a test that is not about the first start, which would take seconds to make them."""
        (self.folder / "qualitrace-data").mkdir(mode=0o700)
        new_database(self.folder / "qualitrace-data")

    def answers(self, port: str, question: str = "Is it free?") -> bool:
        """Whether the app at a port of the page answers."""
        try:
            return plain_http.post(
                f"http://127.0.0.1:{self.ports[port]}/answer", json={"question": question}
            ).is_success
        except httpx.TransportError:
            return False

    def metrics(self) -> str:
        """Return what the page's /metrics says, empty while it is not up."""
        try:
            return plain_http.get(f"http://127.0.0.1:{self.ports['9464']}/metrics").text
        except httpx.TransportError:
            return ""


@pytest.fixture
def reader(tmp_path: Path) -> Iterator[Reader]:
    """Give a reader with the example's folder, and a model that judges."""
    folder = tmp_path / "question_answering"
    shutil.copytree(ROOT / "examples" / "question_answering", folder)
    with judge_model() as (url, _):
        yield Reader(folder, url)


@pytest.mark.timeout(600)
def test_the_walk_through_leads_from_nothing_to_a_gate(reader: Reader):
    """Exit code 0, then 1 for the broken retriever; its failures are a data set, which the good app passes."""
    with ExitStack() as apps:
        for port in ("8000", "8001"):
            apps.enter_context(reader.running(f"python app.py --port {port}", lambda port=port: reader.answers(port)))
        first = reader.run(EVALUATE.format(8000))
        assert first.returncode == 0, first.stderr
        run_id = re.findall(r"^run (\w+) in", first.stdout, re.MULTILINE)[0]
        second = reader.run(
            EVALUATE.format(8001),
            RUN=run_id,
        )
        assert second.returncode == 1, second.stderr
        assert "fail-under answer_correctness=0.6" in second.stdout
        third = reader.run("qualitrace evaluate --dataset regressions")
        assert third.returncode == 0, third.stderr
    client = mlflow.MlflowClient(f"sqlite:///{reader.folder}/qualitrace-data/mlflow.db")
    experiment = client.get_experiment_by_name("evaluation")
    assert experiment is not None
    ours = [run for run in client.search_runs([experiment.experiment_id]) if run.info.run_id == run_id]
    assert ours[0].data.metrics["answer_correctness/mean_lower"] > 0.6
    assert ours[0].data.metrics["plain_words/mean"] == 1.0
    assert "16" in first.stdout


def test_the_script_evaluates_without_an_endpoint(reader: Reader):
    """The page's Python, in the example's folder, ends with the interval and the gate's answer."""
    reader.make_tables()
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT],
        cwd=reader.folder, env=reader.environment, capture_output=True, text=True, timeout=150, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert done.stdout.rstrip().endswith("True")


def test_the_same_judges_watch_production(reader: Reader):
    """Served with the same file, every judge scores an answer of the traced app; its traces can be evaluated."""
    reader.make_tables()
    with ExitStack() as running:
        running.enter_context(reader.running("qualitrace serve", lambda: "qualitrace_" in reader.metrics()))
        running.enter_context(
            reader.running("qualitrace run", lambda: reader.answers("8002", "Who pays for the return?"))
        )
        for judge in ("relevance", "faithfulness", "groundedness", "safety", "toxicity", "plain_words"):
            eventually(
                lambda judge=judge: re.search(rf'_evaluations_total{{[^}}]*judge="{judge}"', reader.metrics()),
                timeout=90,
            )
        again = reader.run("qualitrace evaluate --traces")
    assert again.returncode == 0, again.stderr
    assert "groundedness" in again.stdout
