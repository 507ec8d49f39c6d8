"""What the web port of the `work` process reads, put together."""

import time
from dataclasses import dataclass

from prometheus_client import CollectorRegistry

from qualitrace_collector.journal import JournalEntry, JournalError, SqliteJournal
from qualitrace_collector.masking import masked
from qualitrace_collector.person_feedback import PersonFeedback
from qualitrace_collector.state import Database
from qualitrace_monitors.alerts.engine import AlertEngine
from qualitrace_monitors.budget.pacing import Pacing
from qualitrace_monitors.budget.spending import Spending
from qualitrace_monitors.config import Config
from qualitrace_monitors.estimate.estimator import Estimator
from qualitrace_monitors.metrics.reloads import ReloadCollector
from qualitrace_monitors.metrics.scrape import BudgetCollector, StateCollector
from qualitrace_monitors.notify.delivery import Notifier
from qualitrace_monitors.notify.payload import Links
from qualitrace_monitors.overview.day_before import DayBefore
from qualitrace_monitors.overview.inputs import JournalState
from qualitrace_monitors.reload.channel import Reloader
from qualitrace_monitors.server.health import Health
from qualitrace_monitors.web.app import create_app
from qualitrace_monitors.web.page import Sources
from qualitrace_monitors.web.server import WebServer
from qualitrace_monitors.web.trials import Trials


@dataclass(frozen=True, slots=True, kw_only=True)
class WebPort:
    """The parts of the process that the web port shows.

    Attributes:
        registry: of the metrics; what is read at a scrape is added to it.
        reloader: None where nobody supervises this process.
        key: the secret of the data folder.
    """

    config: Config
    registry: CollectorRegistry
    database: Database
    journal: SqliteJournal
    estimator: Estimator
    alerts: AlertEngine
    spending: Spending
    pacing: Pacing
    notifier: Notifier
    health: Health
    links: Links
    reloader: Reloader | None
    key: bytes

    def server(self) -> WebServer:
        """Make the server; call it once."""
        self.registry.register(self._state_collector())
        self.registry.register(BudgetCollector(self.config.judges, self.spending, self.pacing, time.time))
        self.registry.register(ReloadCollector(self.reloader))
        app = create_app(self._sources(), self.registry, self.health.report, self.reloader)
        return WebServer(app, self.config.listen.web)

    def _state_collector(self) -> StateCollector:
        return StateCollector(
            database=self.database,
            estimator=self.estimator,
            alerts=self.alerts,
            clock=time.time,
            journal_oldest=self.journal.oldest,
            problems=self.health.problems,
            journal_backlog=lambda: self.journal.pending()[0],
            receive_counts=self.journal.counters,
            notification_counts=lambda: self.notifier.notifications,
        )

    def _sources(self) -> Sources:
        return Sources(
            config=self.config,
            database=self.database,
            estimator=self.estimator,
            day_before=DayBefore(self.estimator),
            alerts=self.alerts,
            spending=self.spending,
            pacing=self.pacing,
            problems=self.health.problems,
            since=self.health.since,
            journal=self._journal_state,
            reload_state=lambda: self.reloader and self.reloader.state,
            give_feedback=self._give_feedback,
            links=self.links,
            mlflow_uri=masked(self.config.tracking_uri),
            trials=Trials(self.database.path, self.config.alerts),
            names_key=self.key,
            clock=time.time,
        )

    def _journal_state(self) -> JournalState | None:
        journal = self.journal
        try:
            requests, size = journal.pending()
            return JournalState(
                requests=requests,
                bytes=size,
                max_bytes=journal.max_size,
                oldest_at=journal.oldest(),
                free_bytes=journal.free_bytes(),
            )
        except JournalError:
            return None

    def _give_feedback(self, feedback: PersonFeedback) -> None:
        """Take the way of feedback through the door, which is redacted on it."""
        payload = feedback.model_dump_json().encode()
        entry = JournalEntry(signal="feedback", payload=payload, received_at=time.time())
        self.journal.append([entry], {("feedback_received", feedback.source): 1})
