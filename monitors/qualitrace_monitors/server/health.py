"""What `/readyz` reports: MLflow or the OTLP door does not answer, or a thread ended."""

import logging
import socket
from collections.abc import Sequence

from qualitrace_collector.config.values import connect_address
from qualitrace_collector.mlflow_store.store import StoreUnavailable, TraceStore
from qualitrace_collector.process.loop import Loop

CONNECT_SECONDS = 1.0

_log = logging.getLogger(__name__)


class Health:
    """Checks what may block in a background thread, so that `problems` answers at once.

    Args:
        otlp_http: the address that the receive process should listen on; None if this server runs none.
    """

    def __init__(self, store: TraceStore, otlp_http: str | None) -> None:
        self._store = store
        self._otlp_http = otlp_http
        self._loops: Sequence[Loop] = ()
        self._store_problem = "starting: MLflow has not answered yet"
        self._is_away = False
        self._door_problem = "" if otlp_http is None else "starting: the OTLP door was not checked yet"

    def watch(self, loops: Sequence[Loop]) -> None:
        """Report these threads if they end."""
        self._loops = loops

    def check(self) -> None:
        """Check the OTLP door and MLflow, over the network or the disk."""
        self._check_door()
        self.check_store()

    def check_store(self) -> None:
        """Check that MLflow answers; log when it stops and when it answers again."""
        try:
            self._store.check()
        except StoreUnavailable as error:
            self._store_problem = f"MLflow is not available: {error}"
            if not self._is_away:
                _log.warning("%s; waiting for it", self._store_problem)
            self._is_away = True
        else:
            self._store_problem = ""
            if self._is_away:
                _log.warning("MLflow is available again")
            self._is_away = False

    def problems(self) -> list[str]:
        """Return what is not ready, one line each; empty when everything is."""
        dead = [f"the thread {loop.name} ended" for loop in self._loops if not loop.alive]
        found = [self._door_problem, self._store_problem, *dead]
        if not self._loops:
            found.append("starting")
        return [problem for problem in found if problem]

    def _check_door(self) -> None:
        if self._otlp_http is None:
            return
        try:
            socket.create_connection(connect_address(self._otlp_http), CONNECT_SECONDS).close()
        except OSError as error:
            self._door_problem = f"the OTLP door {self._otlp_http} does not answer: {error.strerror or error}"
        else:
            self._door_problem = ""
