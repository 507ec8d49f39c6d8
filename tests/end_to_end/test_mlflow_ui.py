"""MLflow's own pages over what a server stored: a real MLflow server, in Chromium, as `docs/how-to/mlflow.md` shows them.

`RECORD_SCREENSHOTS=1` takes that page's pictures again.
"""

import os
import re
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from mlflow import MlflowClient
from playwright.sync_api import Page, expect

from support.browser import chromium
from support.mlflow_server import mlflow_server
from support.otlp import SECOND, chat_span, request, retriever_span, span, trace_id
from support.serving import Server
from support.waiting import eventually

GUIDE = Path(__file__).parents[2] / "docs" / "how-to" / "mlflow.md"
JUDGES = ("faithfulness", "groundedness", "relevance", "safety", "toxicity")
TURNS = (
    ("How long does the warranty of a tent last?", "The warranty of a tent lasts 24 months."),
    ("Is parking behind the shop free on Sundays?", "Parking behind the shop is free for customers on Sundays."),
)
INVENTED = "Our partner Amberjack charges 30 dollars for it."
PASSAGES = ["The warranty of a tent lasts 24 months.", "Parking behind the shop is free for customers on Sundays."]
BROKEN = {number for number in range(1, 25) if number % 6 == 0}
"""The traces whose answers are in no passage."""
CLOSED = {
    "mlflow.assistant.fab.autoOpenedOnFirstLoad_v1": "true",
    "mlflow.assistant.panelOpen_v1": "false",
    "mlflow.detectIssues.guidanceShown_v1": "true",
}
"""What MLflow's pages remember of a visitor who has closed their hints."""


class Ui(NamedTuple):
    """MLflow's pages of an experiment."""

    url: str
    tracking_uri: str
    experiment_id: str


def conversation(number: int) -> Any:
    """Make a trace: a turn of a conversation of two, some hours before now."""
    question, answer = TURNS[number % 2]
    answer = INVENTED if number in BROKEN else answer
    when: Any = {"start": time.time_ns() - (25 - number) * 4 * 3600 * SECOND}
    root = span(
        number, 1, name="answer", seconds=1.5, input__value=question, output__value=answer,
        session__id=f"conversation-{(number + 1) // 2:02}", user__id="ada", **when,
    )  # fmt: skip
    return request(
        [
            root,
            retriever_span(number, 2, 1, query=question, passages=PASSAGES, seconds=0.2, **when),
            chat_span(number, 3, 1, question=question, answer=answer, **when),
        ]
    )


@pytest.fixture(scope="module")
def ui(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Ui]:
    """Serve MLflow over the traces of twelve conversations, and their scores."""
    folder = tmp_path_factory.mktemp("ui")
    with mlflow_server(folder) as url:
        tracking_uri = f"sqlite:///{folder / 'mlflow.db'}"
        server = Server(folder, mlflow={"tracking_uri": tracking_uri}).start()
        try:
            for number in range(1, 25):
                server.send(conversation(number).SerializeToString())
            scored = 24 * len(JUDGES)
            eventually(lambda: server.sample("qualitrace_judgements_total", outcome="scored") == scored, timeout=90)
        finally:
            server.stop()
        experiment = MlflowClient(tracking_uri).get_experiment_by_name("shop")
        assert experiment is not None
        yield Ui(url, tracking_uri, experiment.experiment_id)


@pytest.fixture(scope="module")
def page() -> Iterator[Page]:
    """Open a window of somebody who has closed MLflow's hints."""
    with chromium() as browser:
        context = browser.new_context(viewport={"width": 1400, "height": 760})
        context.add_init_script("".join(f"localStorage.setItem('{k}', '{v}');" for k, v in CLOSED.items()))
        context.set_default_timeout(60_000)
        expect.set_options(timeout=60_000)
        yield context.new_page()


def shown(page: Page, ui: Ui, path: str) -> Page:
    page.goto(f"{ui.url}/#/experiments/{ui.experiment_id}/{path}")
    return page


def picture(page: Page, name: str) -> None:
    if os.environ.get("RECORD_SCREENSHOTS"):
        page.wait_for_timeout(1500)  # charts move in
        page.screenshot(path=GUIDE.parent / f"mlflow-{name}.png")


def test_the_overview_shows_traffic_and_quality(page: Page, ui: Ui):
    """The traces in its first chart, and each judge among its measures of quality."""
    expect(shown(page, ui, "overview/usage").get_by_text("24", exact=True).first).to_be_visible()
    picture(page, "overview")
    shown(page, ui, "overview/quality")
    for judge in JUDGES:
        expect(page.get_by_text(judge, exact=True).first).to_be_visible()
    picture(page, "quality")


def test_sessions_are_shown_as_such(page: Page, ui: Ui):
    """Twelve conversations with their first question and their last answer."""
    shown(page, ui, "traces?groupBy=session")
    expect(page.get_by_text("conversation-12")).to_be_visible()
    expect(page.get_by_text("conversation-01")).to_be_visible()
    picture(page, "sessions")


def test_a_trace_shows_the_verdict_beside_the_score(page: Page, ui: Ui):
    """In the page of assessments: a red fail, and the number that it is of."""
    shown(page, ui, f"traces?traceId=tr-{trace_id(6).hex()}")
    page.locator("button", has_text="Assess").first.click()
    pane = page.get_by_test_id("assessments-pane")
    expect(pane.get_by_text("groundedness.verdict", exact=True)).to_be_visible()
    expect(pane.get_by_text("Fail", exact=True).first).to_be_visible()
    picture(page, "trace")


def test_the_shown_searches_find_what_they_say(ui: Ui):
    """Each filter of the guide's table, by MLflow's client."""
    client = MlflowClient(ui.tracking_uri)
    filters = re.findall(r"^\| ([^|]+) \| `` ?(.+?) ?`` \|", GUIDE.read_text(), re.MULTILINE)
    found = {
        name: {int(trace.info.trace_id[3:], 16) for trace in client.search_traces(
            locations=[ui.experiment_id], filter_string=text, include_spans=False
        )}
        for name, text in filters
    }  # fmt: skip
    assert found == {
        "failed by a judge": BROKEN,
        "below a score": BROKEN,
        "failed, of a user": BROKEN,
        "of a conversation": {5, 6},
        "slow": set(),
        "that ended in an error": set(),
        "with a word in them": BROKEN,
    }
