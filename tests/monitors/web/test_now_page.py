"""The page Now as a client gets it: problems first, services by badness, and what it says without any."""

from collections.abc import Callable
from dataclasses import replace

import pytest

from qualitrace_collector.state import Database, Ledger
from qualitrace_monitors.notify.outbox import Outbox
from support.web import NOW, WebStand

AddScore = Callable[..., str]
AddScores = Callable[..., None]
OpenWeb = Callable[..., WebStand]
RULE = {"name": "low", "judge": "groundedness", "when": "pass_rate < 0.9"}


@pytest.fixture
def stored(database: Database) -> None:
    """Let the ledger know stored traces."""
    with database.transaction() as connection:
        Ledger.add(connection, "shop", "stored", count=3)


class TestEmpty:
    def test_before_the_first_trace_it_says_what_to_do(self, open_web: OpenWeb) -> None:
        """The configured address, and the command."""
        web = open_web(listen={"otlp_http": "127.0.0.1:14318"})
        web.journal = replace(web.journal, requests=0, oldest_at=None)
        page = web.get("/").text
        assert "No traces yet" in page
        assert "OTEL_EXPORTER_OTLP_ENDPOINT=http://127.0.0.1:14318 qualitrace run python app.py" in page

    def test_without_mlflow_it_says_that_and_not_that_nothing_came(self, web: WebStand) -> None:
        """Requests wait in the journal: an application that sends is not told to begin to."""
        web.health.add("mlflow", lambda: "it does not answer for 30 s")
        page = web.get("/").text
        assert "<strong>MLflow</strong>: it does not answer for 30 s" in page
        assert "7 requests from applications are safe in the journal" in page
        assert "No traces yet" not in page

    @pytest.mark.usefixtures("stored")
    @pytest.mark.parametrize(
        ("config", "said"),
        [
            ({"judges": []}, "No judge is configured"),
            ({"sampling": {"rate": 0}}, "The sampling rate of every judge is 0"),
            ({"sampling": {"rate": 0.02}}, "Judges score 2% of the traces"),
        ],
    )
    def test_traces_without_scores_are_explained(self, open_web: OpenWeb, config: dict[str, object], said: str) -> None:
        """By what the configuration says, before anything else is looked for."""
        page = open_web(**config).get("/").text
        assert "no answer is scored yet" in page
        assert said in page

    @pytest.mark.usefixtures("stored")
    def test_samples_that_wait_are_counted(self, database: Database, web: WebStand) -> None:
        """They come in a moment, so nothing need be changed."""
        with database.transaction() as connection:
            Ledger.add(connection, "shop", "queued", "safety", 12)
        assert "12 samples wait for their judges" in web.get("/").text


class TestProblems:
    @pytest.mark.usefixtures("stored")
    def test_nothing_wrong_is_said_with_the_age_of_what_is_known(
        self, database: Database, add_score: AddScore, open_web: OpenWeb
    ) -> None:
        """And only if there are rules that could have fired."""
        add_score(database, "pass", NOW - 120)
        web = open_web(alerts=[{**RULE, "notify": ["ops"]}], notify={"ops": {"url": "http://127.0.0.1:9/"}})
        page = " ".join(web.get("/").text.split())
        assert "Nothing is wrong</span> that qualitrace knows of: 1 alert rule, none fires" in page
        assert "the last score 2 min ago" in page

    @pytest.mark.usefixtures("stored")
    def test_without_rules_nothing_is_called_well(self, web: WebStand) -> None:
        """Nobody would be told of a fall, so that is what it says."""
        page = web.get("/").text
        assert "no alert rules are configured" in page
        assert "Nothing is wrong" not in page

    @pytest.mark.usefixtures("stored")
    def test_a_firing_alert_comes_before_all_else(
        self, database: Database, add_scores: AddScores, open_web: OpenWeb
    ) -> None:
        """With since when, the rate now and before, what explains it, who was told, and where to go on."""
        web = open_web(alerts=[RULE, {"name": "never", "judge": "groundedness", "when": "pass_rate < 0.01"}])
        add_scores(database, [True] * 200, NOW - 7200, release="1.4.1")
        web.alerts.evaluate(NOW - 7200)
        add_scores(database, [True] * 30, NOW - 60, release="1.4.1")
        add_scores(database, [False] * 40, NOW - 60, release="1.5.0")
        web.alerts.evaluate(NOW)
        web.health.add("mlflow", lambda: "it does not answer")
        page = " ".join(web.get("/").text.split())
        assert 0 < page.index("<strong>low</strong>") < page.index("<strong>MLflow</strong>") < page.index("Services")
        assert "<strong>never" not in page
        assert "pass rate now 42.9 %" in page
        assert "before 100.0 %" in page
        assert "Release 1.5.0 explains" in page
        assert "nobody is notified: the rule has no receiver" in page
        assert 'href="./service/shop/judge/groundedness?from=20' in page
        assert 'href="./alerts/event/1"' in page

    def test_a_receiver_that_takes_nothing_is_named(self, database: Database, open_web: OpenWeb) -> None:
        """With the reason as text, until it took one; a receiver that the configuration no longer has is not."""
        web = open_web(notify={"ops": {"url": "http://127.0.0.1:9/"}})
        outbox = Outbox(database)
        for receiver in ("ops", "former"):
            with database.transaction() as connection:
                Outbox.put(connection, receiver, "{}", NOW - 600)
            if first := outbox.first(receiver):
                outbox.postpone(first, NOW + 60, NOW, f"{receiver} answered 500: <b>no</b>", "it answers 500")
        page = " ".join(web.get("/").text.split())
        assert "<strong>receiver ops</strong>: ops answered 500: &lt;b&gt;no&lt;/b&gt;; 1 waits" in page
        assert "10 min</span>" in page
        assert "former" not in page
        if first := outbox.first("ops"):
            outbox.remove(first, "sent", NOW)
        assert "receiver ops" not in web.get("/").text


@pytest.mark.usefixtures("stored")
class TestServices:
    def test_a_rate_stands_with_its_interval_and_size(
        self, database: Database, add_score: AddScore, web: WebStand
    ) -> None:
        """3 passes of 4 are 75 %, in no bold type: so few say little."""
        for label in ("pass", "pass", "pass", "fail"):
            add_score(database, label, NOW - 60)
        labels = {"judge": "groundedness", "tier": "local", "service": "shop", "window": "1h"}
        lower, upper = (web.sample(f"qualitrace_pass_rate_{end}", **labels) or 0 for end in ("lower", "upper"))
        page = " ".join(web.get("/").text.split())
        assert "75.0 % <span" in page
        assert "<strong>75.0 %" not in page
        assert f"{100 * lower:.1f} % – {100 * upper:.1f} %</span> of 4" in page

    def test_no_pass_rate_is_shown_when_all_is_unsure(
        self, database: Database, add_score: AddScore, web: WebStand
    ) -> None:
        """With unsure scores only, the page says so in place of a number, and draws no line."""
        add_score(database, "unsure", NOW)
        page = web.get("/").text
        assert "all unsure" in page
        assert '<path class="line" d=""/>' in page

    def test_names_are_shown_as_text(self, database: Database, add_score: AddScore, web: WebStand) -> None:
        """Markup in the name of a service comes out escaped, and its address leads to it."""
        add_score(database, "fail", NOW, service='<b>shop/"a"')
        page = web.get("/").text
        assert "&lt;b&gt;shop/&#34;a&#34;" in page
        assert "<b>shop" not in page
        assert 'href="./service/%3Cb%3Eshop%2F%22a%22/judge/groundedness"' in page

    def test_what_is_left_out_is_said_and_found_by_name(
        self, database: Database, add_scores: AddScores, web: WebStand
    ) -> None:
        """Twelve services, five judges of each: the worst; the others by a part of their names."""
        for number in range(15):
            for judge in range(7 if number == 0 else 1):
                add_scores(database, [False] * 15 if number == 0 else [True] * 15, NOW, service=f"s-{number:02}",
                           judge=f"judge-{judge}")  # fmt: skip
        page = web.get("/").text
        assert page.count('<tbody id="service-') == 12
        assert "2 more judges</a>, none of them worse" in page
        assert all(f">s-{number:02}</a></li>" in page for number in (12, 13, 14))
        found = web.get("/?service=S-1").text
        assert found.count('<tbody id="service-') == 5
        assert (
            "No service that was seen in the last day has a name that contains “&lt;x”" in web.get("/?service=<x").text
        )

    def test_a_filter_that_is_too_long_is_refused(self, web: WebStand) -> None:
        """With what it may be."""
        answer = web.get(f"/?service={'x' * 301}")
        assert (answer.status_code, "service must have at most 300 characters" in answer.text) == (400, True)
