"""What is not ready is reported on /readyz and, once, in the log."""

import logging
import socket

import pytest

from qualitrace_collector.mlflow_store.store import StoreUnavailable
from qualitrace_monitors.server.health import Health


class Store:
    """MLflow as far as health asks it."""

    def __init__(self) -> None:
        self.away = True

    def check(self) -> None:
        if self.away:
            raise StoreUnavailable("http://mlflow:5000: connection refused")


def test_an_outage_of_mlflow_is_logged_once_and_so_is_its_end(caplog: pytest.LogCaptureFixture):
    """Who starts the server with a wrong address reads why it is not ready, without a line each two seconds."""
    store = Store()
    health = Health(store, None)  # type: ignore[arg-type]
    for _ in range(3):
        health.check()
    assert health.problems()[0] == "MLflow is not available: http://mlflow:5000: connection refused"
    store.away = False
    health.check()
    health.check()
    assert caplog.messages == [
        "MLflow is not available: http://mlflow:5000: connection refused; waiting for it",
        "MLflow is available again",
    ]


def test_a_first_answer_is_not_worth_a_line(caplog: pytest.LogCaptureFixture):
    """A start without trouble logs nothing."""
    caplog.set_level(logging.INFO)
    store = Store()
    store.away = False
    Health(store, None).check()  # type: ignore[arg-type]
    assert caplog.messages == []


def test_a_closed_door_is_a_problem_until_it_opens():
    """The OTLP door is tried by a connection."""
    store = Store()
    store.away = False
    with socket.create_server(("127.0.0.1", 0)) as door:
        address = f"127.0.0.1:{door.getsockname()[1]}"
        health = Health(store, address)  # type: ignore[arg-type]
        health.check()
        assert health.problems() == ["starting"]
    health.check()
    assert health.problems() == [f"the OTLP door {address} does not answer: Connection refused", "starting"]
