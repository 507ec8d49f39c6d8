"""The command `qualitrace demo`: answers are good, retrieval breaks, the alert fires, retrieval is fixed."""

import importlib.util
import itertools
import signal
import sqlite3
import statistics
import sys
import time
from collections.abc import Callable
from contextlib import closing, suppress
from dataclasses import dataclass
from pathlib import Path

import click
from prometheus_client.parser import text_string_to_metric_families
from rich.console import Console
from rich.live import Live
from rich.panel import Panel
from rich.text import Text

from qualitrace_monitors.demo.parts import SERVICE, DemoFailed, log_tail, make_directory, start_parts
from qualitrace_monitors.demo.retrieval import QUESTIONS

DIRECTORY = Path("qualitrace-demo")
STEP_SECONDS, STEP_QUESTIONS = 0.5, 2
PLAIN_LINE_SECONDS = 3.0
ALERT, JUDGE, WINDOW = "groundedness-low", "groundedness", "15s"  # as in serve.yaml
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


@dataclass(frozen=True, slots=True, kw_only=True)
class Observation:
    """What is known at one moment.

    Attributes:
        answered, stored, scored, in_mlflow: questions, and their traces by the server's ledger and by MLflow.
        quality: groundedness' pass rate over the rule's window, the bounds of its interval, and the number of scores.
        alert: the rule's state on /metrics: inactive, pending or firing.
        notified: what the receiver last heard of the alert: firing, resolved, or nothing yet.
        freshness: seconds from the end of a request to its exported score: median and 95th percentile.
    """

    answered: int = 0
    stored: int = 0
    scored: int = 0
    in_mlflow: int = 0
    quality: tuple[float, float, float, int] = (0.0, 0.0, 0.0, 0)
    alert: str = "inactive"
    notified: str = ""
    freshness: tuple[float, float] | None = None

    @property
    def is_healthy(self) -> bool:
        """Whether enough answers were scored and nearly all of them are grounded."""
        return self.quality[3] >= 15 and self.quality[0] >= 0.9

    @property
    def is_settled(self) -> bool:
        """Whether each answer is one trace, stored and scored, and the scores came within five seconds."""
        counts = {self.answered, self.stored, self.scored, self.in_mlflow}
        return len(counts) == 1 and self.freshness is not None and self.freshness[1] <= 5.0

    def facts(self) -> dict[str, str]:
        """Return what the person in front of the terminal sees."""
        unknown = "not known yet"
        return {
            "answers": str(self.answered),
            "groundedness": "{:.0%} [{:.0%}, {:.0%}] of {}".format(*self.quality) if self.quality[3] else unknown,
            "alert": self.alert,
            "freshness": "p50 {:.1f} s, p95 {:.1f} s".format(*self.freshness) if self.freshness else unknown,
        }


def observe(metrics: str, directory: Path, answered: int, notified: str) -> Observation:
    """Read the server's /metrics (Prometheus' text format) and the databases in its `data_dir`."""
    samples = [sample for family in text_string_to_metric_families(metrics) for sample in family.samples]

    def total(name: str, **labels: str) -> float:
        return sum(s.value for s in samples if s.name == f"qualitrace_{name}" and labels.items() <= s.labels.items())

    def query(database: str, sql: str) -> list[float]:
        with closing(sqlite3.connect(f"file:{directory / database}?mode=ro", uri=True)) as connection:
            return [row[0] for row in connection.execute(sql)]

    parts = ("pass_rate", "pass_rate_lower", "pass_rate_upper", "pass_rate_samples")
    rate, lower, upper, scores = (total(part, service=SERVICE, judge=JUDGE, window=WINDOW) for part in parts)
    states = [state for state in ("firing", "pending") if total("alert_state", alert=ALERT, state=state)]
    ages = query("state.db", "SELECT scored_at - root_ended_at FROM score JOIN judgement USING (trace_id, judge)")
    percentiles = statistics.quantiles(ages, n=100, method="inclusive") if len(ages) > 1 else []
    return Observation(
        answered=answered,
        stored=int(total("traces_total", service=SERVICE, outcome="stored")),
        scored=int(total("judgements_total", service=SERVICE, judge=JUDGE, outcome="scored")),
        in_mlflow=int(query("mlflow.db", "SELECT count(*) FROM trace_info")[0]),
        quality=(rate, lower, upper, int(scores)),
        alert=states[0] if states else "inactive",
        notified=notified,
        freshness=(percentiles[49], percentiles[94]) if percentiles else None,
    )


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
            shown = self._parts.mlflow_url or f"{mlflow} sqlite:///{self._directory / 'mlflow.db'}"
            self.say(f"traces and assessments: {shown}")
            more = "`make demo KEEP=1` leaves the dashboard, /metrics and MLflow's pages running"
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
