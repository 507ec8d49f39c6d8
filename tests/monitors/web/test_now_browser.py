"""The page Now in a real browser; with QUALITRACE_SCREENSHOTS=docs/images its pictures for the documentation."""

from collections.abc import Callable
from dataclasses import replace

import pytest
from playwright.sync_api import expect

from qualitrace_collector.state import Database, Ledger
from qualitrace_collector.state.requests import Request, Requests
from qualitrace_monitors.notify.outbox import Outbox
from support.browser import Window
from support.web import NOW, WebStand

AddScores = Callable[..., None]
OpenWeb = Callable[..., WebStand]
OpenWindow = Callable[..., Window]
LONG = "a-service-of-" + "a-very-long-name-without-any-blank-" * 5

CONFIG = {
    "alerts": [
        {"name": "groundedness-low", "judge": "groundedness", "when": "pass_rate < 0.9", "notify": ["ops"]},
        {"name": "relevance-low", "judge": "relevance", "when": "pass_rate < 0.8", "notify": ["ops"]},
    ],
    "notify": {"ops": {"url": "http://127.0.0.1:9/"}},
}

pytestmark = pytest.mark.slow


@pytest.fixture
def day(database: Database, add_scores: AddScores) -> None:
    """Store a day of two services, one of them with a long name, the last hours of the other before a fall."""
    for hour in range(26, 0, -1):
        at = NOW - hour * 3600 + 60
        add_scores(database, [True] * 19 + [hour % 3 > 0], at, release="1.4.1")
        add_scores(database, [True] * 9 + [hour % 2 > 0], at, judge="relevance")
        add_scores(database, [True] * 4 + [hour % 5 > 0], at, service=LONG)
    with database.transaction() as connection:
        for service, count in (("shop", 520), (LONG, 130)):
            Ledger.add(connection, service, "stored", count=count)
            requests = [
                Request(
                    trace_id=f"tr-{number}", service=service, session="", error=number % 25 == 0,
                    seconds=0.4 + number % 9 / 3, first_token=None, tokens=900, usd=0.002, slices={},
                )
                for number in range(count // 10)
            ]  # fmt: skip
            Requests.put(connection, requests, NOW - 120, one_by_one=False)


def fall(database: Database, add_scores: AddScores, web: WebStand) -> None:
    """Let a new release answer badly, until the alert fires."""
    add_scores(database, [False, False, False, True] * 15, NOW - 60, release="1.5.0")
    web.alerts.evaluate(NOW)


@pytest.mark.usefixtures("day")
def test_an_alert_that_fires_comes_on_screen_by_itself(
    database: Database, add_scores: AddScores, open_web: OpenWeb, window: Window
) -> None:
    """Above the services, with what explains it; nobody has to load the page again."""
    web, page = open_web(**CONFIG), window.page
    web.alerts.evaluate(NOW - 7200)
    page.goto(web.url)
    expect(page.get_by_text("Nothing is wrong")).to_be_visible()
    fall(database, add_scores, web)
    entry = page.locator("li.problem", has_text="groundedness-low")
    expect(entry).to_be_visible(timeout=30_000)
    expect(entry).to_contain_text("Release 1.5.0 explains")
    expect(page).to_have_title("(1 firing) Now · qualitrace")
    expect(page.get_by_text("Nothing is wrong")).to_have_count(0)
    first, services = entry.bounding_box(), page.get_by_role("heading", name="Services").bounding_box()
    assert first
    assert services
    assert first["y"] < min(300, services["y"])
    assert window.complaints == []
    window.picture("now")


@pytest.mark.usefixtures("day")
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_with_problems_it_has_no_barrier_and_nothing_is_wider_than_the_screen(
    database: Database, add_scores: AddScores, open_web: OpenWeb, open_window: OpenWindow, scheme: str
) -> None:
    """A firing alert, a receiver that fails, a judge and MLflow with problems, and a long name, from phone to wall."""
    web = open_web(**CONFIG)
    fall(database, add_scores, web)
    outbox = Outbox(database)
    if first := outbox.first("ops"):
        outbox.postpone(first, NOW + 60, NOW, "127.0.0.1:9 refuses the connection", "it cannot be reached")
    web.health.add("mlflow", lambda: "it does not answer for 40 s")
    web.health.add("judge:relevance", lambda: "its calls fail")
    for width in (400, 1280, 3840):
        window = open_window(width, 1600 if width > 400 else 900, scheme=scheme)
        page = window.page
        page.goto(web.url)
        for name in ("groundedness-low", "receiver ops", "MLflow", "judge relevance"):
            expect(page.locator("li.problem strong", has_text=name)).to_be_visible()
        assert window.accessibility_violations() == []
        assert page.evaluate("document.documentElement.scrollWidth") <= width
        assert window.complaints == []
        if width == 1280:
            window.picture(f"now-problems-{scheme}")


@pytest.mark.parametrize("is_away", [False, True])
def test_without_traces_it_has_no_barrier(open_web: OpenWeb, open_window: OpenWindow, is_away: bool) -> None:
    """The first steps, or that MLflow is away; never the one for the other."""
    web = open_web()
    if is_away:
        web.health.add("mlflow", lambda: "it does not answer")
    else:
        web.journal = replace(web.journal, requests=0, oldest_at=None)
    heading = "No trace is stored yet" if is_away else "No traces yet"
    for scheme in ("light", "dark"):
        window = open_window(400, scheme=scheme)
        window.page.goto(web.url)
        expect(window.page.get_by_role("heading", name=heading)).to_be_visible()
        assert window.accessibility_violations() == []
        assert window.complaints == []
