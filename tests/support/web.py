"""A web port on loopback over a state database, with all that feeds it open to the test."""

import shutil
import socket
from collections.abc import Callable, Mapping
from typing import Any

import httpx
from prometheus_client import CollectorRegistry

from qualitrace_collector.config.load import parse_config
from qualitrace_collector.masking import masked
from qualitrace_collector.person_feedback import PersonFeedback
from qualitrace_collector.state import Database
from qualitrace_monitors.alerts.engine import AlertEngine
from qualitrace_monitors.budget.pacing import Pacing
from qualitrace_monitors.budget.spending import Spending
from qualitrace_monitors.config import Config
from qualitrace_monitors.estimate.estimator import Estimator
from qualitrace_monitors.judging.metrics import JudgeMetrics
from qualitrace_monitors.metrics.process import expose_process
from qualitrace_monitors.metrics.reloads import ReloadCollector
from qualitrace_monitors.metrics.scrape import BudgetCollector, StateCollector
from qualitrace_monitors.notify.payload import Links
from qualitrace_monitors.overview.day_before import DayBefore
from qualitrace_monitors.overview.inputs import JournalState
from qualitrace_monitors.reload.channel import Reloader, ReloadState
from qualitrace_monitors.server.health import Health
from qualitrace_monitors.web.app import create_app
from qualitrace_monitors.web.page import Sources
from qualitrace_monitors.web.server import WebServer
from qualitrace_monitors.web.trials import Trials
from support import plain_http

NOW = 1_800_000_000.0


class WebStand:
    """Everything behind the web port at the moment `NOW`; `config` is the raw configuration.

    Attributes:
        received, notified: what the receive process and the notifier counted.
        journal: how the journal is.
        health: the components; none at first.
        given: what readers said of answers, until `give` is set to something else.
        supervisor: the supervisor's end of what reloads are asked for through.
    """

    def __init__(self, database: Database, config: Mapping[str, Any] | None = None) -> None:
        self.config = parsed = parse_config(dict(config or {}), Config)
        estimator = Estimator(database)
        self.registry = CollectorRegistry()
        expose_process(self.registry)
        self.judge_metrics = JudgeMetrics(self.registry)
        links = Links("http://127.0.0.1:9464", parsed.mlflow.pages)
        self.alerts = AlertEngine(parsed.alerts, database, estimator, links)
        self.journal = JournalState(requests=7, bytes=7_000, max_bytes=1 << 30, oldest_at=NOW - 30, free_bytes=1 << 40)
        self.received: dict[tuple[str, str], int] = {}
        self.notified: dict[tuple[str, str], int] = {}
        self.given: list[PersonFeedback] = []
        self.give: Callable[[PersonFeedback], None] = self.given.append
        self.health = Health(lambda: NOW)
        state = StateCollector(
            database=database,
            estimator=estimator,
            alerts=self.alerts,
            clock=lambda: NOW,
            journal_backlog=lambda: 7,
            journal_oldest=lambda: NOW - 30,
            problems=self.health.problems,
            receive_counts=lambda: self.received,
            notification_counts=lambda: self.notified,
        )
        self.registry.register(state)
        self.spending = Spending(parsed.budget, parsed.judges, database)
        pacing = Pacing(parsed.judges, parsed.sampling, self.spending, database, lambda: NOW)
        self.registry.register(BudgetCollector(parsed.judges, self.spending, pacing, lambda: NOW))
        self.supervisor, channel = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
        reloader = Reloader(channel, ReloadState(successful=True, succeeded_at=NOW - 60))
        sources = Sources(
            config=parsed,
            database=database,
            estimator=estimator,
            day_before=DayBefore(estimator),
            alerts=self.alerts,
            spending=self.spending,
            pacing=pacing,
            problems=self.health.problems,
            since=self.health.since,
            journal=lambda: self.journal,
            reload_state=lambda: reloader.state,
            give_feedback=self._take_feedback,
            links=links,
            mlflow_uri=masked(parsed.tracking_uri),
            trials=Trials(database.path, parsed.alerts),
            names_key=bytes(32),
            clock=lambda: NOW,
        )
        self.registry.register(ReloadCollector(reloader))
        app = create_app(sources, self.registry, self.health.report, reloader)
        self.server = WebServer(app)

    def _take_feedback(self, feedback: PersonFeedback) -> None:
        self.give(feedback)

    @property
    def url(self) -> str:
        """Where the started server is."""
        return f"http://127.0.0.1:{self.server.port}"

    def get(self, path: str, **headers: str) -> httpx.Response:
        """Request a page; `_` in the name of a header stands for `-`."""
        return plain_http.get(self.url + path, headers={name.replace("_", "-"): headers[name] for name in headers})

    def sample(self, name: str, **labels: str) -> float | None:
        """Return the value of a series, or None if there is no such series."""
        return self.registry.get_sample_value(name, labels)


def program(name: str, package: str) -> str:
    """Return the path of a program that a test runs for real; fail if it is missing."""
    path = shutil.which(name)
    assert path, f"this test runs {name}: install the Debian package {package!r} (apt-get install {package})"
    return path
