"""The demo's application as a process of its own, with the demo's model behind it."""

import sys
import time
from collections.abc import Iterator

import httpx
import pytest

from qualitrace_monitors.demo.llm import model_app
from qualitrace_monitors.demo.load import Customers
from qualitrace_monitors.demo.processes import Child, clean_environment
from qualitrace_monitors.demo.serving import served
from qualitrace_monitors.demo.stage import free_ports, is_listening

QUESTION = {"question": "How long is a gift card valid?"}
ANSWER = "A gift card is valid for three years from the day of purchase."


@pytest.fixture(scope="module")
def app(tmp_path_factory: pytest.TempPathFactory) -> Iterator[httpx.Client]:
    """A client of the running shop assistant."""
    [port] = free_ports(1)
    with served(model_app()) as model_url:
        environment = clean_environment(OPENAI_BASE_URL=f"{model_url}/v1", OPENAI_API_KEY="not-needed", PORT=str(port))
        command = [sys.executable, "-m", "qualitrace_monitors.demo.app"]
        log = tmp_path_factory.mktemp("app") / "app.log"
        with (
            Child("the shop assistant", command, log, environment) as child,
            httpx.Client(base_url=f"http://127.0.0.1:{port}", trust_env=False, timeout=20) as client,
        ):
            child.wait_until(lambda: is_listening(port), 60, time.sleep)
            yield client


def test_answers_from_the_handbook(app: httpx.Client) -> None:
    """A question is answered by the model from the passage that the retriever found."""
    reply = app.post("/ask", json=QUESTION).json()
    assert reply["answer"] == ANSWER
    assert ANSWER in reply["passages"][0]


def test_broken_retrieval_gives_made_up_answers_until_it_is_mended(app: httpx.Client) -> None:
    """The switch breaks retrieval, which leads to another answer, and mends it again."""
    assert app.post("/admin/retrieval", json={"broken": True}).json() == {"broken": True}
    broken = app.post("/ask", json=QUESTION).json()
    assert broken["answer"] not in " ".join(broken["passages"])
    assert app.post("/admin/retrieval", json={"broken": False}).json() == {"broken": False}
    assert app.post("/ask", json=QUESTION).json()["answer"] == ANSWER


def test_customers_ask_until_they_leave(app: httpx.Client) -> None:
    """Questions are asked and counted while the block runs, and no more after it."""
    with Customers(str(app.base_url), [QUESTION["question"]], pace=200) as customers:
        deadline = time.monotonic() + 20
        while customers.answered < 3 and time.monotonic() < deadline:
            customers.check()
        customers.leave()
        answered = customers.answered
    customers.check()
    assert customers.answered == answered >= 3
