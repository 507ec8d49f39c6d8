"""The pages in a real browser: what holds for each of them."""

from collections.abc import Callable

import pytest
from playwright.sync_api import expect

from qualitrace_collector.state import Database, Ledger
from qualitrace_monitors.web.pages.runbook import FILES
from support.browser import Window
from support.web import NOW, WebStand

MALICIOUS = '<img src=x onerror="document.title=1"><script>document.body.remove()</script> made up'
OpenWindow = Callable[..., Window]

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


def test_a_page_says_that_the_server_went_away(web: WebStand, window: Window) -> None:
    """What it shows is old then, and it says how old."""
    window.page.goto(web.url)
    web.server.stop()
    expect(window.page.get_by_text("No answer from qualitrace for")).to_be_visible(timeout=30_000)
