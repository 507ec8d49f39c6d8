"""The command `qualitrace demo`: answers are good, retrieval breaks, the alert fires, retrieval is fixed."""

import importlib.util
import itertools
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

from qualitrace_monitors.demo.observe import ALERT, Observation, observe
from qualitrace_monitors.demo.parts import DemoFailed, log_tail, make_directory, start_parts
from qualitrace_monitors.demo.retrieval import QUESTIONS

DIRECTORY = Path("qualitrace-demo")
STEP_SECONDS, STEP_QUESTIONS = 0.5, 2
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
        with start_parts(self._directory, self.hear) as self._parts:
            self.say(f"ready; asking {STEP_QUESTIONS / STEP_SECONDS:g} questions a second")
            try:
                with self._live:
                    end = self._phases()
            except DemoFailed:
                self.say(log_tail(self._parts.serve), "dim")
                raise
            self.say(f"{end.answered} questions: as many traces in MLflow, each of them scored")
            self.say(f"freshness, from the end of a request to its exported score: {end.facts()['freshness']}")
            self.say(f"the demo worked, in {self._elapsed():.0f} s altogether", "bold green")
            mlflow = f"{Path(sys.executable).with_name('mlflow')} ui --backend-store-uri"
            self.say(f"traces and assessments: {mlflow} sqlite:///{self._directory / 'mlflow.db'}")
            more = "`make demo KEEP=1` leaves the dashboard and /metrics running"
            self.say(f"logs and configuration: {self._directory}; {more}")
            if keep:
                self._keep()

    def _phases(self) -> Observation:
        retrieval = f"{self._parts.app_url}/admin/retrieval"
        self.play("healthy: retrieval works: answers rest on the handbook", 45, lambda now: now.is_healthy)
        self._parts.request("POST", retrieval, broken=True)
        self.play(
            "broken: the index is stale: the model gets the wrong passages and makes answers up",
            60,
            lambda now: now.notified == "firing" and not now.is_healthy,
        )
        self._parts.request("POST", retrieval, broken=False)
        self.play(
            "recovered: the index is fixed: groundedness comes back",
            60,
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
            self._parts.request("POST", f"{self._parts.app_url}/ask", question=question)
            self._answered += 1
        metrics = self._parts.request("GET", f"{self._parts.web_url}/metrics")
        return observe(metrics, self._directory, self._answered, self._notified)

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

    def _keep(self) -> None:
        web, app = self._parts.web_url, self._parts.app_url
        self.say(f"dashboard: {web}/  metrics: {web}/metrics  questions: POST {app}/ask")
        self.say(f"break retrieval yourself: curl -d '{{\"broken\": true}}' {app}/admin/retrieval")
        self.say("everything keeps running under a trickle of questions; Ctrl-C stops it", "bold")
        with suppress(KeyboardInterrupt):
            while True:
                self.step(1)
                self._pause(1)
        self.say("stopping")
