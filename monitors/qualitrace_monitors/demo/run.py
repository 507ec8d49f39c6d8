"""Runs the demo: sets the stage, plays the phases, checks the end, says where to look."""

import importlib.util
import signal
import sys
import time
from pathlib import Path
from types import FrameType

from rich.console import Console

from qualitrace_monitors.demo.failure import DemoFailed
from qualitrace_monitors.demo.load import Customers
from qualitrace_monitors.demo.observe import JUDGE, SERVICE, freshness, traces_in_mlflow
from qualitrace_monitors.demo.receiver import Alert
from qualitrace_monitors.demo.retrieval import load_handbook
from qualitrace_monitors.demo.show import Show
from qualitrace_monitors.demo.stage import ALERT, WINDOW, Stage, make_directory, set_stage
from qualitrace_monitors.demo.story import LOOK_SECONDS, PHASES, Account, Observation, play, shortcomings

DIRECTORY = Path("qualitrace-demo")
PACE = 4.0
TRICKLE = 1.0
EXTRA_MODULES = ("openai", "opentelemetry.instrumentation.starlette")
SETTLE_SECONDS = 20.0


def run_demo(keep: bool) -> int:
    """Run the demo on the terminal; returns the exit status."""
    signal.signal(signal.SIGTERM, _leave)
    show = Show(Console(), time.monotonic)
    try:
        _perform(show, DIRECTORY.resolve(), keep)
    except DemoFailed as failure:
        show.say(f"FAILED: {failure}", "bold red")
        return 1
    except KeyboardInterrupt:
        show.say("stopped")
        return 128 + signal.SIGINT
    return 0


def _leave(signum: int, _: FrameType | None) -> None:
    """Unwind, so that everything is stopped."""
    sys.exit(128 + signum)


def _perform(show: Show, directory: Path, keep: bool) -> None:
    _check_extra()
    make_directory(directory)
    show.say(f"starting qualitrace serve and the shop assistant; data goes to {directory}, made anew each run")
    with set_stage(directory, lambda alert: show.say(*_announcement(alert))) as stage:
        show.say(f"ready; asking {PACE:g} questions a second")
        try:
            _play_all(show, stage, directory)
        except DemoFailed:
            show.say(stage.serve.log_tail(), "dim")
            raise
        show.say(f"the demo worked, in {show.elapsed:.0f} s altogether", "bold green")
        _say_where_to_look(show, directory)
        if keep:
            _keep(show, stage)


def _check_extra() -> None:
    if missing := [module for module in EXTRA_MODULES if importlib.util.find_spec(module) is None]:
        raise DemoFailed(f"no module {missing[0]}: the demo needs pip install 'qualitrace[server,demo]'")


def _play_all(show: Show, stage: Stage, directory: Path) -> None:
    questions = list(load_handbook().questions)
    with Customers(stage.app_url, questions, PACE) as customers, show:

        def look() -> Observation:
            return _look(stage, customers, directory)

        endings: list[Observation] = []
        for phase in PHASES:
            show.say(f"{phase.name}: {phase.text}", "bold")
            stage.break_retrieval(phase.broken)
            endings.append(play(phase, look, show.update, time.monotonic, time.sleep))
        customers.leave()
        account = _settle(stage, customers, directory)
    if wrong := shortcomings(account, endings):
        raise DemoFailed("; ".join(wrong))
    show.say(f"{account.answered} questions: as many traces in MLflow, each of them scored")
    show.say(f"freshness, from the end of a request to its exported score: {account.freshness}")


def _look(stage: Stage, customers: Customers, directory: Path) -> Observation:
    stage.check()
    customers.check()
    metrics = stage.metrics()
    return Observation(
        answered=customers.answered,
        quality=metrics.quality(WINDOW),
        alert=metrics.alert_state(ALERT),
        notified=stage.inbox.last_status(),
        freshness=freshness(directory / "state.db"),
    )


def _settle(stage: Stage, customers: Customers, directory: Path) -> Account:
    """Wait until the last questions' traces are stored and scored; the account shows whether all of them are."""
    deadline = time.monotonic() + SETTLE_SECONDS
    while True:
        customers.check()
        metrics = stage.metrics()
        account = Account(
            answered=customers.answered,
            stored=int(metrics.total("qualitrace_traces_total", service=SERVICE, outcome="stored")),
            scored=int(metrics.total("qualitrace_judgements_total", service=SERVICE, judge=JUDGE, outcome="scored")),
            in_mlflow=traces_in_mlflow(directory / "mlflow.db"),
            freshness=freshness(directory / "state.db"),
        )
        if account.is_complete or time.monotonic() >= deadline:
            return account
        time.sleep(LOOK_SECONDS)


def _announcement(alert: Alert) -> tuple[str, str]:
    if alert.name != ALERT:
        return f"heartbeat received ({alert.name})", "dim"
    style = "bold red" if alert.status == "firing" else "bold green"
    return f"ALERT {alert.name} {alert.status.upper()}, signature verified: {alert.summary}", style


def _say_where_to_look(show: Show, directory: Path) -> None:
    mlflow = Path(sys.executable).with_name("mlflow")
    show.say(f"traces and assessments: {mlflow} ui --backend-store-uri sqlite:///{directory / 'mlflow.db'}")
    show.say(f"logs and configuration: {directory}; `make demo KEEP=1` leaves the dashboard and /metrics running")


def _keep(show: Show, stage: Stage) -> None:
    show.say(f"dashboard: {stage.web_url}/  metrics: {stage.web_url}/metrics  questions: POST {stage.app_url}/ask")
    show.say(f"break retrieval yourself: curl -d '{{\"broken\": true}}' {stage.app_url}/admin/retrieval")
    show.say("everything keeps running under a trickle of questions; Ctrl-C stops it", "bold")
    with Customers(stage.app_url, list(load_handbook().questions), TRICKLE):
        try:
            while True:
                stage.check()
                time.sleep(1)
        except KeyboardInterrupt:
            show.say("stopping")
