"""The runbooks as the web port shows them, and the links that lead to them."""

import re
from collections.abc import Callable

import pytest

from qualitrace_collector.state import Database
from qualitrace_monitors.web.pages.runbook import FILES
from support.web import NOW, WebStand

RULES = [
    {"name": "low", "judge": "groundedness", "when": "pass_rate < 0.9"},
    {"name": "own", "judge": "groundedness", "when": "pass_rate < 0.9", "runbook_url": "https://wiki.example/low"},
]


@pytest.mark.parametrize("name", sorted(FILES))
def test_a_page_shows_its_text_and_every_link_in_it_leads_somewhere(web: WebStand, name: str) -> None:
    """Under both names; what the documentation has elsewhere is named instead."""
    answer = web.get(f"/runbook/{name}")
    assert (answer.status_code, answer.text.count("<h1>")) == (200, 1)
    assert web.get(f"/runbook/{name}.md").text == answer.text
    article = re.search(r"<article.*</article>", answer.text, re.DOTALL)
    assert article is not None
    links = re.findall(r'href="([^"#]*)', article[0])
    assert {web.get(f"/runbook/{link}").status_code for link in links if not link.startswith("http")} <= {200}
    assert "](" not in article[0]


@pytest.mark.parametrize("name", ["nowhere", "..%2f..%2fREADME", "%2e%2e", "README.md.md", "down%00"])
def test_nothing_else_is_shown(web: WebStand, name: str) -> None:
    """Not a file of another folder."""
    assert web.get(f"/runbook/{name}").status_code == 404


def test_problems_and_alerts_link_to_their_pages(
    database: Database, add_score: Callable[..., str], open_web: Callable[..., WebStand]
) -> None:
    """On the pages Now and of the alert; a rule's own page stands instead."""
    for _ in range(30):
        add_score(database, "fail", NOW - 5)
    web = open_web(alerts=RULES)
    web.health.add("mlflow", lambda: "it cannot be written")
    web.alerts.evaluate(NOW)
    page = web.get("/").text
    linked = re.findall(r'href="(?:\./)?(runbook/[^"]+|https://wiki[^"]+)"', page)
    assert {*linked} == {"runbook/mlflow", "runbook/quality", "https://wiki.example/low"}
    events = re.findall(r"alerts/event/\d+", page)
    texts = [web.get(f"/{event}").text for event in events]
    assert len(texts) == 2
    assert sum('href="../../runbook/quality"' in text for text in texts) == 1
    assert 'href="./runbook/README"' in web.get("/operation").text
