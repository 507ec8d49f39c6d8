"""The pages of answers in a real browser: hostile texts, filters with and without script, labels."""

from collections.abc import Callable

import pytest
from playwright.sync_api import Browser, ViewportSize, expect

from qualitrace_collector.person_feedback import PersonFeedback
from qualitrace_collector.sample import Sample
from qualitrace_collector.state import Database, Opinions
from qualitrace_monitors.answers import texts
from support.browser import Window
from support.web import NOW, WebStand

OpenWindow = Callable[..., Window]
AddScore = Callable[..., str]
MARKUP = '<img src=x onerror="document.title=1"><script>document.body.remove()</script>'
HOSTILE = f"{MARKUP} \u202ergb\u202c \x1b[31mred\x1b[0m \x00 \ud83d {{{{ 7*7 }}}} 日本語 {'W' * 100_000}"

pytestmark = pytest.mark.slow


@pytest.fixture
def answers(database: Database, add_score: AddScore) -> list[str]:
    """Write answers of a shop, one of them hostile in all its texts; gives their traces' ids."""
    ids: list[str] = []
    for question, answer, passages, changes in (
        (
            "Can I send a lamp back after five weeks?",
            "Yes. You can return any lamp within 90 days. Write to help@example.com for a label.",
            ("Returns are taken within 30 days.", "Lamps are sent in a padded box."),
            {
                "rationale": "Least supported by the passages: “You can return any lamp within 90 days.” (23% of its "
                "content is in the passages; not found there: 90).",
                "session": "s-1",
                "model": "gpt-4o-mini",
                "release": "1.4.2",
                "route": "POST /ask",
            },
        ),
        (
            HOSTILE,
            HOSTILE,
            (HOSTILE,) * 9,
            {
                "rationale": f"“{MARKUP}” {HOSTILE}",
                "service": "s" * 120,
                "model": HOSTILE[:200],
                "session": HOSTILE[-200:-1],
            },
        ),
    ):
        trace_id = add_score(database, "fail", NOW - len(ids), **_storable(changes))
        add_score(database, "pass", NOW - len(ids), trace_id=trace_id, judge="relevance", tier="llm", cost_usd=0.0002)
        sample = Sample(inputs=question, outputs=answer, passages=passages, metadata={"seconds": "1.2"})
        with database.transaction() as connection:
            texts.keep(connection, trace_id, sample, NOW)
            said = {"trace_id": trace_id, "name": "groundedness", "value": "bad", "user": "Ada", "source": "expert"}
            Opinions.put(connection, PersonFeedback.model_validate(said), NOW)
        ids.append(trace_id)
    return ids


def _storable(changes: dict[str, str]) -> dict[str, str]:
    return {name: text.encode("utf-8", "replace").decode() for name, text in changes.items()}


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_hostile_texts_are_shown_as_texts_without_a_barrier(
    web: WebStand, answers: list[str], open_window: OpenWindow, scheme: str
) -> None:
    """On a phone and a large screen: nothing runs, nothing is wider than the screen, axe-core finds nothing."""
    for width in (400, 1280):
        for path in ("answers", *(f"trace/{trace_id}" for trace_id in answers)):
            window = open_window(width, scheme=scheme)
            window.page.goto(f"{web.url}/{path}")
            assert window.complaints == []
            assert window.page.title().endswith("· qualitrace")
            assert window.page.evaluate("document.documentElement.scrollWidth") <= width
            assert window.accessibility_violations() == []
            if answers[1] in path:
                expect(window.page.get_by_text("<script>").first).to_be_visible()
                assert "{{ 7*7 }}" in window.page.content()


def test_the_sentence_that_failed_is_marked(web: WebStand, answers: list[str], window: Window) -> None:
    """With the name of the judge in words."""
    window.page.goto(f"{web.url}/trace/{answers[0]}")
    expect(window.page.locator("mark")).to_have_text("You can return any lamp within 90 days. ◂ groundedness")
    window.picture("trace")
    window.page.goto(f"{web.url}/answers?text=lamp")
    window.picture("answers")


@pytest.mark.usefixtures("answers")
@pytest.mark.parametrize("scripts", [True, False])
def test_filters_work_with_and_without_script(web: WebStand, browser: Browser, scripts: bool) -> None:
    """The address that results holds them; the fields show them; the next reader finds the same."""
    size = ViewportSize(width=1280, height=900)
    context = browser.new_context(viewport=size, java_script_enabled=scripts)
    page = context.new_page()
    page.goto(f"{web.url}/answers")
    expect(page.get_by_role("article")).to_have_count(2)
    page.get_by_label("Question or answer contains").fill("LAMP")
    page.get_by_role("button", name="Show", exact=True).click()
    expect(page.get_by_role("article")).to_have_count(1)
    assert "text=LAMP" in page.url
    expect(page.get_by_label("Question or answer contains")).to_have_value("LAMP")
    page.get_by_label("Verdict", exact=False).and_(page.get_by_role("combobox")).select_option("unsure")
    if not scripts:
        page.get_by_role("button", name="Show", exact=True).click()
    expect(page.get_by_text("No answer matches")).to_be_visible()
    assert "verdict=unsure" in page.url
    context.close()


@pytest.mark.usefixtures("answers")
def test_the_keyboard_chooses_any_option_of_a_filter(web: WebStand, window: Window) -> None:
    """Those that the arrow keys pass on the way are not chosen, nor is what is left with the tabulator."""
    page = window.page
    page.goto(f"{web.url}/answers")
    verdict = page.get_by_label("Verdict", exact=False).and_(page.get_by_role("combobox"))
    verdict.focus()
    for _ in range(2):
        page.keyboard.press("ArrowDown")
    page.keyboard.press("Tab")
    page.keyboard.type("shop")
    page.keyboard.press("Tab")
    expect(verdict).to_have_value("unsure")
    assert page.url == f"{web.url}/answers"
    page.get_by_label("Service", exact=True).press("Enter")
    page.wait_for_url("**/answers?*verdict=unsure&service=shop*")


def test_an_expert_labels_one_answer_after_the_other(
    web: WebStand, answers: list[str], open_window: OpenWindow
) -> None:
    """The name is asked for once; the page says that the label was taken."""
    window = open_window()
    page = window.page
    page.goto(f"{web.url}/trace/{answers[0]}")
    page.get_by_role("button", name="groundedness: the answer is bad").click()
    assert web.given == []  # the browser asks for the name first
    page.get_by_label("Your name").first.fill("Ada")
    page.get_by_label("Why").first.fill("It is 30 days.")
    page.get_by_role("button", name="groundedness: the answer is bad").click()
    expect(page.get_by_role("status").filter(has_text="was saved")).to_be_visible()
    assert [(given.value, given.user, given.comment) for given in web.given] == [("bad", "Ada", "It is 30 days.")]
    page.goto(f"{web.url}/trace/{answers[1]}")
    page.get_by_role("button", name="relevance: the answer is good").click()
    expect(page.get_by_role("status").filter(has_text="was saved")).to_be_visible()
    page.get_by_role("button", name="Thumbs up").click()
    expect(page.get_by_text("Your label for thumb")).to_be_visible()
    assert [(given.name, given.user) for given in web.given[1:]] == [("relevance", "Ada"), ("thumb", "Ada")]
    assert window.complaints == []
