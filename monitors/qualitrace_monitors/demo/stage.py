"""Everything that runs in the demo: server, model, application, alert receiver."""

import shutil
import socket
import sys
import time
from collections.abc import Callable, Generator
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import yaml

from qualitrace_monitors.demo.failure import DemoFailed
from qualitrace_monitors.demo.llm import model_app
from qualitrace_monitors.demo.observe import JUDGE, SERVICE, Metrics
from qualitrace_monitors.demo.processes import Child, clean_environment
from qualitrace_monitors.demo.receiver import Alert, new_secret, receiver_app
from qualitrace_monitors.demo.serving import served

ALERT = "groundedness-low"
DOORS: tuple[str, ...] = ("otlp_http", "otlp_grpc", "web")
WINDOW = "15s"
START_SECONDS = 60.0
CONFIG_NAME = "qualitrace-demo.yaml"


@dataclass(slots=True)
class Inbox:
    """What the receiver has heard; other threads only append."""

    alerts: list[Alert] = field(default_factory=list[Alert])

    def last_status(self) -> str:
        """Return the last status of the demo's alert, or nothing."""
        return next((alert.status for alert in reversed(self.alerts) if alert.name == ALERT), "")


@dataclass(frozen=True, slots=True)
class Stage:
    """The running parts, and where they are."""

    web_url: str
    app_url: str
    serve: Child
    app: Child
    inbox: Inbox
    http: httpx.Client

    def check(self) -> None:
        """Raise DemoFailed if a process has ended."""
        self.serve.check()
        self.app.check()

    def metrics(self) -> Metrics:
        """Read /metrics."""
        return Metrics(self._request("GET", f"{self.web_url}/metrics").text)

    def break_retrieval(self, broken: bool) -> None:
        """Break the application's retriever, or mend it."""
        self._request("POST", f"{self.app_url}/admin/retrieval", json={"broken": broken})

    def _request(self, method: str, url: str, json: Any = None) -> httpx.Response:
        try:
            return self.http.request(method, url, json=json).raise_for_status()
        except httpx.HTTPError as error:
            raise DemoFailed(f"{method} {url} failed: {error}") from error


def configuration(directory: Path, ports: dict[str, int], receiver_url: str) -> dict[str, Any]:
    """Make the server's configuration: every trace judged by the local judges, one alert, a heartbeat."""
    return {
        "listen": {door: f"127.0.0.1:{port}" for door, port in ports.items()},
        "data_dir": str(directory),
        "sampling": {"rate": 1.0},
        "alerts": [
            {
                "name": ALERT,
                "judge": JUDGE,
                "when": "pass_rate < 0.8",
                "window": WINDOW,
                "min_samples": 8,
                "for": "2s",
                "notify": ["demo"],
            }
        ],
        "heartbeat": {"interval": "15s", "notify": ["demo"]},
        "notify": {"demo": {"url": receiver_url, "secret": "${env:QUALITRACE_DEMO_SECRET}"}},
    }


@contextmanager
def set_stage(directory: Path, show_alert: Callable[[Alert], None]) -> Generator[Stage]:
    """Start everything, wait until it is ready, and stop it when the block ends.

    Raises:
        DemoFailed: something did not start; with the end of its log.
    """
    inbox, secret = Inbox(), new_secret()

    def on_alert(alert: Alert) -> None:
        inbox.alerts.append(alert)
        show_alert(alert)

    with ExitStack() as stack:
        receiver_url = stack.enter_context(served(receiver_app(secret, on_alert)))
        model_url = stack.enter_context(served(model_app()))
        *server_ports, app_port = free_ports(4)
        ports = dict(zip(DOORS, server_ports, strict=True))
        config = directory / CONFIG_NAME
        config.write_text(yaml.safe_dump(configuration(directory, ports, f"{receiver_url}/alerts")))
        serve = stack.enter_context(_serve(directory, config, secret))
        app = stack.enter_context(_app(directory, ports["otlp_http"], model_url, app_port))
        http = stack.enter_context(httpx.Client(timeout=10, trust_env=False))
        web_url = f"http://127.0.0.1:{ports['web']}"
        serve.wait_until(lambda: _is_ready(http, web_url), START_SECONDS, time.sleep)
        app.wait_until(lambda: is_listening(app_port), START_SECONDS, time.sleep)
        yield Stage(web_url, f"http://127.0.0.1:{app_port}", serve, app, inbox, http)


def _serve(directory: Path, config: Path, secret: str) -> Child:
    command = [sys.executable, "-m", "qualitrace", "serve", "--config", str(config)]
    return Child("qualitrace serve", command, directory / "serve.log", clean_environment(QUALITRACE_DEMO_SECRET=secret))


def _app(directory: Path, otlp_port: int, model_url: str, port: int) -> Child:
    run = [sys.executable, "-m", "qualitrace", "run", "--service-name", SERVICE]
    environment = clean_environment(
        QUALITRACE_ENDPOINT=f"http://127.0.0.1:{otlp_port}",
        OPENAI_BASE_URL=f"{model_url}/v1",
        OPENAI_API_KEY="not-needed",
        PORT=str(port),
    )
    command = [*run, sys.executable, "-m", "qualitrace_monitors.demo.app"]
    return Child("the shop assistant", command, directory / "app.log", environment)


def free_ports(count: int) -> list[int]:
    """Find `count` different loopback ports that nothing uses."""
    with ExitStack() as stack:
        sockets = [stack.enter_context(closing(socket.create_server(("127.0.0.1", 0)))) for _ in range(count)]
        return [listener.getsockname()[1] for listener in sockets]


def _is_ready(http: httpx.Client, web_url: str) -> bool:
    try:
        return http.get(f"{web_url}/readyz").is_success
    except httpx.TransportError:
        return False


def is_listening(port: int) -> bool:
    """Tell whether a server listens on a loopback port; unlike a request it leaves no trace."""
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def make_directory(directory: Path) -> None:
    """Make `directory` anew, with mode 0700; what an earlier demo left there is removed.

    Raises:
        DemoFailed: there is something else of that name.
    """
    if directory.exists():
        if not (directory / CONFIG_NAME).is_file():
            raise DemoFailed(f"{directory} exists and no demo made it: move it away, or start the demo elsewhere.")
        shutil.rmtree(directory)
    directory.mkdir(mode=0o700)
