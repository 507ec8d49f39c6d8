"""How the parts of the `work` process are put together."""

import threading
import time
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any

import pytest

from qualitrace_collector.config import parse_config
from qualitrace_collector.sample import Sample
from qualitrace_collector.state import JudgeQueue, JudgeTask
from qualitrace_monitors.config import Config
from qualitrace_monitors.notify.outbox import Outbox
from qualitrace_monitors.server.services import Services
from support.listening import listening
from support.ports import free_port
from support.waiting import eventually


def test_alerts_do_not_carry_mlflows_password(tmp_path: Path):
    """The addresses of traces in notifications are those of MLflow without the credentials of the tracking URI."""
    config = parse_config(
        {"data_dir": str(tmp_path), "mlflow": {"tracking_uri": "http://user:s3cret@mlflow:5000"}, "judges": []}, Config
    )
    services = Services(config, collect=False, monitor=True)
    assert services._links.trace("tr-1") == "http://mlflow:5000/#/experiments/0/traces/tr-1"


@pytest.mark.parametrize(("window", "kept"), [("1h", 1), ("60d", 2)])
def test_scores_are_kept_for_a_month_or_the_longest_window(
    tmp_path: Path, add_score: Callable[..., str], window: str, kept: int
):
    """The state database does not grow for ever, and no alert rule loses the scores it looks at."""
    rule = {"name": "low", "judge": "relevance", "when": "pass_rate < 0.9", "window": window}
    config = parse_config({"data_dir": str(tmp_path), "judges": ["relevance"], "alerts": [rule]}, Config)
    services = Services(config, collect=False, monitor=True)
    for days in (29, 32):
        add_score(services._database, "pass", time.time() - days * 86_400)
    services._prune(time.time())
    assert services._database.connection().execute("SELECT count(*) FROM score").fetchone()[0] == kept


def test_a_collector_that_starts_leaves_the_monitors_leases(tmp_path: Path):
    """What the monitor beside it is judging is not handed out a second time; a monitor's own restart takes it up."""
    config = parse_config(
        {"data_dir": str(tmp_path), "judges": ["relevance"], "listen": {"web": free_address()}}, Config
    )
    collector = Services(config, collect=True, monitor=False)
    queue, now = JudgeQueue(collector._database), time.time()
    task = JudgeTask(
        trace_id="tr-1",
        judge="other",
        service="shop",
        sample=Sample(inputs="Q?"),
        inclusion_probability=1.0,
        root_ended_at=now,
        completed_at=now,
    )
    with collector._database.transaction() as connection:
        JudgeQueue.put(connection, task)
    assert len(queue.lease(1, now, 60, ["other"])) == 1
    for parts, free in (({"collect": True, "monitor": False}, 0), ({"collect": False, "monitor": True}, 1)):
        services = Services(config, **parts)
        services.start()
        services.stop(time.time() + 5)
        assert len(JudgeQueue(collector._database).lease(1, now, 0, ["other"])) == free


def test_a_receiver_that_hangs_holds_up_no_other(tmp_path: Path, webhook_receiver: Any):
    """While one does not answer, notifications to another arrive, and at a stop those that the end brings."""
    released, asked = threading.Event(), threading.Event()

    class Hanging(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            asked.set()
            released.wait(60)

        def log_message(self, format: str, *args: object) -> None:
            """Keep the test output quiet."""

    with listening(Hanging) as url:
        notify = {"hanging": {"url": url, "timeout": "60s"}, "ops": {"url": webhook_receiver.url}}
        config = parse_config(
            {"data_dir": str(tmp_path), "judges": ["relevance"], "listen": {"web": free_address()}, "notify": notify},
            Config,
        )
        services = Services(config, collect=False, monitor=True)

        def put(receiver: str, body: str) -> None:
            with services._database.transaction() as connection:
                Outbox.put(connection, receiver, body, time.time())

        services.start()
        try:
            put("hanging", "{}")
            assert asked.wait(30)
            put("ops", "while the other hangs")
            eventually(lambda: [body for _, body in webhook_receiver.received] == ["while the other hangs"])
            for loop in services._loops:
                loop.stop(0)
            eventually(lambda: [loop.name for loop in services._loops if loop.alive] == ["delivery:hanging"])
            put("ops", "at the end")
            services.stop(time.time() + 5)
            assert [body for _, body in webhook_receiver.received][1:] == ["at the end"]
        finally:
            released.set()


def free_address() -> str:
    return f"127.0.0.1:{free_port()}"
