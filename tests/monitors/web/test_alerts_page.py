"""The pages of alerts: where each rule stands, what fired, who was notified, and what a reader may try."""

import json
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from playwright.sync_api import expect

from qualitrace_collector.state import Database
from qualitrace_monitors.alerts.settings import AlertRule
from qualitrace_monitors.backtest.job import BacktestFailed, report_by_process
from qualitrace_monitors.notify.delivery import Notifier
from qualitrace_monitors.notify.outbox import Outbox
from qualitrace_monitors.web import trials
from support import plain_http
from support.browser import Window
from support.ports import free_port
from support.waiting import eventually
from support.web import NOW, WebStand
from support.webhooks import WebhookReceiver

OpenWeb = Callable[..., WebStand]
AddScores = Callable[..., None]
RULE = {"name": "low", "judge": "groundedness", "when": "pass_rate < 0.9", "notify": ["ops"]}


def fall(database: Database, add_scores: AddScores, service: str = "shop") -> None:
    """Add enough failing answers that the rule fires at once."""
    add_scores(database, [False] * 30, NOW - 5, service=service)


class TestStates:
    def test_without_rules_it_says_so(self, web: WebStand) -> None:
        """And does not look as if all were well."""
        assert "No alert rule is configured" in web.get("/alerts").text

    def test_what_fires_comes_first_and_can_be_asked_for_alone(
        self, database: Database, add_scores: AddScores, open_web: OpenWeb
    ) -> None:
        """By rule, service and state."""
        add_scores(database, [True] * 30, NOW - 5, service="bank")
        fall(database, add_scores)
        web = open_web(
            alerts=[{**RULE, "notify": []}, {**RULE, "name": "a-high", "when": "pass_rate > 0.99", "notify": []}]
        )
        web.alerts.evaluate(NOW)
        page = web.get("/alerts").text.partition("What fired")[0]
        assert page.index('state firing">firing') < page.index('state inactive">inactive')
        assert ">shop</a>" not in web.get("/alerts?state=firing&service=bank").text
        assert ">bank</a>" in web.get("/alerts?service=bank").text
        assert ">bank</a>" not in web.get("/alerts?rule=low&state=firing").text

    @pytest.mark.parametrize("query", ["state=bad", "before=x", "before=-1", f"before={'9' * 40}", "before=²"])
    def test_what_cannot_be_read_is_named(self, web: WebStand, query: str) -> None:
        """With the parameter."""
        answer = web.get(f"/alerts?{query}")
        assert answer.status_code == 400
        assert query.partition("=")[0] + " must be" in answer.text

    def test_many_alerts_have_an_end(self, database: Database, add_scores: AddScores, open_web: OpenWeb) -> None:
        """The rest is counted."""
        for number in range(103):
            add_scores(database, [True], NOW - 5, service=f"s{number:03}")
        web = open_web(alerts=[{**RULE, "notify": []}])
        web.alerts.evaluate(NOW)
        page = web.get("/alerts").text
        assert page.count('data-label="state"') == 100
        assert "3 more are not shown" in page


class TestHistory:
    def test_an_alert_that_nobody_receives_leaves_a_sign(
        self, database: Database, add_scores: AddScores, open_web: OpenWeb
    ) -> None:
        """In the list and on its page."""
        fall(database, add_scores)
        web = open_web(alerts=[{**RULE, "notify": []}])
        web.alerts.evaluate(NOW)
        assert "nobody was notified" in web.get("/alerts").text
        assert "Nobody" in web.get("/alerts/event/1").text

    def test_a_delivery_that_failed_is_shown_with_its_reason(
        self, database: Database, add_scores: AddScores, open_web: OpenWeb
    ) -> None:
        """Beside the text of the firing."""
        fall(database, add_scores)
        receivers = {"ops": {"url": f"http://127.0.0.1:{free_port()}/"}}
        web = open_web(alerts=[RULE], notify=receivers)
        web.alerts.evaluate(NOW)
        Notifier(web.config.notify, database).deliver_next("ops", NOW)
        page = web.get("/alerts/event/1").text
        assert 'delivery failed">failed' in page
        assert "cannot connect" in page or "refused" in page.lower()
        assert json.loads(database.rows("SELECT body FROM outbox")[0]["body"])["alerts"][0]["annotations"]["summary"]
        assert "firing → ops: failed" in web.get("/alerts").text

    @pytest.mark.parametrize("number", ["2", "x", "-1", "9" * 30, "%2F"])
    def test_an_unknown_event_is_not_found(self, web: WebStand, number: str) -> None:
        """Whatever stands in the address."""
        assert web.get(f"/alerts/event/{number}").status_code == 404

    def test_older_events_are_a_page_further(
        self, database: Database, add_scores: AddScores, open_web: OpenWeb
    ) -> None:
        """Each of them is shown once."""
        for number in range(27):
            fall(database, add_scores, f"s{number:02}")
        web = open_web(alerts=[{**RULE, "notify": []}])
        web.alerts.evaluate(NOW)
        first, second = (web.get(f"/alerts{query}").text for query in ("", "?before=3"))
        shown = [[number for number in range(1, 28) if f'alerts/event/{number}"' in page] for page in (first, second)]
        assert shown == [[*range(3, 28)], [1, 2]]
        assert "before=3#history" in first
        assert "Earlier alerts" not in second


class TestReceivers:
    def test_a_reader_sends_a_test(
        self, database: Database, open_web: OpenWeb, webhook_receiver: WebhookReceiver
    ) -> None:
        """The receiver gets a marked notification, and the page says that it took it; nothing waits in the outbox."""
        web = open_web(notify={"ops": {"url": webhook_receiver.url}})
        answer = plain_http.post(f"{web.url}/alerts/test", data={"receiver": "ops"}, follow_redirects=True)
        assert "ops took it" in answer.text
        assert json.loads(webhook_receiver.received[0][1])["alerts"][0]["labels"]["alertname"] == "QualitraceTest"
        assert Outbox(database).waiting() == {}

    def test_a_link_puts_no_words_on_the_page(self, open_web: OpenWeb, webhook_receiver: WebhookReceiver) -> None:
        """Only what this server found out stands there, as it said it."""
        web = open_web(notify={"ops": {"url": webhook_receiver.url}})
        answer = plain_http.post(f"{web.url}/alerts/test", data={"receiver": "ops"})
        address = answer.headers["location"].partition("#")[0].removeprefix("..")
        assert "The test: ops took it." in web.get(address).text
        for forged in (address.replace("tried=ops", "tried=You"), "/alerts?tried=ops+took+it&mark=", "/alerts?tried=é"):
            assert "The test:" not in web.get(forged).text

    def test_who_may_only_read_sends_none(self, open_web: OpenWeb) -> None:
        """There is no button, and a request is refused."""
        hook = f"http://127.0.0.1:{free_port()}/"
        web = open_web(notify={"ops": {"url": hook}}, listen={"web_token": "act", "web_read_token": "read"})
        headers = {"Authorization": "Bearer read"}
        assert "Send a test" not in plain_http.get(f"{web.url}/alerts", headers=headers).text
        assert plain_http.post(f"{web.url}/alerts/test", headers=headers, data={"receiver": "ops"}).status_code == 403

    def test_an_unknown_receiver_is_named(self, web: WebStand) -> None:
        """As are forms that are too large."""
        assert "no receiver named" in plain_http.post(f"{web.url}/alerts/test", data={"receiver": "x"}).text
        assert plain_http.post(f"{web.url}/alerts/test", data={"receiver": "x" * 20_000}).status_code == 400


class TestBacktest:
    def test_a_reader_tries_a_rule_on_the_past(
        self, database: Database, add_scores: AddScores, open_web: OpenWeb
    ) -> None:
        """In a process of its own; its report comes onto the page."""
        now = time.time()
        add_scores(database, [False] * 40, now - 600)
        web = open_web(alerts=[RULE], notify={"ops": {"url": "http://127.0.0.1:9/"}})
        answer = plain_http.post(f"{web.url}/alerts/backtest", data={"rule": "low"}, follow_redirects=True)
        assert "Backtest of low" in answer.text
        page = eventually(lambda: "would have fired" in (text := web.get("/alerts").text) and text, timeout=60)
        assert "shop: would have fired once" in page

    def test_there_is_one_at_a_time(self, open_web: OpenWeb, monkeypatch: pytest.MonkeyPatch) -> None:
        """Another one is refused until the report is there."""
        ended = threading.Event()
        monkeypatch.setattr(trials, "report_by_process", lambda *_: ended.wait() and ["so many lines"] * 200)
        web = open_web(alerts=[RULE], notify={"ops": {"url": "http://127.0.0.1:9/"}})
        for status in (303, 400):
            assert plain_http.post(f"{web.url}/alerts/backtest", data={"rule": "low"}).status_code == status
        assert "It has been running for" in web.get("/alerts").text
        ended.set()
        page = eventually(lambda: "so many lines" in (text := web.get("/alerts").text) and text)
        assert page.count("so many lines") == trials.MOST_LINES

    def test_why_there_is_no_report_is_said(self, web: WebStand, tmp_path: Path) -> None:
        """A file that cannot be read, and a time that is over."""
        rule = AlertRule.model_validate({"name": "low", "judge": "j", "when": "pass_rate < 0.9"})
        with pytest.raises(BacktestFailed, match="ended with code 1"):
            report_by_process(tmp_path / "none.db", [rule], rule, 60, 60)
        with pytest.raises(BacktestFailed, match="longer than"):
            report_by_process(tmp_path / "none.db", [rule], rule, 60, 0.01)
        assert "no rule named" in plain_http.post(f"{web.url}/alerts/backtest", data={"rule": "x"}).text


@pytest.mark.slow
def test_an_alert_appears_on_screen_when_it_fires(
    database: Database, add_scores: AddScores, open_web: OpenWeb, window: Window
) -> None:
    """Without the reader's doing; the pages have no barrier, and the browser no complaint."""
    name = "shop-" + "with-a-long-name" * 12
    web = open_web(alerts=[RULE], notify={"ops": {"url": f"http://127.0.0.1:{free_port()}/"}})
    page = window.page
    page.set_viewport_size({"width": 400, "height": 800})
    page.goto(f"{web.url}/alerts")
    expect(page.get_by_text("No alert has fired.")).to_be_visible()
    fall(database, add_scores, name)
    web.alerts.evaluate(NOW)
    expect(page.locator("#states ~ table .state.firing")).to_be_visible(timeout=30_000)
    assert page.title().startswith("(1 firing)")
    for scheme in ("light", "dark"):
        page.emulate_media(color_scheme=scheme)
        assert window.accessibility_violations() == []
    assert page.evaluate("document.documentElement.scrollWidth") <= 400
    window.picture("alerts")
    page.get_by_role("link", name="low", exact=True).click()
    expect(page.get_by_role("heading", name="What the notification says")).to_be_visible()
    assert window.accessibility_violations() == []
    assert page.evaluate("document.documentElement.scrollWidth") <= 400
    assert window.complaints == []
