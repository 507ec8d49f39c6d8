"""The pages of the web port over a real server: health, metrics in both forms, the dashboard."""

import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import httpx
import pytest
from prometheus_client.openmetrics.parser import text_string_to_metric_families as parse_openmetrics

from qualitrace_collector.state import Database, Ledger
from qualitrace_monitors.notify.outbox import Outbox
from qualitrace_monitors.notify.payload import Links
from support.web import NOW, WebStand

OPENMETRICS = "application/openmetrics-text;version=1.0.0,application/openmetrics-text;version=0.0.1;q=0.75"
AddScore = Callable[..., str]
OpenWeb = Callable[..., WebStand]


@pytest.fixture
def stored(database: Database) -> None:
    """Let the ledger know three stored traces and one that was no GenAI trace."""
    with database.transaction() as connection:
        Ledger.add(connection, "shop", "stored", count=3)
        Ledger.add(connection, "shop", "not_genai")


class TestHealth:
    def test_alive(self, web: WebStand) -> None:
        """A living process says ok."""
        response = web.get("/healthz")
        assert (response.status_code, response.text) == (200, "ok")

    def test_ready(self, web: WebStand) -> None:
        """While OTLP can be acked the answer is 200; what else is wrong is named with it."""
        web.health.add("otlp", lambda: "")
        web.health.add("mlflow", lambda: "it cannot be written")
        response = web.get("/readyz")
        assert (response.status_code, response.json()) == (
            200,
            {
                "service": "qualitrace",
                "status": "ready",
                "unavailable": [],
                "degraded": [{"component": "mlflow", "reason": "it cannot be written"}],
                "pid": os.getpid(),
            },
        )

    def test_not_ready_says_why(self, web: WebStand) -> None:
        """While it cannot be acked the answer is 503 and says why; the process still is alive."""
        web.health.add("otlp", lambda: "the journal cannot be read")
        response = web.get("/readyz")
        assert response.status_code == 503
        assert response.json()["unavailable"] == [{"component": "otlp", "reason": "the journal cannot be read"}]
        assert web.get("/healthz").status_code == 200

    def test_components_are_a_metric(self, web: WebStand) -> None:
        """Each is 1, or 0 with a problem."""
        web.health.add("otlp", lambda: "")
        web.health.add("receiver:ops", lambda: "it does not take notifications")
        assert web.sample("qualitrace_up", component="otlp") == 1
        assert web.sample("qualitrace_up", component="receiver:ops") == 0


class TestMetrics:
    def test_openmetrics_for_those_who_ask(self, web: WebStand) -> None:
        """With Prometheus' Accept header the answer is OpenMetrics, complete to its end mark."""
        response = web.get("/metrics", Accept=OPENMETRICS)
        assert response.headers["content-type"].startswith("application/openmetrics-text; version=1.0.0")
        assert "qualitrace_pass_rate" in {family.name for family in parse_openmetrics(response.text)}
        assert response.text.endswith("# EOF\n")

    def test_plain_text_for_all_others(self, web: WebStand) -> None:
        """A browser or curl gets the text format 0.0.4."""
        assert web.get("/metrics", Accept="*/*").headers["content-type"].startswith("text/plain; version=0.0.4")

    @pytest.mark.parametrize(
        ("asked", "compressed"),
        [("gzip", True), ("deflate, gzip;q=0.5", True), ("identity", False)],
    )
    def test_gzip_for_those_who_ask(self, web: WebStand, asked: str, compressed: bool) -> None:
        """Prometheus does: a tenth of the bytes, the same metrics, in either form."""
        for form in (OPENMETRICS, "*/*"):
            response = web.get("/metrics", Accept=form, Accept_Encoding=asked)
            assert (response.headers.get("content-encoding") == "gzip") == compressed
            assert "\n# TYPE qualitrace_pass_rate gauge\n" in response.text

    def test_a_version_that_is_no_number_is_refused(self, web: WebStand) -> None:
        """A malformed Accept header gets 406, not an error of the server."""
        assert web.get("/metrics", Accept="application/openmetrics-text;version=new").status_code == 406

    def test_many_scrapes_do_not_pile_up_connections(self, database: Database, web: WebStand) -> None:
        """Forty scrapes at a time, again and again, leave no more than two readers' files open."""
        path = str(database.path)
        with ThreadPoolExecutor(40) as pool:
            statuses = list(pool.map(lambda _: web.get("/metrics").status_code, range(80)))
        links = (os.path.join("/proc/self/fd", name) for name in os.listdir("/proc/self/fd"))
        databases = [link for link in links if os.path.islink(link) and os.readlink(link) == path]
        assert set(statuses) == {200}
        assert len(databases) <= 3  # two readers, and this thread, which made the database


class TestLinks:
    def test_the_addresses_of_notifications_lead_somewhere(
        self, database: Database, add_score: AddScore, open_web: OpenWeb
    ) -> None:
        """A service to the dashboard, a trace to its page, whatever the names hold."""
        web = open_web()
        links = Links(web.url)
        for service in ("shop", "a/b c?d#é", "//evil.example"):
            answer = httpx.get(links.page(service, "groundedness", NOW))
            assert answer.status_code == 307
            assert httpx.get(str(answer.next_request and answer.next_request.url)).url.path == "/"
        for trace_id in ("tr-1", "/../@evil.example"):
            add_score(database, "fail", NOW, rationale="made up", trace_id=trace_id)
            answer = httpx.get(links.trace_page(trace_id))
            assert answer.status_code == 200
            assert "made up" in answer.text

    def test_readers_come_by_the_external_url(self, open_web: OpenWeb) -> None:
        """A proxy in front passes its name on."""
        web = open_web(listen={"web_external_url": "https://quality.example.com/"})
        assert web.get("/", Host="quality.example.com").status_code == 200
        assert web.get("/", Host="evil.example").status_code == 421


class TestDashboard:
    def test_before_the_first_trace_it_says_what_to_do(self, open_web: OpenWeb) -> None:
        """The empty page names the configured address and the command."""
        page = open_web(listen={"otlp_http": "127.0.0.1:14318"}).get("/").text
        assert "No traces yet" in page
        assert "OTEL_EXPORTER_OTLP_ENDPOINT=http://127.0.0.1:14318 qualitrace run python app.py" in page

    @pytest.mark.usefixtures("stored")
    def test_quality_is_shown_with_its_interval_and_size(
        self, database: Database, add_score: AddScore, web: WebStand
    ) -> None:
        """3 passes of 4 are 75 %, with 4 scores, and a bar from the interval's lower end to its upper."""
        for label in ("pass", "pass", "pass", "fail"):
            add_score(database, label, NOW - 60)
        labels = {"judge": "groundedness", "tier": "local", "service": "shop", "window": "1h"}
        lower, upper = (web.sample(f"qualitrace_pass_rate_{end}", **labels) or 0 for end in ("lower", "upper"))
        page = web.get("/").text
        assert "75.0 %" in page
        assert f"{100 * lower:.1f} % – {100 * upper:.1f} %" in page
        assert f'x="{100 * lower}" y="1.5" width="{100 * (upper - lower)}"' in page
        assert 'data-label="scores" class="number">4<' in page

    @pytest.mark.usefixtures("stored")
    def test_no_pass_rate_is_shown_when_all_is_unsure(
        self, database: Database, add_score: AddScore, web: WebStand
    ) -> None:
        """With unsure scores only, the page says so in place of a number, and draws no point in the bar."""
        add_score(database, "unsure", NOW)
        page = web.get("/").text
        assert "<strong>all unsure</strong>" in page
        assert 'class="point"' not in page

    @pytest.mark.usefixtures("stored")
    def test_judged_text_is_shown_as_text(self, database: Database, add_score: AddScore, web: WebStand) -> None:
        """Markup in rationale, service and trace id comes out escaped."""
        add_score(database, "fail", NOW, rationale="<script>alert(1)</script>", service="<b>shop", trace_id='"><i>')
        page = web.get("/").text
        assert "&lt;script&gt;alert(1)&lt;/script&gt;" in page
        assert "&lt;b&gt;shop" in page
        assert not any(markup in page for markup in ("<script>", "<b>", "<i>"))

    @pytest.mark.usefixtures("stored")
    def test_the_lowest_scores_come_first_and_old_ones_not_at_all(
        self, database: Database, add_score: AddScore, web: WebStand
    ) -> None:
        """Of three answers the worse of the last hour is first, and one of two hours ago is left out."""
        add_score(database, "pass", NOW - 10, rationale="good enough")
        add_score(database, "fail", NOW - 20, rationale="made up")
        add_score(database, "fail", NOW - 7200, rationale="long ago")
        page = web.get("/").text
        assert 0 < page.index("made up") < page.index("good enough")
        assert "long ago" not in page

    @pytest.mark.usefixtures("stored")
    def test_firing_alerts_come_first_and_are_counted_above(
        self, database: Database, add_score: AddScore, open_web: OpenWeb
    ) -> None:
        """The firing alert of a later name stands before the inactive one, and the head says that one fires."""
        for _ in range(30):
            add_score(database, "fail", NOW - 5)
        rules = [
            {"name": "a-very-low", "judge": "groundedness", "when": "pass_rate > 0.5"},
            {"name": "z-low", "judge": "groundedness", "when": "pass_rate < 0.9"},
        ]
        web = open_web(alerts=rules)
        web.alerts.evaluate(NOW)
        page = web.get("/").text
        assert 0 < page.index("z-low") < page.index("a-very-low")
        assert "1 alert firing" in page

    def test_a_receiver_that_takes_nothing_is_named(self, database: Database, open_web: OpenWeb) -> None:
        """With the reason as text, until it took one; a receiver that the configuration no longer has is not."""
        web = open_web(notify={"ops": {"url": "http://127.0.0.1:9/"}})
        outbox = Outbox(database)
        for receiver in ("ops", "former"):
            with database.transaction() as connection:
                Outbox.put(connection, receiver, "{}", NOW)
            if first := outbox.first(receiver):
                outbox.postpone(first, NOW + 60, NOW, f"{receiver} answered 500: <b>no</b>", "it answers 500")
        page = web.get("/").text
        assert "Notifications that do not arrive" in page
        assert "ops answered 500: &lt;b&gt;no&lt;/b&gt;" in page
        assert "former" not in page
        if first := outbox.first("ops"):
            outbox.remove(first, "sent", NOW)
        assert "do not arrive" not in web.get("/").text

    @pytest.mark.usefixtures("stored")
    def test_the_ledger_shows_what_is_the_case_now(self, database: Database, web: WebStand) -> None:
        """A judgement that was queued and then scored is shown as scored only."""
        with database.transaction() as connection:
            Ledger.add(connection, "shop", "queued", "safety", 5)
            Ledger.add(connection, "shop", "queued", "safety", -5)
            Ledger.add(connection, "shop", "scored", "safety", 5)
        page = web.get("/").text
        assert 'data-label="stored" class="number">3<' in page
        assert 'data-label="not genai" class="number">1<' in page
        assert 'data-label="queued" class="number">0<' in page
        assert 'data-label="scored" class="number">5<' in page

    @pytest.mark.usefixtures("stored")
    def test_traces_link_to_an_mlflow_server(self, database: Database, add_score: AddScore, open_web: OpenWeb) -> None:
        """With an http tracking URI a trace links to MLflow's page of it, without the credentials of the URI."""
        trace_id = add_score(database, "fail", NOW)
        page = open_web(mlflow={"tracking_uri": "http://admin:hunter2@mlflow.example:5000/"}).get("/").text
        assert f'href="http://mlflow.example:5000/#/experiments/0/traces/{trace_id}"' in page
        assert "hunter2" not in page

    @pytest.mark.usefixtures("stored")
    def test_without_a_server_the_command_is_shown(
        self, database: Database, add_score: AddScore, open_web: OpenWeb
    ) -> None:
        """With a database as tracking URI the page shows how to start MLflow's pages, without the password."""
        trace_id = add_score(database, "fail", NOW)
        page = open_web(mlflow={"tracking_uri": "postgresql://q:hunter2@127.0.0.1/mlflow"}).get("/").text
        assert "mlflow ui --backend-store-uri postgresql://127.0.0.1/mlflow" in page
        assert trace_id in page
        assert "hunter2" not in page
