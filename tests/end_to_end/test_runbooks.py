"""Each runbook is followed once: its condition is made real, its alert holds, its commands are run, and the alert is gone.

One server has all of it, scraped by a real Prometheus with the rules of `qualitrace rules`. It also sends its own spans and
metrics, to a collector that sends them on to it.
"""

import json
import sqlite3
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager
from functools import partial
from itertools import chain
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from qualitrace_collector.journal import JournalEntry, SqliteJournal
from qualitrace_monitors.prometheus_rules.command import rules as rules_command
from support import plain_http
from support.judge_model import judge_model
from support.otlp import chat_span, request, span
from support.otlp_sink import OtlpSink, otlp_sink
from support.prometheus import ask, prometheus
from support.runbooks import PAGES, Operator, commands
from support.serving import Server, limit_files
from support.sqlite_lock import Lock
from support.waiting import eventually
from support.webhooks import WebhookReceiver

pytestmark = pytest.mark.timeout(1500)  # a busy machine takes minutes for the two starts of the server alone
patiently = partial(eventually, timeout=240)
"""Only a machine that is busy with much else needs as long."""
ACT_ONE = PAGES - {"down", "budget", "reload"}
LASTING = {"restarts", "given-up"}
"""Pages whose alerts stay for half an hour; that nothing new happens is seen in a shorter window."""
SHOWN = {
    "down": "no answer",
    "not-ready": "no request could be made durable",
    "mlflow": '"mlflow"',
    "journal-lag": "qualitrace_journal_oldest_request_seconds 1",
    "freshness": 'qualitrace_judgements_oldest_seconds{judge="tone"}',
    "judges": "judge:tone",
    "receivers": "it refuses connections",
    "given-up": 'outcome="given_up",receiver="pager"',
    "degraded": '"feedback"',
    "restarts": 'process="receive",reason="crash"',
    "dead-letters": "refused by the test",
    "budget": 'qualitrace_budget_spent{judge="*",unit="tokens",window="day"}',
    "reload": "did you mean 'sampling'?",
    "quality": "firing",
    "burn-rate": "checkout",
}
"""What a page's checks show while its condition holds."""
REFUSE = """CREATE TRIGGER refuse BEFORE INSERT ON spans WHEN new.name = 'POST /refused'
    BEGIN SELECT RAISE(ABORT, 'refused by the test'); END"""
QUESTION = "What is the marmalade's colour?"


class Stand:
    """The server with everything around it."""

    def __init__(self, folder: Path, stack: ExitStack) -> None:
        self.provider_status = 500
        self._numbers = iter(range(1, 10_000))
        self.sink: OtlpSink = stack.enter_context(otlp_sink())
        model, _ = stack.enter_context(judge_model(lambda: self.provider_status, tokens=95_000))
        self.ops, self.pager = WebhookReceiver(), WebhookReceiver()
        for hook in (self.ops, self.pager):
            hook.start()
            stack.callback(hook.stop)
        self.pager.answers = [(410, {})] * 10_000
        tone = {"name": "tone", "instructions": "Polite? {{ outputs }}", "model": "openai:/gpt-5-mini"}
        self.server = Server(
            folder,
            judges=["toxicity", tone | {"base_url": model, "api_key": "none", "match": {"service": "shop"}}],
            budget={"tokens_per_day": 100_000},
            alerts=[
                {"name": "errors", "service": "shop", "when": "error_rate > 50%", "false_alarms": "5% per 1h"},
                {"name": "slo", "service": "checkout", "when": "slo 95% over 30d"},
            ],
            notify={name: {"url": hook.url} for name, hook in (("ops", self.ops), ("pager", self.pager))},
            heartbeat={"interval": "1s", "notify": ["ops", "pager"]},
            telemetry={"endpoint": self.sink.url, "sample": 1, "interval": "5s"},
        )
        self.sink.forward_to = self.server.endpoint
        options = ["--config", str(self.server.config_path), "--out", str(folder)]
        assert CliRunner().invoke(rules_command, options).exit_code == 0
        self.api = stack.enter_context(
            prometheus(self.server.web, folder, folder / "qualitrace.rules.yml", interval="3s")
        )
        places = {"127.0.0.1:9464": self.server.web, "http://127.0.0.1:9090/api/v1": self.api}
        self.operator = Operator(folder, places | {"qualitrace-data": "data"})
        self.data = folder / "data"
        self.lock = Lock(self.data / "mlflow.db")
        stack.callback(self._end)
        stack.callback(self.lock.release)

    def _end(self) -> None:
        if self.server.process is not None and self.server.process.poll() is None:
            self.server.stop()

    def alerts(self) -> set[str]:
        """Return the pages of the alerts whose expressions hold, but those that keep no promise."""
        found = (ask(f"{self.api}/alerts") or {"alerts": []})["alerts"]
        exact = [alert for alert in found if "approximate" not in alert["labels"]]
        return {alert["annotations"]["runbook_url"].rpartition("/")[2].removesuffix(".md") for alert in exact}

    def rules(self) -> dict[str, str]:
        """Return the expression of a page's alert, by the page."""
        groups = ask(f"{self.api}/rules")["groups"]
        alerting = [rule for group in groups for rule in group["rules"] if rule["type"] == "alerting"]
        return {
            rule["annotations"]["runbook_url"].rpartition("/")[2].removesuffix(".md"): rule["query"]
            for rule in alerting
        }

    def holds_lately(self, page: str) -> bool:
        """Whether a page's alert would hold if it looked back over seconds alone."""
        return bool(ask(f"{self.api}/query", query=self.rules()[page].replace("30m", "15s"))["result"])

    def send(
        self, service: str = "shop", count: int = 1, *, error: str = "", name: str = "POST /ask", size: int = 0
    ) -> int:
        """Send traces in one request; return the status."""
        spans = []
        for number in (next(self._numbers) for _ in range(count)):
            answer = "Orange." + "x" * size
            spans += [
                span(number, 1, name=name, error=error),
                chat_span(number, 2, 1, question=QUESTION, answer=answer),
            ]
        return self.server.send(request(spans, service).SerializeToString()).status_code

    def alter(self, database: str, statement: str) -> None:
        """Change a database as only somebody by hand does."""
        with closing(sqlite3.connect(self.data / f"{database}.db", timeout=60)) as connection, connection:
            connection.execute(statement)

    def check(self, *pages: str) -> None:
        """Run the checks of pages, each of which shows what is the case; a command that several have, once."""
        lines = {page: "".join(commands(page, "Check")).splitlines() for page in pages}
        printed = {line: self.operator.run(line) for line in dict.fromkeys(chain.from_iterable(lines.values()))}
        for page in pages:
            shown = "".join(printed[line] for line in lines[page])
            assert SHOWN[page] in shown, (page, shown)

    def fix(self, *pages: str) -> str:
        """Run what pages say is to be done; return what it printed."""
        blocks = dict.fromkeys(block for page in pages for block in commands(page, "Fix"))
        return "".join(self.operator.run(block) for block in blocks)

    @contextmanager
    def full_disk(self) -> Iterator[None]:
        """Let `receive` have no room for a large request."""
        receive = self.server.children()["receive"]
        limit_files(receive, max((self.data / f"journal.db{end}").stat().st_size for end in ("", "-wal")) + 300_000)
        try:
            patiently(lambda: self.send(size=3_000_000) == 503)
            yield
        finally:
            limit_files(receive, -1)

    def kill_receive(self) -> None:
        """Kill it, and wait until another one takes requests."""
        before = self.server.children()["receive"]
        self.server.kill("receive")
        patiently(lambda: self.server.children().get("receive", before) != before and self.send() == 200)


@pytest.fixture
def stand(tmp_path: Path) -> Iterator[Stand]:
    """Provide everything but the server's start."""
    with ExitStack() as stack:
        yield Stand(tmp_path, stack)


def test_every_page_leads_out_of_what_it_is_about(stand: Stand) -> None:
    """From a server that is down to one without any alert."""
    patiently(lambda: stand.alerts() == {"down"})
    assert set(stand.rules()) == PAGES == set(SHOWN)
    start(stand)
    much_goes_wrong(stand)
    mlflow_and_the_disk_go_away(stand)
    each_thing_is_fixed(stand)
    a_budget_is_spent_and_a_reload_refused(stand)
    nothing_went_round_in_a_circle(stand)


def start(stand: Stand) -> None:
    """Start the server by the page's own command."""
    stand.check("down")
    (command,) = commands("down", "Fix")
    stand.server.launch(["bash", "-c", f'PATH="{stand.operator.path}" exec {command}'])
    patiently(lambda: stand.server.lines)
    patiently(lambda: "down" not in stand.alerts())


def much_goes_wrong(stand: Stand) -> None:
    """At once, as it does."""
    for service in ("shop", "checkout"):
        assert stand.send(service) == 200
    seen = 'count(qualitrace_requests_total{service=~"shop|checkout"} > 0) == 2'
    patiently(lambda: ask(f"{stand.api}/query", query=seen)["result"])
    stand.alter("mlflow", REFUSE)
    assert (stand.send("checkout", 12, error="boom"), stand.send("other", name="POST /refused")) == (200, 200)
    for _ in range(3):
        stand.kill_receive()
    until(stand, {"quality"}, lambda: stand.send(count=10, error="boom"))
    patiently(lambda: {"judges", "dead-letters"} <= stand.alerts())
    stand.alter("state", "UPDATE judgement SET completed_at = completed_at - 2400")
    stand.alter("state", "ALTER TABLE feedback RENAME COLUMN content TO lost")
    stand.ops.stop()


def mlflow_and_the_disk_go_away(stand: Stand) -> None:
    """Now everything is wrong that can be, and each page shows its part."""
    patiently(
        lambda: stand.server.sample("qualitrace_journal_backlog_requests") == 0
    )  # the oldest is to be the one below
    stand.lock.hold()
    with closing(SqliteJournal(stand.data / "journal.db", 1 << 30)) as journal:
        late = request([chat_span(9_999, 1, question=QUESTION, answer="Orange.")], "shop").SerializeToString()
        journal.append([JournalEntry(signal="traces", payload=late, received_at=time.time() - 1200)])
    with stand.full_disk():
        patiently(lambda: stand.alerts() >= ACT_ONE)
        stand.check(*ACT_ONE)
    stand.lock.release()


def each_thing_is_fixed(stand: Stand) -> None:
    """Whatever the pages say that others are to do, and then what they say themselves."""
    stand.alter("state", "ALTER TABLE feedback RENAME COLUMN lost TO content")
    stand.alter("mlflow", "DROP TRIGGER refuse")
    stand.provider_status = 200
    stand.ops.start()
    stand.pager.answers.clear()
    printed = stand.fix("receivers", "given-up", "dead-letters")
    assert printed.count("took it") == 2, printed
    assert "1 put back into the journal" in printed
    until(
        stand,
        set(),
        lambda: stand.send("checkout", 40) + stand.send(count=10),
        leaving=ACT_ONE - LASTING - {"freshness"},
    )
    patiently(lambda: not any(map(stand.holds_lately, LASTING)))


def until(stand: Stand, wanted: set[str], send: Callable[[], int], leaving: set[str] = frozenset()) -> None:  # type: ignore[assignment]
    """Send on until alerts hold, and others do not."""

    def is_so() -> bool:
        alerts = stand.alerts()
        if wanted <= alerts and not leaving & alerts:
            return True
        send()
        return False

    patiently(is_so, interval=1)


def a_budget_is_spent_and_a_reload_refused(stand: Stand) -> None:
    """What is raised is not taken over until the mistake beside it is fixed."""
    patiently(lambda: "budget" in stand.alerts())
    config: dict[str, Any] = stand.server.config | {"budget": {"tokens_per_day": 100_000_000}}
    stand.server.config_path.write_text(json.dumps(config | {"samplin": {}}))
    assert plain_http.post(f"http://{stand.server.web}/-/reload", timeout=60).status_code == 400
    patiently(lambda: "reload" in stand.alerts())
    stand.check("budget", "reload")
    stand.server.config_path.write_text(json.dumps(config))
    assert "is taken over" in stand.fix("budget", "reload")
    patiently(lambda: stand.alerts() <= LASTING)


def nothing_went_round_in_a_circle(stand: Stand) -> None:
    """The own spans came back to the receiver, which took none of them; they hold no text, and metrics came with them."""
    server, sink = stand.server, stand.sink
    patiently(lambda: server.sample("qualitrace_otlp_spans_rejected_total", reason="own") > 0)
    assert server.sample("qualitrace_traces_total", service="qualitrace") == 0
    names = {each.name for each in sink.spans}
    assert {"process journal", "convert", "store", "record", "chat gpt-5-mini", "send ops", "send pager"} <= names
    failed = {each.name for each in sink.spans if any(attribute.key == "error.type" for attribute in each.attributes)}
    assert {"process journal", "chat gpt-5-mini", "send ops", "send pager"} <= failed
    sent = b"".join(one.SerializeToString() for one in sink.traces)
    assert not any(word in sent for word in (b"marmalade", b"Orange", b"refused by the test", stand.ops.url.encode()))
    assert sink.last_metrics["qualitrace_traces_total"].sum.data_points
