"""The pages in a real browser: what holds for each of them."""

import sqlite3
import threading
from collections.abc import Callable

import pytest
from playwright.sync_api import expect

from qualitrace_collector.state import Database, Ledger
from qualitrace_monitors.web.pages.runbook import FILES
from support.browser import Window
from support.web import NOW, WebStand

MALICIOUS = '<img src=x onerror="document.title=1"><script>document.body.remove()</script> made up'
OpenWindow = Callable[..., Window]
RULE = {"name": "low", "judge": "groundedness", "when": "pass_rate < 0.9"}

pytestmark = pytest.mark.slow


@pytest.fixture
def scored(database: Database, add_score: Callable[..., str]) -> None:
    """Store a trace whose answer failed, of a service whose name is markup."""
    add_score(database, "fail", NOW, service=MALICIOUS)
    with database.transaction() as connection:
        Ledger.add(connection, MALICIOUS, "stored")


@pytest.mark.usefixtures("scored")
def test_a_browser_runs_nothing_of_a_name(web: WebStand, window: Window) -> None:
    """It shows the name as text, and has no complaint about the page."""
    window.page.goto(web.url)
    expect(window.page.get_by_text("made up").first).to_be_visible()
    assert window.page.title() == "Now · qualitrace"
    assert window.complaints == []


@pytest.mark.usefixtures("scored")
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_a_page_has_no_barrier(web: WebStand, open_window: OpenWindow, scheme: str) -> None:
    """By axe-core's rules of WCAG 2.2 AA, on a phone, too, where nothing is wider than the screen."""
    for width in (400, 1280):
        window = open_window(width, scheme=scheme)
        window.page.goto(web.url)
        assert window.accessibility_violations() == []
        assert window.page.evaluate("document.documentElement.scrollWidth") <= width


def test_a_runbook_has_no_barrier(web: WebStand, window: Window) -> None:
    """The longest one, whose blocks of commands are reached by keyboard."""
    longest = max(FILES, key=lambda name: FILES[name].stat().st_size)
    window.page.goto(f"{web.url}/runbook/{longest}")
    assert window.accessibility_violations() == []
    assert window.complaints == []


def test_a_page_renews_itself_and_what_is_selected_stays(
    database: Database, add_score: Callable[..., str], web: WebStand, window: Window
) -> None:
    """A score that comes is shown without the reader's doing; selected text stays selected."""
    add_score(database, "fail", NOW, rationale="made up")
    with database.transaction() as connection:
        Ledger.add(connection, "shop", "stored")
    page = window.page
    page.goto(web.url)
    page.get_by_role("heading", level=1).select_text()
    selected = page.evaluate("getSelection().toString()")
    add_score(database, "fail", NOW, rationale="invented", service="another-shop")
    expect(page.get_by_text("another-shop").first).to_be_visible(timeout=30_000)
    assert page.evaluate("getSelection().toString()") == selected != ""
    assert window.complaints == []


@pytest.mark.parametrize("failure", ["gone", "hanging", "failing"])
def test_nothing_looks_as_if_it_were_so_now_while_the_server_does_not_answer(
    database: Database, add_score: Callable[..., str], open_web: Callable[..., WebStand], window: Window, failure: str
) -> None:
    """Within seconds the page says why, of when it is, and no more that nothing is wrong; it recovers by itself."""
    add_score(database, "pass", NOW)
    web, page = open_web(alerts=[RULE]), window.page
    is_wrong, go_on = threading.Event(), threading.Event()

    def look() -> str:
        if is_wrong.is_set():
            if failure == "failing":
                raise sqlite3.OperationalError("database is locked")
            go_on.wait(60)
        return ""

    web.health.add("mlflow", look)
    page.goto(web.url)
    expect(page.get_by_text("Nothing is wrong")).to_be_visible()
    web.server.stop() if failure == "gone" else is_wrong.set()
    notice = page.get_by_role("status").filter(has_text="this page shows what was so at 2027-01-15 08:00:00 UTC")
    expect(notice).to_be_visible(timeout=20_000)
    expect(notice).to_contain_text("database is locked" if failure == "failing" else "No answer from qualitrace")
    expect(page.get_by_text("Nothing is wrong")).to_be_hidden()
    expect(page.get_by_text("no alert firing")).to_be_hidden()
    expect(page).to_have_title("(no answer) Now · qualitrace")
    is_wrong.clear()
    go_on.set()
    web.server.start()
    expect(page.get_by_text("Nothing is wrong")).to_be_visible(timeout=20_000)
    expect(notice).to_be_hidden()
    expect(page).to_have_title("Now · qualitrace")


def test_a_page_of_an_older_version_loads_itself_anew(web: WebStand, window: Window) -> None:
    """After an upgrade the server's page needs its own style and scripts; what a reader began to type is waited for."""
    page = window.page
    page.goto(f"{web.url}/alerts")
    page.evaluate("document.body.dataset.assets = 'older'")
    field = page.get_by_label("Service")
    field.fill("sh")
    with page.expect_response(lambda response: "hx-request" in response.request.headers):
        pass
    expect(field).to_have_value("sh")
    assert page.evaluate("document.body.dataset.assets") == "older"
    field.fill("")
    expect(page.locator("body:not([data-assets=older])")).to_be_visible(timeout=20_000)


def test_the_focus_stays_on_a_link_whose_place_changes(
    database: Database, add_scores: Callable[..., None], web: WebStand, window: Window
) -> None:
    """It would lead to another service, which became the worst, or nowhere."""
    add_scores(database, [True] * 20 + [False], NOW, service="shop")
    page = window.page
    page.goto(web.url)
    page.get_by_role("link", name="shop", exact=True).focus()
    add_scores(database, [True] * 30, NOW - 7200, service="bank")
    add_scores(database, [False] * 30, NOW, service="bank")
    expect(page.locator("tr.service").first).to_contain_text("bank", timeout=30_000)
    assert page.evaluate("document.activeElement.textContent") == "shop"


def test_without_scripts_a_page_claims_nothing_that_needs_them(
    database: Database, add_score: Callable[..., str], web: WebStand, open_window: OpenWindow
) -> None:
    """It is not renewed; where a chart would be it names the table with the same numbers."""
    add_score(database, "fail", NOW)
    page = open_window(scripts=False).page
    page.goto(f"{web.url}/service/shop/judge/groundedness?window=1h")
    expect(page.get_by_text("2027-01-15 08:00:00 UTC").last).to_be_visible()
    expect(page.get_by_text("renewed every")).to_be_hidden()
    expect(page.locator("noscript p")).to_contain_text("their numbers are in the table below")
    expect(page.locator("noscript p")).to_be_visible()


def test_paper_is_white(
    database: Database, add_score: Callable[..., str], web: WebStand, open_window: OpenWindow
) -> None:
    """A page that is printed from a dark screen has dark text: printers leave out backgrounds."""
    add_score(database, "fail", NOW)
    page = open_window(scheme="dark").page
    page.goto(web.url)
    color = "getComputedStyle(document.body).color"
    on_screen = page.evaluate(color)
    page.emulate_media(media="print", color_scheme="dark")
    assert page.evaluate(color) == "rgb(28, 36, 48)" != on_screen
