"""Puts the parts of the `work` process together, starts them, and stops them in the reverse order."""

import logging
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from functools import partial

from prometheus_client import CollectorRegistry

from qualitrace_collector.journal import JournalError, SqliteJournal
from qualitrace_collector.mlflow_store.retention import Retainer
from qualitrace_collector.mlflow_store.settings import Retention
from qualitrace_collector.mlflow_store.store import TraceStore
from qualitrace_collector.mlflow_store.writer_process import Writer, has_second_core
from qualitrace_collector.pipeline.feedback_delivery import FeedbackDelivery
from qualitrace_collector.pipeline.loop import Pipeline
from qualitrace_collector.pipeline.recorder import Recorder
from qualitrace_collector.pipeline.trace_metrics import TraceMetrics
from qualitrace_collector.process import watchdog
from qualitrace_collector.process.loop import Loop
from qualitrace_collector.state import Database, JudgeQueue, Ledger
from qualitrace_collector.telemetry.export import OwnTelemetry
from qualitrace_monitors import component_names as component
from qualitrace_monitors.alerts.awake_clock import AwakeClock
from qualitrace_monitors.alerts.engine import EVALUATION_SECONDS, AlertEngine
from qualitrace_monitors.alerts.kinds.kind import OwnState
from qualitrace_monitors.answers import texts
from qualitrace_monitors.budget.pacing import Pacing
from qualitrace_monitors.budget.spending import Spending
from qualitrace_monitors.config import Config
from qualitrace_monitors.estimate.estimator import Estimator
from qualitrace_monitors.judges.llm import fences
from qualitrace_monitors.judging.metrics import JudgeMetrics
from qualitrace_monitors.judging.worker import JudgeWorker
from qualitrace_monitors.metrics.process import expose_process
from qualitrace_monitors.notify.delivery import Notifier
from qualitrace_monitors.notify.heartbeat import Heartbeat
from qualitrace_monitors.notify.payload import Links
from qualitrace_monitors.reload.channel import Reloader
from qualitrace_monitors.server.deliveries import Deliveries
from qualitrace_monitors.server.health import Health
from qualitrace_monitors.server.judge_workers import build_judge_workers
from qualitrace_monitors.server.probes import AckProbe, MlflowProbe, StateProbe
from qualitrace_monitors.server.prune import prune
from qualitrace_monitors.server.web_port import WebPort

_log = logging.getLogger(__name__)

PRUNE_SECONDS, BOUND_SECONDS = 600.0, 60.0
HELD_UP_SECONDS = 60.0
"""How long a complete trace may wait to be stored until storing counts as held up."""
BEAT_SECONDS = 1.0
LOOK_SECONDS, ASK_SECONDS = 1.0, 2.0
STOP_SECONDS = 3.0
"""How long the step of a thread may take to end at a stop."""
TELEMETRY_SECONDS = 1.0
"""How long the own telemetry that waits may take to be sent at a stop."""


class Services:
    """The collector's pipeline, the judges, the alerts, the notifier and the web port, on one state database.

    Args:
        collect: run the pipeline from the journal to MLflow.
        monitor: judge, alert and notify.
        reloader: asks for the configuration to be read again; None where nobody supervises this process.
    """

    def __init__(self, config: Config, *, collect: bool, monitor: bool, reloader: Reloader | None = None) -> None:
        self._config = config
        self._registry = CollectorRegistry()
        expose_process(self._registry)
        self._database = Database.of(config.data_dir)
        self._journal = SqliteJournal.of(config.journal, config.data_dir)
        with suppress(JournalError):  # a full disk, which must not keep it from starting
            self._journal.append([], watchdog.restart_counts("work"))
        self._store = TraceStore.of(config.mlflow, config.data_dir)
        self._estimator = Estimator(self._database)
        self._links = Links(config.listen.web_url, config.mlflow.pages)
        self._telemetry = OwnTelemetry(config.telemetry, self._registry, config.data_dir)
        self._notifier = Notifier(config.notify, self._database, self._telemetry.tracer)
        self._acks = AckProbe(self._journal) if collect else None
        self._state = StateProbe(self._database)
        self._mlflow = MlflowProbe(self._store, config.data_dir / "mlflow.lock")
        self._spending = Spending(config.budget, config.judges, self._database)
        self._pacing = Pacing(config.judges, config.sampling, self._spending, self._database, time.time)
        self._judge_metrics = JudgeMetrics(self._registry)
        self._alerts, self._awake = self._build_alerts(), AwakeClock(EVALUATION_SECONDS)
        self._recorder = self._build_recorder()
        self._pipeline = self._build_pipeline() if collect else None
        self._in_work = [self._pipeline.in_work] if self._pipeline else []
        key = fences.key_of(config.data_dir)
        self._workers = self._build_workers(key) if monitor else {}
        self._deliveries = Deliveries(self._notifier, config.notify) if monitor else None
        self._loops = self._build_loops(monitor=monitor)
        self._health = self._build_health()
        self._needing_mlflow = {component.STORING, component.FEEDBACK, component.RETENTION, *self._workers}
        self._draining = [loop for loop in self._loops if loop.name in (component.STORING, *self._workers)]
        self._web = WebPort(
            config=config,
            registry=self._registry,
            database=self._database,
            journal=self._journal,
            estimator=self._estimator,
            alerts=self._alerts,
            spending=self._spending,
            pacing=self._pacing,
            notifier=self._notifier,
            health=self._health,
            links=self._links,
            reloader=reloader,
            key=key,
        ).server()

    def start(self) -> None:
        """Start the web port and the threads; those that need MLflow begin after its first answer. Safe twice.

        Raises:
            ListenError: the web address cannot be listened on.
        """
        self._web.start()
        if self._workers:  # else the leases belong to the monitor that runs beside this collector
            JudgeQueue(self._database).release_all()
        for loop in self._loops:
            if loop.name not in self._needing_mlflow:
                loop.start()
        self._telemetry.start()

    @property
    def ready(self) -> bool:
        """Whether MLflow has answered, so that everything runs."""
        return self._mlflow.answered

    def stop(self, deadline: float) -> None:
        """Finish what is held, until `deadline` (Unix seconds); the rest is durable. Safe twice.

        What hangs in a call that does not return is left alone: a receiver of alerts costs no trace.
        """
        for in_work in self._in_work:
            in_work.close()  # what ends this process from now on says nothing about what is in work
        self._health.stopping = True
        for loop in self._loops:
            loop.stop(0)  # so that none begins another step while the others end theirs
        for loop in self._draining:
            loop.stop(max(0.1, min(STOP_SECONDS, deadline - time.time())))
        stuck = [loop.name for loop in self._draining if loop.alive]
        stuck += self._until(deadline, "drain", lambda: self._drain(deadline))
        if stuck:
            _log.warning("%s did not end in time; what it held is done after the next start", ", ".join(stuck))
        if (deliveries := self._deliveries) is not None:
            self._until(deadline, component.DELIVERY, lambda: deliveries.finish(deadline))
        # An endpoint that hangs may hold up nothing but itself.
        self._until(min(deadline, time.time() + TELEMETRY_SECONDS), "telemetry", self._telemetry.stop)
        self._until(deadline, "web", self._web.stop)
        if self._pipeline is not None:
            self._pipeline.close()
        self._journal.close()
        self._database.close()

    def _drain(self, deadline: float) -> None:
        """Store and judge what is held, but leave out what its own thread has not let go."""
        busy = {loop.name for loop in self._draining if loop.alive}
        if self._pipeline is not None and component.STORING not in busy:
            self._pipeline.drain(deadline)
        for name, worker in self._workers.items():
            if name not in busy:
                worker.drain(deadline)

    @staticmethod
    def _until(deadline: float, name: str, action: Callable[[], object]) -> list[str]:
        """Run `action` in a thread that is left alone at the deadline; return its name if it still runs then."""
        thread = threading.Thread(target=action, name=name, daemon=True)
        thread.start()
        thread.join(max(0.1, deadline - time.time()))
        return [name] if thread.is_alive() else []

    def _build_alerts(self) -> AlertEngine:
        own = OwnState(
            spending=self._spending, judge_calls=self._judge_metrics.calls, storing_is_held_up=self._is_held_up
        )
        return AlertEngine(self._config.alerts, self._database, self._estimator, self._links, own)

    def _build_recorder(self) -> Recorder:
        one_by_one = any(rule.when.kind == "requests" for rule in self._config.alerts)
        return Recorder(self._config, self._database, TraceMetrics(self._registry), self._pacing, one_by_one=one_by_one)

    def _is_held_up(self, now: float) -> bool:
        """Whether requests wait in the journal for longer than the assembly of a trace takes."""
        oldest = self._journal.oldest()
        return oldest is not None and now - oldest > self._config.assembly.max_open + HELD_UP_SECONDS

    def _evaluate_alerts(self, now: float) -> None:
        self._alerts.evaluate(now, self._awake.look())

    def _build_pipeline(self) -> Pipeline:
        writer = Writer(self._store) if has_second_core() else None
        parts = (self._config, self._journal, self._store, Ledger(self._database), self._recorder)
        return Pipeline(*parts, writer=writer, tracer=self._telemetry.tracer)

    def _build_workers(self, key: bytes) -> dict[str, JudgeWorker]:
        parts = self._database, self._store, self._judge_metrics, self._spending
        made = build_judge_workers(self._config, key, parts, self._in_work, self._telemetry.tracer)
        self._in_work += [in_work for _, in_work in made.values()]
        return {name: worker for name, (worker, _) in made.items()}

    def _look(self, _now: float) -> None:
        if self._acks is not None:
            self._acks.look()
        self._mlflow.remind()
        self._health.problems()  # which notes since when

    def _ask_mlflow(self, _now: float) -> None:
        """Ask MLflow; after the first answer, or refusal, start the threads that need it."""
        self._mlflow.look()
        for loop in self._loops:
            loop.start()

    def _build_health(self) -> Health:
        health, config = Health(), self._config
        if self._acks is not None:
            health.add(component.OTLP, self._acks.problem, self._acks.lasted)
        health.add(component.STATE, self._state.problem, self._state.lasted)
        health.add(component.MLFLOW, self._mlflow.problem, self._mlflow.lasted)
        if self._pipeline is not None:
            health.add(component.MLFLOW, self._pipeline.store_problem)
        for loop in self._loops:
            health.add(loop.name.partition(":")[0], loop.problem, loop.running)
        for worker in self._workers.values():
            for queue in worker.queues:
                health.add(f"{component.JUDGE}:{queue}", partial(worker.problem, queue), partial(worker.failing, queue))
        for receiver in config.notify if self._workers else ():
            health.add(f"{component.RECEIVER}:{receiver}", partial(self._notifier.problem, receiver))
        return health

    def _prune(self, now: float) -> None:
        prune(self._database, self._spending, self._config.alerts, now)

    def _build_loops(self, *, monitor: bool) -> list[Loop]:
        config = self._config
        loops = [_every(LOOK_SECONDS, "health", self._look), _every(ASK_SECONDS, component.MLFLOW, self._ask_mlflow)]
        loops.append(_every(LOOK_SECONDS, component.STATE, lambda _now: self._state.look()))
        if self._pipeline is not None:
            delivery = FeedbackDelivery(config, self._database, self._store, self._recorder.sampler, self._registry)
            loops += [Loop(component.STORING, self._pipeline.step), Loop(component.FEEDBACK, delivery.step)]
            if config.mlflow.retention != Retention():
                retainer = Retainer(config.mlflow.retention, self._store, self._database, self._registry)
                loops.append(Loop(component.RETENTION, retainer.step))
        loops += [Loop(name, worker.step) for name, worker in self._workers.items()]
        if monitor:
            loops.append(_every(PRUNE_SECONDS, component.PRUNE, self._prune))
            loops.append(_every(BOUND_SECONDS, component.TEXTS, lambda _now: texts.bound(self._database)))
            loops.append(_every(EVALUATION_SECONDS, component.ALERTS, self._evaluate_alerts))
            if config.heartbeat is not None:
                heartbeat = Heartbeat(config.heartbeat, self._database, self._links)
                loops.append(_every(BEAT_SECONDS, component.HEARTBEAT, heartbeat.beat))
        return loops + (self._deliveries.loops if self._deliveries else [])


def _every(seconds: float, name: str, action: Callable[[float], object]) -> Loop:
    """Make a thread that calls `action` with the time, in Unix seconds, and then pauses for `seconds`."""

    def step() -> float:
        action(time.time())
        return seconds

    return Loop(name, step)
