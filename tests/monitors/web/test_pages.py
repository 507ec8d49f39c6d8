"""The pages of the web port over a real server: health, metrics in both forms, what every page has."""

import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest
from prometheus_client.openmetrics.parser import text_string_to_metric_families as parse_openmetrics

from qualitrace_collector.state import Database
from qualitrace_monitors.notify.payload import Links
from qualitrace_monitors.web import app
from support import plain_http
from support.web import NOW, WebStand

OPENMETRICS = "application/openmetrics-text;version=1.0.0,application/openmetrics-text;version=0.0.1;q=0.75"
AddScore = Callable[..., str]
OpenWeb = Callable[..., WebStand]


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
    def test_the_addresses_of_traces_lead_to_their_pages(
        self, database: Database, add_score: AddScore, open_web: OpenWeb
    ) -> None:
        """Whatever the ids hold."""
        web = open_web()
        links = Links(web.url)
        for trace_id in ("tr-1", "/../@evil.example"):
            add_score(database, "fail", NOW, rationale="made up", trace_id=trace_id)
            answer = plain_http.get(links.trace_page(trace_id))
            assert answer.status_code == 200
            assert "made up" in answer.text

    def test_readers_come_by_the_external_url(self, open_web: OpenWeb) -> None:
        """A proxy in front passes its name on."""
        web = open_web(listen={"web_external_url": "https://quality.example.com/"})
        assert web.get("/", Host="quality.example.com").status_code == 200
        assert web.get("/", Host="evil.example").status_code == 421


class TestFailures:
    def test_what_cannot_be_read_is_said(self, database: Database, add_score: AddScore, open_web: OpenWeb) -> None:
        """By each page and form, with a status that a probe understands; nobody claims that no alert fires."""
        trace_id = add_score(database, "fail", NOW)
        web = open_web(alerts=[{"name": "low", "judge": "groundedness", "when": "pass_rate < 0.9"}])
        with database.transaction() as connection:
            for row in connection.execute("SELECT name FROM sqlite_schema WHERE type = 'table'").fetchall():
                if not row["name"].startswith("sqlite_"):
                    connection.execute(f"DROP TABLE {row['name']}")
        paths = ("/", "/answers", "/alerts", "/operation", "/service/shop", f"/trace/{trace_id}")
        answers = [web.get(path) for path in paths]
        answers.append(plain_http.post(f"{web.url}/label", data={"trace_id": trace_id, "say": "up", "nonce": "a"}))
        for answer in answers:
            assert answer.status_code == 503
            assert "The state database cannot be used: no such table" in answer.text
            assert "whether an alert fires is not known" in answer.text
        assert "cannot be used" in web.get("/status.json").text

    def test_a_mistake_of_ours_is_said_and_logged(
        self, web: WebStand, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
    ) -> None:
        """With a page, not a bare text, and without what failed."""
        monkeypatch.setattr(web, "journal", object())
        answer = web.get("/operation")
        assert (answer.status_code, "the log says how" in answer.text) == (500, True)
        assert "AttributeError" not in answer.text
        assert "the page /operation failed" in caplog.text

    @pytest.mark.parametrize("path", ["/nowhere", "//evil.example/", "/static/nothing.js", "/answers/x", "/%2e%2e/x"])
    def test_an_unknown_address_is_a_page(self, web: WebStand, path: str) -> None:
        """With a way out of it."""
        answer = web.get(path)
        assert answer.status_code == 404
        assert "There is nothing here" in answer.text

    def test_a_form_s_address_is_no_page(self, web: WebStand) -> None:
        """The method that it has is named."""
        answer = web.get("/label")
        assert (answer.status_code, answer.headers["allow"]) == (405, "POST")


class TestRenewal:
    def test_open_pages_share_what_they_are_renewed_by(
        self, database: Database, add_score: AddScore, open_web: OpenWeb, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Of the same address and the same rights; a page that is opened shows what is so now."""
        monkeypatch.setattr(app, "RENEWED_SECONDS", 60.0)
        web = open_web(listen={"web_token": "acting-token-1", "web_read_token": "reading-token-1"})
        acting, reading = ({"Authorization": f"Bearer {token}"} for token in ("acting-token-1", "reading-token-1"))
        renewal = {"HX_Request": "true"}
        add_score(database, "fail", NOW - 5, service="first")
        assert "second" not in web.get("/", **acting, **renewal).text
        add_score(database, "fail", NOW - 5, service="second")
        named = {"Cookie": "qualitrace_reader=Ada"}
        assert "second" not in web.get("/", **acting, **named, **renewal).text  # this page shows nobody's name
        assert "second" in web.get("/", **acting).text
        assert "second" not in web.get("/", **acting, **renewal).text
        assert "second" in web.get("/", **reading, **renewal).text
        assert "second" in web.get("/?service=s", **acting, **renewal).text


class TestFrame:
    def test_without_a_server_the_command_is_shown(self, open_web: OpenWeb) -> None:
        """With a database as tracking URI the page shows how to start MLflow's pages, without the password."""
        page = open_web(mlflow={"tracking_uri": "postgresql://q:hunter2@127.0.0.1/mlflow"}).get("/").text
        assert "mlflow ui --backend-store-uri postgresql://127.0.0.1/mlflow" in page
        assert "hunter2" not in page

    def test_firing_alerts_are_counted(self, database: Database, add_score: AddScore, open_web: OpenWeb) -> None:
        """In the title, which a tab shows, and at the end of each page."""
        for _ in range(30):
            add_score(database, "fail", NOW - 5)
        web = open_web(alerts=[{"name": "z-low", "judge": "groundedness", "when": "pass_rate < 0.9"}])
        web.alerts.evaluate(NOW)
        page = web.get("/").text
        assert "<title>(1 firing) Now" in page
        assert "1 alert firing" in page
