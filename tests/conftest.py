"""For all tests: MLflow as it runs in our processes, patient property tests, slow marks, a receiver of webhooks."""

import logging
import os
import signal
import sys
import threading
from collections.abc import Generator, Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

from qualitrace_collector import masking
from qualitrace_collector.process.startup import (
    apply_mlflow_settings,
    collect_garbage_seldom,
    without_garbage_collection,
)
from support.webhooks import WebhookReceiver

apply_mlflow_settings()

settings.register_profile("patient", deadline=None, max_examples=50, suppress_health_check=[HealthCheck.too_slow])
settings.register_profile("thorough", settings.get_profile("patient"), max_examples=2000)  # --hypothesis-profile
settings.load_profile("patient")

TESTS = Path(__file__).parent
SLOW_FOLDERS = [TESTS / "end_to_end"]
"""Every test in them starts processes that take seconds."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark the slow tests, and put the files that have some first: the quick ones then keep every worker busy at the end."""
    for item in items:
        if item.path.parent in SLOW_FOLDERS:
            item.add_marker(pytest.mark.slow)
    slow = {item.path for item in items if item.get_closest_marker("slow")}
    items.sort(key=lambda item: item.path not in slow)  # otherwise in the order that there was


@pytest.hookimpl(wrapper=True)
def pytest_collection() -> Generator[None, object, object]:
    """Import the tests as the server's processes import MLflow."""
    with without_garbage_collection():
        done = yield
    collect_garbage_seldom()
    return done


# Where the tests were started in the background, SIGINT is ignored, and each process that they start inherits that:
# none of them could be interrupted.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(scope="module", autouse=True)
def process_of_one_file() -> Iterator[None]:
    """Take back what a file's tests leave in the process, whose other files come in any order.

    That is the secrets, which are hidden in every text of the process, the environment, and how the process logs.
    """
    root, environment = logging.getLogger(), dict(os.environ)
    handlers, factory = [*root.handlers], logging.getLogRecordFactory()
    named = [logger for logger in root.manager.loggerDict.values() if isinstance(logger, logging.Logger)]
    levels = {logger: logger.level for logger in (root, *named)}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(masking, "_given", set[str]())
        patch.setattr(sys, "excepthook", sys.excepthook)
        patch.setattr(threading, "excepthook", threading.excepthook)
        yield
    os.environ.clear()
    os.environ.update(environment)
    root.handlers[:] = handlers
    logging.setLogRecordFactory(factory)
    for logger, level in levels.items():
        logger.setLevel(level)


@pytest.fixture
def webhook_receiver() -> Iterator[WebhookReceiver]:
    """Provide a started receiver of webhooks."""
    receiver = WebhookReceiver()
    receiver.start()
    yield receiver
    receiver.stop()
