"""Everything that runs in the demo: the server, the model, the application, the receiver of alerts."""

import json
import os
import secrets
import shutil
import sys
import time
from collections.abc import Callable, Generator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from socket import create_server
from string import Template
from typing import Any

import httpx
from standardwebhooks import Webhook, WebhookVerificationError
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from qualitrace_monitors.demo.llm import model_app
from qualitrace_monitors.server.child_process import ChildProcess
from qualitrace_monitors.web.server import WebServer

CONFIG_NAME, SERVICE = "qualitrace-demo.yaml", "shop-assistant"
START_SECONDS, STOP_SECONDS = 120.0, 15.0  # MLflow makes its tables first, which takes long on a busy machine
_FOREIGN_SETTINGS = ("OTEL_", "QUALITRACE_", "OPENAI_", "MLFLOW_")

OnAlert = Callable[[str, str, str], None]
"""Gets the name of an alert, its status (firing or resolved) and its summary."""


class DemoFailed(Exception):
    """The demo did not show what it is there to show; the message says where and why."""


@dataclass(frozen=True, slots=True)
class RunningParts:
    """The running parts, and where they are; `mlflow_url` is empty if MLflow's pages were not asked for."""

    web_url: str
    otlp_url: str
    app_url: str
    mlflow_url: str
    serve: ChildProcess
    app: ChildProcess

    def request(self, method: str, url: str, **body: Any) -> str:
        """Send `body` as JSON, if there is any, and return the text of the response; raise DemoFailed if it fails."""
        check(self.serve)
        check(self.app)
        try:
            response = httpx.request(method, url, json=body or None, timeout=10, trust_env=False)
            return response.raise_for_status().text
        except httpx.HTTPError as error:
            raise DemoFailed(f"{method} {url} {body or ''} failed: {error}") from error


def make_directory(directory: Path) -> None:
    """Make `directory` anew, with mode 0700; raise DemoFailed if no demo made what is there."""
    if directory.exists():
        if not (directory / CONFIG_NAME).is_file():
            raise DemoFailed(f"{directory} exists and no demo made it: move it away, or start the demo elsewhere.")
        shutil.rmtree(directory)
    directory.mkdir(mode=0o700)


@contextmanager
def start_parts(directory: Path, on_alert: OnAlert, *, mlflow: bool = False) -> Generator[RunningParts]:
    """Start everything, wait until it is ready, and stop it when the block ends.

    Args:
        directory: takes the data, the configuration and the logs.
        on_alert: is called in another thread.
        mlflow: start MLflow's pages, too, which takes longer than all else: nothing waits for them.

    Raises:
        DemoFailed: something did not start; with the end of its log.
    """
    secret = "whsec_" + secrets.token_hex(16)  # hexadecimal digits are base64, which the webhooks' library reads
    qualitrace = [sys.executable, "-m", "qualitrace"]
    with ExitStack() as stack:
        receiver = stack.enter_context(WebServer(receiver_app(secret, on_alert)))
        model = stack.enter_context(WebServer(model_app()))
        otlp_http, otlp_grpc, web, app_port, mlflow_port = _free_ports(5)
        mlflow_url = f"http://127.0.0.1:{mlflow_port}" if mlflow else ""
        template = Template(files("qualitrace_monitors.demo").joinpath("serve.yaml").read_text(encoding="utf-8"))
        settings = {"otlp_http": otlp_http, "otlp_grpc": otlp_grpc, "web": web, "receiver_url": receiver.url}
        settings |= {"model_url": model.url, "mlflow_ui": mlflow_url or "null"}
        # A JSON string is a YAML string, whatever characters the path has.
        text = template.substitute(settings, data_dir=json.dumps(str(directory)))
        (config := directory / CONFIG_NAME).write_text(text)
        serve = child(
            "qualitrace serve",
            [*qualitrace, "serve", "--config", str(config)],
            directory / "serve.log",
            QUALITRACE_DEMO_SECRET=secret,
        )
        app = child(
            "the shop assistant",
            [*qualitrace, "run", "--service-name", SERVICE, sys.executable, "-m", "qualitrace_monitors.demo.app"],
            directory / "app.log",
            QUALITRACE_ENDPOINT=f"http://127.0.0.1:{otlp_http}",
            OPENAI_BASE_URL=f"{model.url}/v1",
            OPENAI_API_KEY="not-needed",
            PORT=str(app_port),
        )
        stack.enter_context(serve)
        stack.enter_context(app)
        wait_for_log(serve, "qualitrace ready")
        wait_for_log(app, "Uvicorn running")
        if mlflow:
            command = [sys.executable, "-m", "mlflow", "server", "--port", str(mlflow_port), "--workers", "1"]
            command += ["--backend-store-uri", f"sqlite:///{directory / 'mlflow.db'}"]
            no_jobs = {
                "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"
            }  # they are eight processes, which SIGTERM does not end
            stack.enter_context(child("MLflow's pages", command, directory / "mlflow.log", **no_jobs))
        web_url, otlp_url, app_url = (f"http://127.0.0.1:{port}" for port in (web, otlp_http, app_port))
        yield RunningParts(web_url, otlp_url, app_url, mlflow_url, serve, app)


def receiver_app(secret: str, on_alert: OnAlert) -> Starlette:
    """Make a receiver of Alertmanager's webhooks (version 4) at `/alerts`, signed by Standard Webhooks.

    It calls `on_alert` for each alert, once per webhook id. It answers 401 to what `secret` did not sign, else 204.
    """
    webhook = Webhook(secret)
    seen: set[str] = set()

    async def receive(request: Request) -> Response:
        try:
            payload: dict[str, Any] = webhook.verify(await request.body(), dict(request.headers))
        except (WebhookVerificationError, ValueError) as error:
            return JSONResponse({"error": f"signature refused: {error}"}, status_code=401)
        if (webhook_id := request.headers["webhook-id"]) not in seen:
            seen.add(webhook_id)
            for alert in payload["alerts"]:
                summary = alert.get("annotations", {}).get("summary", "")
                on_alert(alert["labels"]["alertname"], alert["status"], summary)
        return Response(status_code=204)

    return Starlette(routes=[Route("/alerts", receive, methods=["POST"])])


def child(name: str, command: list[str], log: Path, **settings: str) -> ChildProcess:
    """Make a process that ends with this one, and gets none of the settings that would redirect the demo."""
    kept = {key: value for key, value in os.environ.items() if not key.startswith(_FOREIGN_SETTINGS)}
    own = {"NO_PROXY": "127.0.0.1", "no_proxy": "127.0.0.1", "PYTHONUNBUFFERED": "1"}
    # Linux ends a tied child even if its parent is killed; elsewhere only a clean end stops it.
    setpriv = shutil.which("setpriv") if sys.platform == "linux" else None
    tied = [setpriv, "--pdeathsig", "TERM", "--"] if setpriv else []
    return ChildProcess(name, [*tied, *command], STOP_SECONDS, environment=kept | own | settings, output=log)


def check(process: ChildProcess) -> None:
    """Raise DemoFailed, with the end of the log, if the process has ended."""
    if process.exit_code is not None:
        raise DemoFailed(f"{process.name} ended with status {process.exit_code}.\n{log_tail(process)}")


def wait_for_log(process: ChildProcess, words: str) -> None:
    """Wait until the process logs these words; raise DemoFailed if it ends, or does not do so in time."""
    deadline = time.monotonic() + START_SECONDS
    while words not in log_tail(process):
        check(process)
        if time.monotonic() >= deadline:
            raise DemoFailed(f"{process.name} was not ready within {START_SECONDS:g} s.\n{log_tail(process)}")
        time.sleep(0.1)


def log_tail(process: ChildProcess) -> str:
    """Return where the log of a process is, and its last lines."""
    text = process.output.read_text(encoding="utf-8", errors="replace") if process.output else ""
    return "\n".join([f"{process.output} ends with:", *text.splitlines()[-15:]])


def _free_ports(count: int) -> list[int]:
    """Find `count` different loopback ports that nothing uses."""
    with ExitStack() as stack:
        return [stack.enter_context(create_server(("127.0.0.1", 0))).getsockname()[1] for _ in range(count)]
