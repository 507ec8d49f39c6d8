"""What Prometheus' own programs make of the metrics: promtool's lint, and a real server that scrapes."""

import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from qualitrace_collector import metrics
from qualitrace_collector.pipeline.trace_metrics import TraceMetrics
from qualitrace_collector.state import Database, Ledger
from qualitrace_monitors.estimate.scores import ScoreRow
from qualitrace_monitors.judges.build import build_judge
from qualitrace_monitors.judges.contract import Usage
from qualitrace_monitors.judges.settings import JudgeConfig
from qualitrace_monitors.metrics import families, reference
from qualitrace_monitors.notify.outbox import Outbox
from support.prometheus import ask, prometheus
from support.waiting import eventually
from support.web import NOW, WebStand, program

HEX_ID = "0af7651916cd43dd8448eb211c80319c"
NASTY_SERVICE = 'shop "№1" \\ 客服\nline'
RULE = {"name": "low", "judge": "groundedness", "when": "pass_rate < 0.9", "window": "5m"}


@pytest.fixture
def busy_web(database: Database, add_score: Callable[..., str], open_web: Callable[..., WebStand]) -> WebStand:
    """Provide a web port with a sample in every metric, under a service name that is hard to escape."""
    web = open_web(alerts=[RULE], budget={"usd_per_day": 5})
    for _ in range(30):
        add_score(database, "fail", NOW, service=NASTY_SERVICE)
    fields: dict[str, Any] = dict(database.connection().execute("SELECT * FROM score").fetchone())
    del fields["session_began"]  # the database's own
    web.judge_metrics.observe(ScoreRow(**{**fields, "trace_id": f"tr-{HEX_ID}"}), NOW - 3, NOW)
    model = build_judge(JudgeConfig(name="tone", model="openai:/gpt-5-mini", instructions="Is {{ outputs }} kind?"))
    web.judge_metrics.observe_call(model, 0.01, Usage(1, 1, 0.02, 0.01))
    web.judge_metrics.count_error("groundedness", "permanent")
    with database.transaction() as connection:
        Ledger.add(connection, NASTY_SERVICE, "stored")
        Ledger.add(connection, NASTY_SERVICE, "scored", "groundedness")
        Ledger.add(connection, NASTY_SERVICE, "queued", "groundedness")
    web.received.update({("requests_received", "http"): 1, ("spans_rejected", "no_trace_id"): 1})
    web.notified["ops", "given_up"] = 1
    web.alerts.evaluate(NOW)
    with database.transaction() as connection:
        for _ in range(2):
            Outbox.put(connection, "ops", "{}", NOW)
    if waiting := Outbox(database).first("ops"):
        Outbox(database).remove(waiting, "sent", NOW)
    return web


@pytest.fixture
def scraped(busy_web: WebStand, tmp_path: Path) -> Iterator[str]:
    """Let a Prometheus scrape the web port; gives the address of its API."""
    with prometheus(f"127.0.0.1:{busy_web.server.port}", tmp_path) as api:
        yield api


def lint(text: str) -> subprocess.CompletedProcess[str]:
    """Run `promtool check metrics` on an exposition."""
    command = [program("promtool", "prometheus"), "check", "metrics"]
    return subprocess.run(command, input=text, capture_output=True, text=True, check=False)


@pytest.mark.slow
def test_promtool_has_no_complaint(busy_web: WebStand) -> None:
    """Names, units, types and help of all metrics, each with a sample, pass promtool's lint."""
    result = lint(busy_web.get("/metrics").text)
    assert (result.returncode, result.stdout, result.stderr) == (0, "", "")


@pytest.mark.slow
def test_promtool_would_complain() -> None:
    """The lint is alive: it refuses a counter without `_total` and without help."""
    result = lint("# TYPE orders counter\norders 1\n")
    assert result.returncode != 0
    assert "orders" in result.stderr


def test_every_declared_metric_is_exported_and_no_other(busy_web: WebStand) -> None:
    """The families that are exposed are those of the tables, with the type and the help that they declare."""
    TraceMetrics(busy_web.registry)
    metrics.FEEDBACK.counter(busy_web.registry)
    metrics.TRACES_DELETED.counter(busy_web.registry)
    metrics.TELEMETRY_EXPORTS.counter(busy_web.registry)
    text = busy_web.get("/metrics").text
    lines = [
        line.split(maxsplit=3)[1:] for line in text.splitlines() if line.startswith("# ") and " process_" not in line
    ]
    declared = [*metrics.FAMILIES, *families.FAMILIES]
    expected = [["TYPE", family.name, family.type] for family in declared]
    assert sorted(lines) == sorted(expected + [["HELP", family.name, family.help] for family in declared])


def test_the_page_of_metrics_is_up_to_date() -> None:
    """`python -m qualitrace_monitors.metrics.reference > docs/reference/metrics.md` would change nothing."""
    page = (Path(__file__).parents[3] / "docs" / "reference" / "metrics.md").read_text()
    assert page == reference.page(), "run: python -m qualitrace_monitors.metrics.reference > docs/reference/metrics.md"


@pytest.mark.slow
def test_prometheus_scrapes_values_and_exemplars(scraped: str) -> None:
    """A real Prometheus stores the pass rate under the service's own name, and the trace id as exemplar."""

    def results() -> Any:
        return ask(f"{scraped}/query", query='qualitrace_pass_rate{window="1h"}')["result"]

    def exemplars() -> Any:
        window = {"start": "2020-01-01T00:00:00Z", "end": "2100-01-01T00:00:00Z"}
        return ask(f"{scraped}/query_exemplars", query="qualitrace_score_bucket", **window)

    eventually(lambda: ask(f"{scraped}/status/buildinfo"))
    series = eventually(results)
    assert series[0]["metric"]["service"] == NASTY_SERVICE
    assert series[0]["value"][1] == "0"
    assert eventually(exemplars)[0]["exemplars"][0]["labels"] == {"trace_id": HEX_ID}
