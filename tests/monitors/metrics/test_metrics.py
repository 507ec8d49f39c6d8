"""Scores as they come in, what is read at a scrape, and that any text survives the exposition."""

from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client import CollectorRegistry
from prometheus_client.exposition import generate_latest
from prometheus_client.openmetrics.exposition import generate_latest as generate_openmetrics
from prometheus_client.openmetrics.parser import text_string_to_metric_families as parse_openmetrics
from prometheus_client.parser import text_string_to_metric_families as parse_text

from qualitrace_collector.config.values import duration_text
from qualitrace_collector.person_feedback import PersonFeedback
from qualitrace_collector.sample import Sample
from qualitrace_collector.state import (
    CoverageTotals,
    Database,
    ExpertLabels,
    JudgeQueue,
    JudgeTask,
    Ledger,
    TraceRecord,
)
from qualitrace_collector.state.coverage import Source
from qualitrace_monitors.estimate.scores import ScoreRow
from qualitrace_monitors.judges.build import build_judge
from qualitrace_monitors.judges.contract import Usage
from qualitrace_monitors.judges.settings import JudgeConfig
from qualitrace_monitors.judging.metrics import JudgeMetrics
from qualitrace_monitors.notify.outbox import Outbox
from support.web import NOW, WebStand

HEX_ID = "5b8efff798038103d269b633813fc60c"
AddScore = Callable[..., str]
OpenWeb = Callable[..., WebStand]


def score_row(**changes: Any) -> ScoreRow:
    """Make a failed score of 0.35 that cost 120 tokens."""
    row: dict[str, Any] = {
        "trace_id": f"tr-{HEX_ID}",
        "judge": "tone",
        "version": "1",
        "tier": "llm",
        "service": "shop",
        "model": "m",
        "prompt_version": "",
        "value": 0.35,
        "label": "fail",
        "rationale": "",
        "inclusion_probability": 0.1,
        "assessment_id": "a",
        "tokens": 120,
        "cost_usd": 0.25,
        "completed_at": NOW,
        "scored_at": NOW,
    }
    return ScoreRow(**{**row, **changes})


def task_for(service: str) -> JudgeTask:
    """Make a task for the judge `safety`."""
    return JudgeTask(
        trace_id=f"tr-{service}",
        judge="safety",
        service=service,
        sample=Sample(inputs="hello"),
        inclusion_probability=1.0,
        root_ended_at=NOW,
        completed_at=NOW,
    )


TONE = build_judge(JudgeConfig(name="tone", model="openai:/gpt-5-mini", instructions="Is {{ outputs }} kind?"))


@pytest.fixture
def counted() -> tuple[JudgeMetrics, Callable[..., float | None]]:
    """Provide metrics on a registry of their own, and a way to read a series of it."""
    registry = CollectorRegistry()
    return JudgeMetrics(registry), lambda name, **labels: registry.get_sample_value(name, labels)


class TestScoresAsTheyComeIn:
    def test_a_score_is_counted_by_result_and_falls_into_its_bucket(self, counted) -> None:
        """A score of 0.35 counts once as fail, is above bucket 0.3 and within bucket 0.4."""
        metrics, read = counted
        metrics.observe(score_row(), NOW, NOW)
        labels = {"judge": "tone", "tier": "llm", "service": "shop"}
        assert read("qualitrace_evaluations_total", result="fail", **labels) == 1
        assert read("qualitrace_score_bucket", le="0.3", **labels) == 0
        assert read("qualitrace_score_bucket", le="0.4", **labels) == 1

    def test_freshness_is_the_time_from_the_end_of_the_root_span(self, counted) -> None:
        """A score exported 4 s after the root ended adds 4 s to the sum."""
        metrics, read = counted
        metrics.observe(score_row(), NOW - 4, NOW)
        assert read("qualitrace_freshness_seconds_sum", judge="tone", service="shop") == pytest.approx(4)

    def test_an_application_with_its_clock_ahead_counts_as_fresh(self, counted) -> None:
        """A root that ends in the future does not lower the sum of a histogram, which may never fall."""
        metrics, read = counted
        metrics.observe(score_row(), NOW + 60, NOW)
        assert read("qualitrace_freshness_seconds_sum", judge="tone", service="shop") == 0

    def test_tokens_and_cost_add_up_and_an_unknown_price_adds_nothing(self, counted) -> None:
        """By direction: of three calls one has a known price, and one a price that is not known by direction."""
        metrics, read = counted
        for usage in (Usage(100, 20, 0.25, 0.05), Usage(100, 20), Usage(100, 20, 0.5)):
            metrics.observe_call(TONE, 1.0, usage)
        labels = {"judge": "tone", "tier": "llm", "model": "openai:/gpt-5-mini"}
        directions = ("input", "output", "unknown")
        tokens = [read("qualitrace_judge_tokens_total", type=direction, **labels) for direction in directions]
        assert tokens == [300, 60, None]
        costs = [read("qualitrace_judge_cost_usd_total", type=direction, **labels) for direction in directions]
        assert costs == [0.05, 0.2, 0.5]

    def test_durations_and_errors_are_counted_by_judge(self, counted) -> None:
        """A call of 2 s and an error of a kind appear under their judge."""
        metrics, read = counted
        metrics.observe_call(TONE, 2.0, Usage())
        metrics.count_error("tone", "transient")
        assert read("qualitrace_judge_duration_seconds_sum", judge="tone", tier="llm") == 2.0
        assert read("qualitrace_judge_errors_total", judge="tone", kind="transient") == 1

    def test_series_of_known_labels_begin_at_zero(self, counted) -> None:
        """So that `rate()` sees the first error, the first token and the first fail."""
        metrics, read = counted
        metrics.start(TONE, ["shop"])
        assert read("qualitrace_judge_errors_total", judge="tone", kind="permanent") == 0
        of_model = {"judge": "tone", "tier": "llm", "model": "openai:/gpt-5-mini", "type": "output"}
        assert read("qualitrace_judge_tokens_total", **of_model) == 0
        assert read("qualitrace_judge_cost_usd_total", **of_model) == 0
        labels = {"judge": "tone", "tier": "llm", "service": "shop"}
        assert read("qualitrace_evaluations_total", result="fail", **labels) == 0
        assert read("qualitrace_evaluations_weight_total", result="pass", **labels) == 0
        assert read("qualitrace_evaluations_weighted_value_total", **labels) == 0

    def test_weights_are_those_of_the_estimates(self, counted) -> None:
        """A score of a trace that is one of ten weighs 10; one that is of no sample weighs nothing."""
        metrics, read = counted
        metrics.observe(score_row(), NOW, NOW)
        metrics.observe(score_row(label="pass", value=1.0, inclusion_probability=0.5), NOW, NOW)
        metrics.observe(score_row(inclusion_probability=0.0), NOW, NOW)
        labels = {"judge": "tone", "tier": "llm", "service": "shop"}
        weights = [
            read("qualitrace_evaluations_weight_total", result=label, **labels) for label in ("pass", "fail", "unsure")
        ]
        assert weights == [2, 10, 0]
        assert read("qualitrace_evaluations_weighted_value_total", **labels) == pytest.approx(0.35 * 10 + 2)

    def test_every_metric_of_a_score_leads_to_its_trace(self) -> None:
        """Counter, score and freshness carry OpenTelemetry's trace id, without MLflow's prefix, as exemplar."""
        registry = CollectorRegistry()
        JudgeMetrics(registry).observe(score_row(), NOW, NOW)
        families = parse_openmetrics(generate_openmetrics(registry).decode())
        led = {f.name: s.exemplar.labels for f in families for s in f.samples if s.exemplar}
        exemplar = {"trace_id": HEX_ID}
        assert led == {
            "qualitrace_evaluations": exemplar,
            "qualitrace_score": exemplar,
            "qualitrace_freshness_seconds": exemplar,
        }

    def test_no_series_tells_when_a_series_was_created(self) -> None:
        """No `_created` series is exported, which Prometheus would store beside each counter."""
        registry = CollectorRegistry()
        JudgeMetrics(registry).observe(score_row(), NOW, NOW)
        assert b"_created" not in generate_openmetrics(registry)

    @given(service=st.text(st.characters(exclude_categories=["Cs"])))
    def test_any_service_name_survives_both_formats(self, service: str) -> None:
        """Quotes, backslashes, line ends and any script come back from the text and the OpenMetrics format."""
        registry = CollectorRegistry()
        JudgeMetrics(registry).observe(score_row(service=service), NOW, NOW)
        for generate, parse in ((generate_latest, parse_text), (generate_openmetrics, parse_openmetrics)):
            families = parse(generate(registry).decode())
            found = [s for family in families for s in family.samples if s.name == "qualitrace_evaluations_total"]
            assert {s.labels["service"] for s in found} == {service}


class TestReadAtAScrape:
    def test_what_traces_lack_is_a_share_of_those_looked_at(self, database: Database, web: WebStand) -> None:
        """Of three traces of a source one lacks the session: two counters with the same labels."""
        source = Source("shop", "openinference.instrumentation.openai", "openinference")
        with database.transaction() as connection:
            CoverageTotals.change(connection, [({}, {(source, "session"): has}) for has in (True, False, True)])
        service, scope, dialect = source.key
        labels = {"service": service, "scope": scope, "dialect": dialect, "content": "session"}
        assert web.sample("qualitrace_traces_lacking_total", **labels) == 1
        assert web.sample("qualitrace_traces_checked_total", **labels) == 3

    def test_a_replaced_outcome_does_not_lower_a_counter(self, database: Database, web: WebStand) -> None:
        """A trace first counted as not_genai and then stored stays in both counters; the total moves."""
        for outcome in ("not_genai", "stored"):
            with database.transaction() as connection:
                Ledger.record_traces(connection, [TraceRecord("tr-1", "shop", outcome, True)], NOW)
        assert web.sample("qualitrace_traces_total", service="shop", outcome="not_genai") == 1
        assert web.sample("qualitrace_traces_total", service="shop", outcome="stored") == 1
        assert [tuple(row) for row in Ledger(database).totals()] == [("", "shop", "stored", 1)]

    def test_waiting_is_a_gauge_over_services_that_returns_to_zero(self, database: Database, web: WebStand) -> None:
        """Two queued samples wait; finished, they are counted as outcomes and the gauge shows 0, not nothing."""
        tasks = [task_for("shop"), task_for("bank")]
        with database.transaction() as connection:
            for task in tasks:
                JudgeQueue.put(connection, task)
        assert web.sample("qualitrace_judgements_waiting", judge="safety") == 2
        with database.transaction() as connection:
            for task in tasks:
                JudgeQueue.finish(connection, task, "failed")
        assert web.sample("qualitrace_judgements_waiting", judge="safety") == 0
        assert web.sample("qualitrace_judgements_total", judge="safety", service="shop", outcome="failed") == 1
        assert web.sample("qualitrace_judgements_total", judge="safety", service="shop", outcome="queued") is None

    def test_quality_is_exported_for_an_hour_and_each_window_of_a_rule(
        self, database: Database, add_score: AddScore, open_web: OpenWeb
    ) -> None:
        """Three passes and an old fail are 0.75 over 1h and 1.0 over a rule's 5m, each with its samples."""
        add_score(database, "fail", NOW - 1800)
        for _ in range(3):
            add_score(database, "pass", NOW - 60)
        rule = {"name": "low", "judge": "groundedness", "when": "pass_rate < 0.9", "window": "5m"}
        web = open_web(alerts=[rule])
        labels = {"judge": "groundedness", "tier": "local", "service": "shop"}
        assert web.sample("qualitrace_pass_rate", window="1h", **labels) == pytest.approx(0.75)
        assert web.sample("qualitrace_pass_rate_samples", window="1h", **labels) == 4
        assert web.sample("qualitrace_mean_score", window="1h", **labels) == pytest.approx(0.75)
        assert web.sample("qualitrace_pass_rate", window="5m", **labels) == 1
        assert web.sample("qualitrace_pass_rate_samples", window="5m", **labels) == 3

    def test_the_interval_holds_the_estimate(self, database: Database, add_score: AddScore, web: WebStand) -> None:
        """Lower end, value and upper end of pass rate and mean score come in this order, for 3 of 4."""
        for label in ("pass", "pass", "pass", "fail"):
            add_score(database, label, NOW)
        labels = {"judge": "groundedness", "tier": "local", "service": "shop", "window": "1h"}
        for quantity in ("qualitrace_pass_rate", "qualitrace_mean_score"):
            lower, value, upper = (web.sample(quantity + end, **labels) or 0 for end in ("_lower", "", "_upper"))
            assert 0 < lower < value < upper < 1

    def test_what_rests_on_more_than_one_judge_stands_beside_the_raw_tiers(
        self, database: Database, add_score: AddScore, web: WebStand
    ) -> None:
        """Both tiers of a cascade, the estimate of both, and what experts' labels make of each; on the page, too."""
        trace_id = ""
        for number in range(20):
            trace_id = add_score(database, "pass" if number % 2 else "fail", NOW)
            if number < 10:
                add_score(database, "pass", NOW, trace_id=trace_id, tier="llm", inclusion_probability=0.5)
        label = {"trace_id": trace_id, "name": "groundedness", "value": False, "source": "expert"}
        with database.transaction() as connection:
            ExpertLabels.put(connection, PersonFeedback.model_validate(label), NOW)
            Ledger.add(connection, "shop", "scored", "groundedness")
        labels = {"judge": "groundedness", "service": "shop", "window": "1h"}
        raw = [web.sample("qualitrace_pass_rate", tier=tier, **labels) for tier in ("local", "llm", "joined")]
        assert raw == pytest.approx([0.5, 1.0, 1.0])
        assert web.sample("qualitrace_pass_rate_corrected_labels", tier="local", **labels) == 1
        corrected = "qualitrace_pass_rate_corrected"
        lower, value, upper = (web.sample(corrected + end, tier="local", **labels) for end in ("_lower", "", "_upper"))
        assert (lower, value) == (0.0, 0.0)  # the one pass that was looked at is bad, and no fail was
        assert upper is not None
        assert upper > 0.98
        assert web.sample(corrected, tier="llm", **labels) is None
        page = web.get("/service/shop/judge/groundedness").text.partition("corrected by labels")[2]
        assert "joined" in page
        cells = [cell.partition("</td>")[0] for cell in page.split('data-label="corrected by labels"')[1:]]
        assert any("0.0 %" in cell for cell in cells)

    def test_no_pass_rate_is_made_up_when_all_is_unsure(
        self, database: Database, add_score: AddScore, web: WebStand
    ) -> None:
        """With unsure scores only, the share is 1, the interval is all of 0 to 1, and no pass rate is exported."""
        for _ in range(3):
            add_score(database, "unsure", NOW)
        labels = {"judge": "groundedness", "tier": "local", "service": "shop", "window": "1h"}
        assert web.sample("qualitrace_unsure_share", **labels) == 1
        assert "\nqualitrace_pass_rate{" not in web.get("/metrics").raise_for_status().text
        assert web.sample("qualitrace_pass_rate_lower", **labels) == 0
        assert web.sample("qualitrace_pass_rate_upper", **labels) == 1

    def test_an_alert_is_one_in_its_state_and_zero_in_the_other(
        self, database: Database, add_score: AddScore, open_web: OpenWeb
    ) -> None:
        """A firing alert exports firing 1 and pending 0, with the severity of its rule."""
        for _ in range(30):
            add_score(database, "fail", NOW)
        rule = {"name": "low", "judge": "groundedness", "when": "pass_rate < 0.9", "severity": "page"}
        web = open_web(alerts=[rule])
        web.alerts.evaluate(NOW)
        labels = {"alert": "low", "service": "shop", "judge": "groundedness", "severity": "page"}
        assert web.sample("qualitrace_alert_state", state="firing", **labels) == 1
        assert web.sample("qualitrace_alert_state", state="pending", **labels) == 0

    def test_the_evidence_of_an_alert_grows_to_its_limit(
        self, database: Database, add_score: AddScore, open_web: OpenWeb
    ) -> None:
        """So that a rule of Prometheus can compare the two: below before the alert fires, at it while it does."""
        web = open_web(alerts=[{"name": "low", "judge": "groundedness", "when": "pass_rate < 0.9"}])
        labels = {"alert": "low", "service": "shop", "judge": "groundedness", "tier": "local"}
        seen: list[float] = []
        for fails in (3, 5, 22):
            for _ in range(fails):
                add_score(database, "fail", NOW)
            web.alerts.evaluate(NOW)
            seen.append(web.sample("qualitrace_alert_evidence", **labels))
        assert web.sample("qualitrace_alert_limit", **labels) == pytest.approx(20)
        assert 0 < seen[0] < seen[1] < 20
        assert seen[2] == pytest.approx(20)

    def test_what_was_received_and_sent_is_exported(self, web: WebStand) -> None:
        """Counters of the receive process, of the notifier and the journal's backlog appear under their names."""
        web.received.update({("spans_received", "grpc"): 40, ("requests_refused", "full"): 2})
        web.notified["ops", "sent"] = 3
        assert web.sample("qualitrace_otlp_spans_received_total", door="grpc") == 40
        assert web.sample("qualitrace_otlp_requests_refused_total", reason="full") == 2
        assert web.sample("qualitrace_notifications_total", receiver="ops", outcome="sent") == 3
        assert web.sample("qualitrace_journal_backlog_requests") == 7

    def test_the_last_score_of_each_judge_and_service_is_exported(
        self, database: Database, add_score: AddScore, web: WebStand
    ) -> None:
        """When it was given, after a restart as well; of another service, that service's."""
        for service, at in (("shop", NOW - 90), ("shop", NOW - 30), ("bank", NOW - 60)):
            add_score(database, "pass", at, service=service)
        labels = {"judge": "groundedness", "tier": "local"}
        name = "qualitrace_last_score_timestamp_seconds"
        assert web.sample(name, service="shop", **labels) == NOW - 30
        assert web.sample(name, service="bank", **labels) == NOW - 60

    def test_what_waits_for_receivers_is_exported(self, database: Database, web: WebStand) -> None:
        """How many notifications, for how long the oldest, and when the receiver last took one; nothing has no age."""
        with database.transaction() as connection:
            for age, receiver in ((90, "ops"), (60, "ops"), (30, "chat")):
                Outbox.put(connection, receiver, "{}", NOW - age)
        outbox = Outbox(database)
        for receiver, delivered_at in (("ops", NOW - 20), ("chat", NOW - 10)):
            first = outbox.first(receiver)
            assert first is not None
            outbox.remove(first, "sent", delivered_at)
        found = {
            receiver: [
                web.sample(f"qualitrace_{name}", receiver=receiver)
                for name in (
                    "notifications_waiting",
                    "notifications_oldest_seconds",
                    "notification_last_sent_timestamp_seconds",
                )
            ]
            for receiver in ("ops", "chat")
        }
        assert found == {"ops": [1, 60, NOW - 20], "chat": [0, None, NOW - 10]}


@pytest.mark.parametrize(
    ("seconds", "label"),
    [(30.0, "30s"), (300.0, "5m"), (3600.0, "1h"), (5400.0, "1h30m"), (86_400.0, "1d"), (129_600.0, "1d12h")],
)
def test_windows_are_labelled_as_durations_are_written(seconds: float, label: str) -> None:
    """The `window` label reads like the duration in the configuration file."""
    assert duration_text(seconds) == label
