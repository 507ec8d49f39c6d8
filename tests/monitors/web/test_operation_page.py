"""The page of qualitrace's own state."""

from collections.abc import Callable
from typing import Any

import pytest

from qualitrace_collector.state import Database, DeadLetters, Ledger
from qualitrace_collector.state.dead_letters import DeadLetter
from qualitrace_monitors.notify.outbox import Outbox
from support.browser import Window
from support.web import NOW, WebStand

OpenWeb = Callable[..., WebStand]
LONG = "shop-" + "with-a-long-name-" * 20
SECRETS = {
    "listen": {"web_token": "hidden-a", "web_read_token": "hidden-b"},
    "mlflow": {"tracking_uri": "postgresql://q:hidden-c@127.0.0.1/mlflow"},
    "notify": {"ops": {"url": "http://127.0.0.1:9/?token=hidden-d", "secret": "whsec_" + "aGlk" * 8}},
    "judges": [{"name": "relevance", "model": "openai:/gpt-5-mini", "api_key": "hidden-f"}],
    "budget": {"usd_per_day": 5},
}


@pytest.fixture
def busy(database: Database) -> None:
    """Let everything have something to show."""
    with database.transaction() as connection:
        Ledger.add(connection, LONG, "stored", count=3)
        Ledger.add(connection, LONG, "queued", "safety", 5)
        Ledger.add(connection, LONG, "queued", "safety", -5)
        Ledger.add(connection, LONG, "scored", "safety", 5)
        letter: dict[str, Any] = {"trace_id": "tr-1", "service": LONG, "error": "<b>refused</b> " + "x" * 900}
        DeadLetters.put(connection, DeadLetter(**letter, traces=b"", logs=b"", recorded_at=NOW - 90, tenant=""))
        Outbox.put(connection, "ops", "{}", NOW - 30)
    outbox = Outbox(database)
    if first := outbox.first("ops"):
        outbox.postpone(first, NOW + 60, NOW, "ops answered 500: <b>no</b>", "it answers 500")


@pytest.mark.usefixtures("busy")
class TestPage:
    def test_the_ledger_shows_what_is_the_case_now(self, web: WebStand) -> None:
        """A judgement that was queued and then scored is shown as scored only, and the outcomes add up."""
        judgements = web.get("/operation").text.partition("judgements by")[2]
        assert 'data-label="queued" class="number">0<' in judgements
        assert 'data-label="scored" class="number">5<' in judgements
        assert 'data-label="all" class="number">5<' in judgements

    def test_what_waits_and_what_fails_is_named(self, open_web: OpenWeb) -> None:
        """Components, journal, dead letters, deliveries: with the reason, as text."""
        web = open_web(notify={"ops": {"url": "http://127.0.0.1:9/"}})
        web.health.add("mlflow", lambda: "it cannot be written")
        page = web.get("/operation").text
        assert "it cannot be written" in page
        assert "7 requests" in page
        assert "&lt;b&gt;refused&lt;/b&gt;" in page
        assert "x" * 400 not in page
        assert "ops answered 500: &lt;b&gt;no&lt;/b&gt;" in page
        assert "1, for 30 s" in page

    def test_a_rate_that_a_budget_lowers_says_so(self, database: Database, open_web: OpenWeb) -> None:
        """Beside the configured one."""
        judge = {"name": "relevance", "model": "openai:/gpt-5-mini", "rate": 0.5}
        web = open_web(judges=[judge], budget={"tokens_per_hour": 10})
        with database.transaction() as connection:
            values = ("relevance", int(NOW // 3600), 1, 10, 0.0)
            connection.execute("INSERT INTO spend VALUES (?, ?, ?, ?, ?)", values)
            Ledger.add(connection, "shop", "scored", "relevance")
        page = web.get("/operation").text
        assert '<td data-label="configured rate" class="number">50.0 %</td>' in page
        assert "0 tokens" in page

    def test_no_secret_is_shown(self, open_web: OpenWeb) -> None:
        """Of any section."""
        web = open_web(**SECRETS)
        page = web.get("/operation", Authorization="Bearer hidden-b")
        assert page.status_code == 200
        assert "usd_per_day: 5" in page.text
        assert "hidden-" not in page.text
        assert "aGlk" not in page.text

    @pytest.mark.slow
    def test_it_has_no_barrier(self, open_web: OpenWeb, window: Window) -> None:
        """In light and dark, on a phone, and with the configuration unfolded, which stays so."""
        web = open_web(notify={"ops": {"url": "http://127.0.0.1:9/"}})
        page = window.page
        for width, scheme in ((400, "light"), (1280, "dark")):
            page.set_viewport_size({"width": width, "height": 900})
            page.emulate_media(color_scheme=scheme)  # type: ignore[arg-type]
            page.goto(f"{web.url}/operation")
            page.get_by_text("Show it").click()
            assert window.accessibility_violations() == []
            assert page.evaluate("document.documentElement.scrollWidth") <= width
        window.picture("operation")
        with page.expect_response("**/operation"):
            pass
        page.wait_for_function("!document.querySelector('.htmx-request, .htmx-settling')")
        assert page.get_by_text("data_dir:").is_visible()
        assert window.complaints == []


def test_an_empty_server_has_a_page(web: WebStand) -> None:
    """With nothing to show in it."""
    assert "Nothing seen so far" in web.get("/operation").text
