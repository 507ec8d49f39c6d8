"""Runs deploy/compose.yaml without containers: each service is a process of this machine, from the same files.

`python -m support.stack [--story]`
"""

import argparse
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Generator, Iterable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from qualitrace_monitors.demo.parts import child, log_tail
from qualitrace_monitors.server.child_process import ChildProcess
from support import plain_http
from support.compose import COMPOSE, Translation
from support.ports import free_port
from support.postgres import running_postgres
from support.serving import total

START_SECONDS = 180.0


class Stack:
    """The running services: their processes by name, and where they are."""

    def __init__(self, folder: Path, translation: Translation) -> None:
        self.folder, self.translation = folder, translation
        self.processes: dict[str, ChildProcess] = {}

    def url(self, port: int) -> str:
        """Return where the service is whose container has that port."""
        return f"http://127.0.0.1:{self.translation.ports[port]}"

    def secret(self, name: str) -> str:
        """Return a secret."""
        return (self.folder / "secrets" / name).read_text()

    def sample(self, name: str, **labels: str) -> float:
        """Return the sum of qualitrace's samples of that name with at least these labels; 0 if there are none."""
        authorization = {"authorization": f"Bearer {self.secret('web_token')}"}
        return total(
            plain_http.get(f"{self.url(9464)}/metrics", headers=authorization, timeout=10).text, name, **labels
        )

    def log(self, name: str) -> str:
        """Return what a service wrote to its standard output and error."""
        return (self.folder / f"{name}.log").read_text(errors="replace")


@contextmanager
def running_stack(translation: Translation, folder: Path, without: Iterable[str] = ("grafana",)) -> Generator[Stack]:
    """Start every service in order, each when those that it depends on are healthy; stop them at the end.

    Args:
        without: services that this machine has no program for.
    """
    stack = Stack(folder, translation)
    folder.mkdir(parents=True)
    subprocess.run([COMPOSE.parent / "make-secrets", folder / "secrets"], check=True)
    with ExitStack() as stops:
        for name, service in translation.services.items():
            if name in without:
                continue
            for other in service.get("depends_on", {}):
                _wait_until_healthy(stack, other)
            if service["image"].startswith("postgres:"):
                own = service["environment"]
                port, password = translation.ports[5432], stack.secret("postgres_password")
                stops.enter_context(running_postgres(port, own["POSTGRES_USER"], password, own["POSTGRES_DB"]))
                continue
            translation.mount(name)
            log = folder / f"{name}.log"
            process = child(name, translation.command(name), log, **translation.environment(name))
            stack.processes[name] = stops.enter_context(process)
        for name in stack.processes:
            _wait_until_healthy(stack, name)
        yield stack


def _wait_until_healthy(stack: Stack, name: str) -> None:
    check, environment = stack.translation.health_check(name), os.environ | stack.translation.environment(name)
    process, deadline = stack.processes.get(name), time.monotonic() + START_SECONDS
    while True:
        healthy = not check or subprocess.run(check, env=environment, capture_output=True, check=False).returncode == 0
        # It may have ended, and another's server may answer at its port.
        ended = process is not None and process.exit_code is not None
        if ended or (not healthy and time.monotonic() > deadline):
            raise SystemExit(f"{name} {'ended' if ended else 'is not healthy'}\n{log_tail(process) if process else ''}")
        if healthy:
            return
        time.sleep(0.5)


def _refuse_used_ports(translation: Translation) -> None:
    for port in translation.ports.values():
        try:
            socket.create_server(("127.0.0.1", port)).close()
        except OSError:
            raise SystemExit(f"port {port} is in use: end what listens there (ss -ltnp shows it)") from None


def addresses(stack: Stack) -> Iterator[str]:
    """Yield a line for each port that compose.yaml publishes."""
    for name, service in stack.translation.services.items():
        for published in service.get("ports", ()) if name in stack.processes else ():
            yield f"{name:14}{stack.url(int(published.rpartition(':')[2]))}"


def main() -> None:
    """Run it until Ctrl-C, or until the story has ended."""
    parser = argparse.ArgumentParser(description="Run deploy/compose.yaml as processes of this machine.")
    parser.add_argument("--story", action="store_true", help="drive an incident through it, print its times, and end")
    parser.add_argument(
        "--folder", type=Path, default=Path("build/stack").resolve(), help="made anew (default: build/stack)"
    )
    options = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda number, _: sys.exit(128 + number))
    shutil.rmtree(options.folder, ignore_errors=True)
    print(f"starting; logs are in {options.folder}; without grafana, which has no package here", flush=True)
    try:
        # Nobody has to know the addresses of a story, which so may run beside anything.
        translation = Translation(options.folder, (lambda _: free_port()) if options.story else int)
        _refuse_used_ports(translation)
        with running_stack(translation, options.folder) as stack:
            print(*addresses(stack), f"web token     {options.folder}/secrets/web_token", sep="\n", flush=True)
            if options.story:
                from support.incident import play

                play(stack)
            else:
                print("Ctrl-C ends it", flush=True)
                signal.pause()
    except KeyboardInterrupt:
        print("stopped")


if __name__ == "__main__":
    main()
