"""The parts of the demo: what each does in the story, and how each fails."""

import io
import json
import os
import re
import sqlite3
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx
import openai
import pytest
from hypothesis import given
from hypothesis import strategies as st
from openai.types.chat import ChatCompletionMessageParam
from rich.console import Console
from standardwebhooks import Webhook

from qualitrace_collector.sample import Sample
from qualitrace_monitors.demo import parts
from qualitrace_monitors.demo.llm import answer, model_app
from qualitrace_monitors.demo.observation import Observation, observe
from qualitrace_monitors.demo.parts import (
    DemoFailed,
    RunningParts,
    child,
    make_directory,
    receiver_app,
    wait_for_log,
)
from qualitrace_monitors.demo.retrieval import PASSAGES, QUESTIONS, Index
from qualitrace_monitors.demo.story import Story
from qualitrace_monitors.judges.build import build_judge
from qualitrace_monitors.judges.settings import JudgeConfig
from qualitrace_monitors.web.server import WebServer
from support.serving import QUALITRACE
from support.waiting import eventually

FOREVER = "import threading; print('ready'); threading.Event().wait()"


def judged(question: str, metric: str, index: Index) -> str:
    """Return the label that a local judge gives to what the assistant says."""
    passages = index.search(question)
    said = answer(question, "\n\n".join(passages))
    judge = build_judge(JudgeConfig(name=metric))
    return judge.score(
        Sample(inputs=question, outputs=said, passages=tuple(passages), passages_source="retriever")
    ).label


@pytest.fixture(scope="module")
def index() -> Index:
    """An index over the handbook."""
    return Index(list(PASSAGES.values()))


def test_answers_rest_on_the_handbook_until_the_index_is_stale(index: Index):
    """Each question gets a sentence of the passage that answers it, which passes both judges; stale, an invention."""
    for question, title in QUESTIONS.items():
        index.is_stale = False
        found = index.search(question)
        assert found[0] == PASSAGES[title]
        assert answer(question, "\n\n".join(found)) in PASSAGES[title]
        assert (judged(question, "groundedness", index), judged(question, "relevance", index)) == ("pass", "pass")
        index.is_stale = True
        found = index.search(question)
        assert found
        assert PASSAGES[title] not in found
        assert answer(question, "\n\n".join(found)) not in "\n\n".join(PASSAGES.values())
        assert judged(question, "groundedness", index) == "fail"


@given(st.text())
def test_the_index_takes_any_query(query: str):
    """At most two different passages come back."""
    found = Index(list(PASSAGES.values())).search(query)
    assert len(found) == len(set(found)) <= 2


@given(st.text(), st.text())
def test_the_model_always_says_something_and_always_the_same(question: str, prompt: str):
    """Whatever the texts, the answer is not empty, and the same question on the same prompt gets it again."""
    said = answer(question, prompt)
    assert said
    assert answer(question, prompt) == said


@pytest.fixture(scope="module")
def client() -> Iterator[openai.OpenAI]:
    """A client of the model."""
    with (
        WebServer(model_app()) as server,
        openai.OpenAI(base_url=f"{server.url}/v1", api_key="not-needed", max_retries=0) as client,
    ):
        yield client


def asked(question: str) -> list[ChatCompletionMessageParam]:
    passages = "Use these passages:\n\nParrots eat 40 grams of seeds a day. They sleep at dusk.\n\nCats sleep at noon."
    return [{"role": "system", "content": passages}, {"role": "user", "content": question}]


def test_the_model_answers_openais_client(client: openai.OpenAI):
    """With the sentence that holds the answer, the tokens and the finish reason; or else with numbers of its own."""
    completion = client.chat.completions.create(
        model="small", messages=asked("How many grams of seeds do parrots eat?")
    )
    assert completion.choices[0].message.content == "Parrots eat 40 grams of seeds a day."
    assert (completion.choices[0].finish_reason, completion.model) == ("stop", "small")
    assert completion.usage is not None
    assert completion.usage.completion_tokens == 9  # 36 characters
    assert completion.usage.total_tokens == completion.usage.prompt_tokens + 9
    completion = client.chat.completions.create(
        model="small", messages=asked("Which warranty covers hiking backpacks?")
    )
    invented = completion.choices[0].message.content or ""
    assert "hiking backpacks" in invented
    assert "40" not in re.findall(r"\d+", invented)


def test_the_model_streams_the_same_answer_with_usage_at_the_end(client: openai.OpenAI):
    """The chunks add up to the whole answer."""
    options: dict[str, Any] = {"stream": True, "stream_options": {"include_usage": True}}
    chunks = list(client.chat.completions.create(model="small", messages=asked("When do cats sleep?"), **options))
    text = "".join(choice.delta.content or "" for chunk in chunks for choice in chunk.choices)
    assert text == "Cats sleep at noon."
    assert len(chunks) > 4
    assert chunks[-2].choices[0].finish_reason == "stop"
    assert chunks[-1].usage.completion_tokens == 5


@pytest.mark.parametrize(
    ("said", "label"),
    [("Cats sleep at noon.", "pass"), ("Nordvik Concierge wakes cats at 7.", "fail"), ("They sleep at dusk.", "pass")],
)
def test_the_demos_judge_looks_the_answer_up(client: openai.OpenAI, said: str, label: str):
    """In the document of the prompt that the server writes for it; the question does not matter."""
    url = str(client.base_url).replace("/v1", "/judge/v1")
    settings = {"name": "second-opinion", "metric": "groundedness", "model": "openai:/gpt-5-mini", "base_url": url}
    judge = build_judge(JudgeConfig.model_validate(settings | {"api_key": "not-needed"}))
    passages = ("Parrots eat 40 grams of seeds a day. They sleep at dusk.", "Cats sleep at noon.")
    sample = Sample(inputs="When do cats sleep?", outputs=said, passages=passages, passages_source="retriever")
    assert judge.score(sample).label == label


def test_the_model_refuses_a_request_without_messages(client: openai.OpenAI):
    """The client gets its own error class with a message that names the field."""
    with pytest.raises(openai.BadRequestError, match="messages: at least one is required"):
        client.chat.completions.create(model="small", messages=[])


SECRET = "whsec_00000000000000000000000000000000"
BODY = json.dumps(
    {
        "alerts": [
            {"status": "firing", "labels": {"alertname": "a"}, "annotations": {"summary": "fell"}},
            {"status": "resolved", "labels": {"alertname": "b"}},
        ]
    }
)


@pytest.mark.parametrize(
    ("body", "changed"),
    [
        (BODY, {}),
        (BODY.replace("firing", "resolved"), {}),
        (BODY, {"webhook-id": "msg_2"}),
        (BODY, {"webhook-signature": "v1,%%%"}),
        (BODY, {"webhook-timestamp": "1000"}),
    ],
)
def test_the_receiver_hears_what_its_secret_signed_and_a_repeat_once(body: str, changed: dict[str, str]):
    """A changed body, id or signature, or an old timestamp, is answered with 401 and not heard."""
    heard: list[tuple[str, str, str]] = []
    sent = datetime.now(UTC)
    headers = {
        "webhook-id": "msg_1",
        "webhook-timestamp": str(int(sent.timestamp())),
        "webhook-signature": Webhook(SECRET).sign("msg_1", sent, BODY),
    }
    with WebServer(receiver_app(SECRET, lambda *alert: heard.append(alert))) as server:
        statuses = [
            httpx.post(f"{server.url}/alerts", content=body, headers=headers | changed, trust_env=False).status_code
            for _ in range(2)
        ]
    genuine = (body, changed) == (BODY, {})
    assert statuses == ([204, 204] if genuine else [401, 401])
    assert heard == ([("a", "firing", "fell"), ("b", "resolved", "")] if genuine else [])


def is_alive(pid: int) -> bool:
    """Whether a process runs; a zombie only waits to be reaped by whoever inherited it."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def test_a_process_that_ends_too_early_is_reported_with_its_log(tmp_path: Path):
    """With its name, its status and its last words."""
    code = "import sys; print('port is taken'); sys.exit(3)"
    with (
        child("the child", [sys.executable, "-c", code], tmp_path / "child.log") as process,
        pytest.raises(DemoFailed, match=r"(?s)the child ended with status 3.*child\.log.*port is taken"),
    ):
        wait_for_log(process, "ready")


def test_a_process_that_never_gets_ready_fails_the_demo(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """It is reported after its time, and stopped."""
    monkeypatch.setattr(parts, "START_SECONDS", 0.0)
    with (
        child("the child", [sys.executable, "-c", FOREVER], tmp_path / "child.log") as process,
        pytest.raises(DemoFailed, match="the child was not ready within 0 s"),
    ):
        wait_for_log(process, "nothing like it")
    assert process.exit_code is not None


@pytest.mark.skipif(sys.platform != "linux", reason="other systems cannot tie a child to its parent")
def test_processes_die_when_the_demo_is_killed(tmp_path: Path):
    """Even SIGKILL on the parent leaves no child behind."""
    parent_code = f"""
import pathlib, sys, threading
from qualitrace_monitors.demo.parts import child, wait_for_log
with child("c", [sys.executable, "-c", {FOREVER!r}], pathlib.Path({str(tmp_path / "log")!r})) as process:
    wait_for_log(process, "ready")
    print(process.pid, flush=True)
    threading.Event().wait()
"""
    with subprocess.Popen([sys.executable, "-c", parent_code], stdout=subprocess.PIPE, text=True) as parent:
        assert parent.stdout is not None
        pid = int(parent.stdout.readline())
        assert is_alive(pid)
        parent.kill()
    eventually(lambda: not is_alive(pid))


def test_nothing_redirects_the_demo(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Settings for another collector, key or MLflow do not reach the processes; others and the demo's do."""
    for name in ("OTEL_EXPORTER_OTLP_ENDPOINT", "QUALITRACE_ENDPOINT", "OPENAI_API_KEY", "MLFLOW_TRACKING_URI"):
        monkeypatch.setenv(name, "elsewhere")
    monkeypatch.setenv("LANG", "C.UTF-8")
    environment = child("c", ["true"], tmp_path / "log", OPENAI_API_KEY="ours").environment
    assert environment is not None
    assert "elsewhere" not in environment.values()
    assert (environment["LANG"], environment["OPENAI_API_KEY"]) == ("C.UTF-8", "ours")


def test_the_directory_is_made_anew_unless_no_demo_made_it(tmp_path: Path):
    """What an earlier demo left is removed; anything else is left alone, and the command says what is in the way."""
    directory = tmp_path / "qualitrace-demo"
    make_directory(directory)
    assert directory.stat().st_mode & 0o777 == 0o700
    (directory / "thesis.txt").write_text("mine")
    ended = subprocess.run([*QUALITRACE, "demo"], cwd=tmp_path, capture_output=True, text=True, timeout=60, check=False)
    assert ended.returncode == 1
    assert "FAILED: " in ended.stdout
    assert "no demo made it: move it away" in ended.stdout
    assert (directory / "thesis.txt").exists()
    (directory / "qualitrace-demo.yaml").write_text("{}")
    make_directory(directory)
    assert os.listdir(directory) == []


def test_a_request_without_an_answer_fails_the_demo(tmp_path: Path):
    """The message has the address that was asked, and the question."""
    process = child("c", ["true"], tmp_path / "log")
    with pytest.raises(DemoFailed, match=r"POST http://127\.0\.0\.1:9/ask .*dogs welcome.* failed: "):
        RunningParts("", "", "", "", process, process).request(
            "POST", "http://127.0.0.1:9/ask", question="Are dogs welcome?"
        )


OURS = 'judge="groundedness",tier="local",service="shop-assistant"'
PAGE = f"""
# TYPE qualitrace_pass_rate gauge
qualitrace_pass_rate{{{OURS},window="1h"}} 0.5
qualitrace_pass_rate{{{OURS},window="15s"}} 0.75
qualitrace_pass_rate{{judge="safety",tier="local",service="shop-assistant",window="15s"}} 1.0
# TYPE qualitrace_pass_rate_lower gauge
qualitrace_pass_rate_lower{{{OURS},window="15s"}} 0.625
# TYPE qualitrace_pass_rate_upper gauge
qualitrace_pass_rate_upper{{{OURS},window="15s"}} 0.875
# TYPE qualitrace_pass_rate_samples gauge
qualitrace_pass_rate_samples{{{OURS},window="15s"}} 24
# TYPE qualitrace_traces_total counter
qualitrace_traces_total{{service="shop-assistant",outcome="stored"}} 30
qualitrace_traces_total{{service="shop-assistant",outcome="not_genai"}} 2
# TYPE qualitrace_judgements_total counter
qualitrace_judgements_total{{service="shop-assistant",judge="groundedness",outcome="scored"}} 29
# TYPE qualitrace_alert_state gauge
qualitrace_alert_state{{alert="groundedness-low",service="shop-assistant",state="pending"}} 0
qualitrace_alert_state{{alert="groundedness-low",service="shop-assistant",state="firing"}} 1
"""


def database(path: Path, script: str) -> None:
    with closing(sqlite3.connect(path)) as connection:
        connection.executescript(script)


def test_an_observation_is_of_the_demos_judge_window_and_alert(tmp_path: Path):
    """A hundred and one scores that took 0.00 to 1.00 s have their percentiles at 0.50 and 0.95 s."""
    database(tmp_path / "mlflow.db", "CREATE TABLE trace_info (id); INSERT INTO trace_info VALUES (1), (2)")
    scores = ", ".join(f"('{n}', 'groundedness', {n / 100})" for n in range(101))
    database(
        tmp_path / "state.db",
        "CREATE TABLE score (trace_id, judge, scored_at); CREATE TABLE judgement (trace_id, judge, root_ended_at);"
        f"INSERT INTO score VALUES {scores}; INSERT INTO judgement SELECT trace_id, judge, 0 FROM score",
    )
    now = observe(PAGE, tmp_path, 31, "firing")
    assert (now.answered, now.stored, now.scored, now.in_mlflow) == (31, 30, 29, 2)
    assert (now.quality, now.alert, now.notified) == ((0.75, 0.625, 0.875, 24), "firing", "firing")
    assert now.freshness == (pytest.approx(0.50), pytest.approx(0.95))
    database(tmp_path / "state.db", "DELETE FROM score")
    assert observe("", tmp_path, 0, "") == Observation(in_mlflow=2)


GOOD = Observation(quality=(0.95, 0.8, 0.99, 20), freshness=(1.0, 2.0))


@pytest.mark.parametrize(
    ("now", "healthy", "settled"),
    [
        (GOOD, True, True),
        (Observation(quality=(0.95, 0.8, 0.99, 14), freshness=(2.0, 5.0)), False, True),
        (Observation(quality=(0.89, 0.8, 0.99, 20), freshness=(2.0, 5.1)), False, False),
        (Observation(answered=2, stored=2, scored=2, in_mlflow=1, freshness=(1.0, 2.0)), False, False),
        (Observation(), False, False),
    ],
)
def test_a_phase_needs_enough_good_answers_and_the_end_every_score_in_time(
    now: Observation, healthy: bool, settled: bool
):
    """15 scores at 90 %; equal counts, and a 95th percentile of at most 5 s."""
    assert (now.is_healthy, now.is_settled) == (healthy, settled)


class Scripted(Story):
    """A story on a fake clock, in which a test decides what is seen."""

    def __init__(self, seen: Sequence[Observation], *, terminal: bool = False) -> None:
        self.now = 100.0
        self.output = io.StringIO()
        self.seen = iter(seen)
        console = Console(file=self.output, force_terminal=terminal, width=100)
        super().__init__(console, Path(), clock=lambda: self.now, pause=self.sleep)

    def sleep(self, seconds: float) -> None:
        self.now += seconds

    def step(self, questions: int) -> Observation:
        return next(self.seen)


def test_a_phase_lasts_until_it_is_over_with_a_plain_line_every_three_seconds():
    """Eight looks, half a second apart, make a title and two lines, without control characters."""
    seen = [Observation(answered=count) for count in range(7)]
    story = Scripted([*seen, GOOD])
    assert story.play("healthy: [so far]", 45, lambda now: now.is_healthy) is GOOD
    assert story.now == 103.5
    assert story.output.getvalue().splitlines() == [
        "  0.0 s  healthy: [so far]",
        "  0.0 s  phase healthy, answers 0, groundedness not known yet, alert inactive, freshness not known yet",
        "  3.0 s  phase healthy, answers 6, groundedness not known yet, alert inactive, freshness not known yet",
    ]


def test_on_a_terminal_there_is_a_panel():
    """It shows each look, also what is not known yet."""
    story = Scripted([GOOD], terminal=True)
    with story._live:
        story.play("healthy: so far", 45, lambda now: now.is_healthy)
    assert "qualitrace demo" in story.output.getvalue()
    assert "95% [80%, 99%] of 20" in story.output.getvalue()


def test_a_late_phase_fails_with_what_was_last_seen():
    """It names itself, its time and the last numbers."""
    story = Scripted([Observation(answered=7, alert="pending")] * 200)
    with pytest.raises(DemoFailed, match=r"'broken' was not over within 60 s.*answered=7.*pending"):
        story.play("broken: as it is", 60, lambda now: now.notified == "firing")
    assert story.now == 160.0


def test_only_the_demos_alert_is_an_alert():
    """Heartbeats do not hide what was last heard of it."""
    story = Scripted([])
    story.hear("groundedness-low", "firing", "it fell")
    story.hear("QualitraceHeartbeat", "firing", "")
    assert story._notified == "firing"
    assert "ALERT groundedness-low FIRING, signature verified: it fell" in story.output.getvalue()
    assert "heartbeat received" in story.output.getvalue()
