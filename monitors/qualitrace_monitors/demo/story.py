"""The command `qualitrace demo`: answers are good, retrieval breaks, the alert fires, retrieval is fixed."""

import importlib.util
import itertools
import json
import signal
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import click
from rich.console import Console
from rich.live import Live
from rich.panel import Panel
from rich.text import Text

from qualitrace_monitors.demo.observation import ALERT, JUDGE, Observation, observe, query
from qualitrace_monitors.demo.parts import SERVICE, DemoFailed, log_tail, make_directory, start_parts
from qualitrace_monitors.demo.retrieval import PASSAGES, QUESTIONS

DIRECTORY = Path("qualitrace-demo")
STEP_SECONDS, STEP_QUESTIONS = 0.5, 2
STREAMED_EVERY, LABELLED_EVERY = 3, 6  # the last answer of 3 is streamed, the first of 6 is labelled
PLAIN_LINE_SECONDS = 3.0
EXTRA_MODULES = ("openai", "opentelemetry.instrumentation.starlette")


@click.command()
@click.option("--keep", is_flag=True, help="Keep everything running until Ctrl-C.")
def demo(keep: bool) -> None:
    """Show the main job: good answers, broken retrieval, an alert, recovery."""
    # sys.exit unwinds the stack, so that everything is stopped.
    signal.signal(signal.SIGTERM, lambda number, _: sys.exit(128 + number))
    story = Story(Console(), DIRECTORY.resolve())
    try:
        story.run(keep)
    except DemoFailed as failure:
        story.say(f"FAILED: {failure}", "bold red")
        sys.exit(1)
    except KeyboardInterrupt:
        story.say("stopped")
        sys.exit(128 + signal.SIGINT)


class Story:
    """One run of the demo: what it has asked and heard so far, and its terminal.

    Args:
        clock, pause: in seconds; the clock is monotonic.
    """

    def __init__(
        self,
        console: Console,
        directory: Path,
        clock: Callable[[], float] = time.monotonic,
        pause: Callable[[float], None] = time.sleep,
    ) -> None:
        self._console, self._directory, self._clock, self._pause = console, directory, clock, pause
        self._started = clock()
        self._next_line = 0.0
        self._live = Live(console=console, auto_refresh=False, transient=True)
        self._questions = itertools.cycle(QUESTIONS)
        self._answered = 0
        self._notified = ""

    def run(self, keep: bool) -> None:
        """Run the demo; raise DemoFailed if it does not show what it is there to show."""
        if missing := [module for module in EXTRA_MODULES if importlib.util.find_spec(module) is None]:
            raise DemoFailed(f"no module {missing[0]}: the demo needs pip install 'qualitrace[server,demo]'")
        make_directory(self._directory)
        place = f"{self._directory}, made anew each run"
        self.say(f"starting qualitrace serve and the shop assistant; data goes to {place}")
        with start_parts(self._directory, self.hear, mlflow=keep) as self._parts:
            self.say(f"ready; watch it on {self._parts.web_url}/, which says what is wrong, since when and how sure")
            rate = f"{STEP_QUESTIONS / STEP_SECONDS:g} questions a second"
            self.say(f"asking {rate}; an expert labels one answer in {LABELLED_EVERY}")
            try:
                with self._live:
                    end = self._phases()
            except DemoFailed:
                self.say(log_tail(self._parts.serve), "dim")
                raise
            self.say(f"{end.answered} questions: as many traces in MLflow, each of them scored")
            self.say(f"freshness, from the end of a request to its exported score: {end.facts()['freshness']}")
            self.say(f"the demo worked, in {self._elapsed():.0f} s altogether", "bold green")
            self.say(f"logs and configuration: {self._directory}")
            if keep:
                self._keep()
            else:
                mlflow = f"{Path(sys.executable).with_name('mlflow')} ui --backend-store-uri"
                self.say(f"traces and assessments: {mlflow} sqlite:///{self._directory / 'mlflow.db'}")
                self.say("`make demo KEEP=1` leaves the pages of alert and answers, /metrics and MLflow's UI running")

    def _phases(self) -> Observation:
        retrieval = f"{self._parts.app_url}/admin/retrieval"
        self.play("healthy: retrieval works: answers rest on the handbook", 45, lambda now: now.is_healthy)
        self._parts.request("POST", retrieval, broken=True)
        self.play(
            "broken: the index is stale: the model gets the wrong passages and makes answers up",
            60,
            lambda now: now.notified == "firing" and not now.is_healthy,
        )
        self.say(f"what fell, what explains it, and answers that show it: {self._alert_page()}")
        self._parts.request("POST", retrieval, broken=False)
        self.play(
            "recovered: the index is fixed: groundedness comes back",
            100,  # a window is of whole minutes: the broken answers may stay in it for 75 s
            lambda now: now.notified == "resolved" and now.is_healthy,
        )
        return self.play("settled: each answer is one trace, stored and scored", 20, lambda now: now.is_settled, 0)

    def play(
        self, text: str, seconds: float, is_over: Callable[[Observation], bool], questions: int = STEP_QUESTIONS
    ) -> Observation:
        """Take a step each half second and show what is seen, until the phase is over.

        Raises:
            DemoFailed: the phase was not over in `seconds`.
        """
        self.say(text, "bold")
        phase, deadline = text.partition(":")[0], self._clock() + seconds
        while True:
            next_step = self._clock() + STEP_SECONDS
            now = self.step(questions)
            self._show({"phase": phase} | now.facts())
            if is_over(now):
                return now
            if self._clock() >= deadline:
                raise DemoFailed(f"phase {phase!r} was not over within {seconds:g} s. Last seen: {now}")
            self._pause(max(0.0, next_step - self._clock()))

    def step(self, questions: int) -> Observation:
        """Ask some questions, and look at everything."""
        for question in itertools.islice(self._questions, questions):
            self._answered += 1
            path = "ask" if self._answered % STREAMED_EVERY else "chat"
            said = self._parts.request("POST", f"{self._parts.app_url}/{path}", question=question)
            if self._answered % LABELLED_EVERY == 1:
                self._label(question, **json.loads(said))
        metrics = self._parts.request("GET", f"{self._parts.web_url}/metrics")
        return observe(metrics, self._directory, self._answered, self._notified)

    def _label(self, question: str, answer: str, trace_id: str) -> None:
        """Send the label of an expert, who knows which passage of the handbook answers the question."""
        self._parts.request(
            "POST",
            f"{self._parts.otlp_url}/v1/feedback",
            trace_id=trace_id,
            name=JUDGE,
            value=answer in PASSAGES[QUESTIONS[question]],
            source="expert",
            user="shop expert",
        )

    def say(self, text: str, style: str = "") -> None:
        """Print a line that stays, with the seconds since the start."""
        self._console.print(Text(f"{self._elapsed():5.1f} s  ").append(text, style), soft_wrap=True)

    def hear(self, name: str, status: str, summary: str) -> None:
        """Take note of an alert."""
        if name != ALERT:
            self.say(f"heartbeat received ({name})", "dim")
            return
        self._notified = status
        style = "bold red" if status == "firing" else "bold green"
        self.say(f"ALERT {name} {status.upper()}, signature verified: {summary}", style)

    def _show(self, facts: dict[str, str]) -> None:
        """Show the newest numbers: in a live panel on a terminal, else in a line every three seconds."""
        if self._console.is_terminal:
            text = Text("\n".join(f"{name:12}  {value}" for name, value in facts.items()))
            self._live.update(Panel(text, title="qualitrace demo", title_align="left", expand=False), refresh=True)
        elif self._elapsed() >= self._next_line:
            self._next_line = self._elapsed() + PLAIN_LINE_SECONDS
            self.say(", ".join(f"{name} {value}" for name, value in facts.items()))

    def _elapsed(self) -> float:
        return self._clock() - self._started

    def _alert_page(self) -> str:
        event = query(self._directory / "state.db", "SELECT max(number) FROM alert_event")[0]
        return f"{self._parts.web_url}/alerts/event/{event}"

    def _addresses(self) -> dict[str, str]:
        """Return where a reader finds what, in the order in which one would look when an alert comes."""
        web, state = self._parts.web_url, self._directory / "state.db"
        failed = "SELECT trace_id FROM score WHERE judge = ? AND label = 'fail' ORDER BY scored_at DESC LIMIT 1"
        return {
            "what is wrong now": f"{web}/",
            "the alert": self._alert_page(),
            "its judge over time": f"{web}/service/{SERVICE}/judge/{JUDGE}",
            "answers that failed": f"{web}/answers?judge={JUDGE}",
            "one of their traces": f"{web}/trace/{query(state, failed, JUDGE)[0]}",
            "the server itself": f"{web}/operation",
            "metrics": f"{web}/metrics",
            "MLflow": f"{self._parts.mlflow_url}/",
            "the shop assistant": f"{self._parts.app_url}/ask (POST)",
        }

    def _keep(self) -> None:
        app = self._parts.app_url
        for name, address in self._addresses().items():
            self.say(f"{name:20}  {address}")
        self.say(f"break retrieval yourself: curl {app}/admin/retrieval -d '{{\"broken\": true}}'")
        self.say("everything keeps running under a trickle of questions; Ctrl-C stops it", "bold")
        with suppress(KeyboardInterrupt):
            while True:
                self.step(1)
                self._pause(1)
        self.say("stopping")
