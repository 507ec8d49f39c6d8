"""Customers: a thread that asks the shop assistant questions at a steady pace."""

import itertools
import threading
from collections.abc import Sequence
from types import TracebackType
from typing import Self

import httpx

from qualitrace_monitors.demo.failure import DemoFailed


class Customers:
    """Asks `questions` in turn, `pace` times a second, while the block runs."""

    def __init__(self, app_url: str, questions: Sequence[str], pace: float) -> None:
        self._client = httpx.Client(base_url=app_url, timeout=10, trust_env=False)
        self._questions = itertools.cycle(questions)
        self._interval = 1 / pace
        self._gone = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self.answered = 0
        self._failures: list[str] = []

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.leave()
        self._client.close()

    def leave(self) -> None:
        """Ask no more; safe twice."""
        self._gone.set()
        self._thread.join()

    def check(self) -> None:
        """Raise DemoFailed if a question was not answered."""
        if self._failures:
            raise DemoFailed(f"{len(self._failures)} questions were not answered, the first is {self._failures[0]}")

    def _run(self) -> None:
        while not self._gone.wait(self._interval):
            self._ask(next(self._questions))

    def _ask(self, question: str) -> None:
        try:
            self._client.post("/ask", json={"question": question}).raise_for_status()
            self.answered += 1
        except httpx.HTTPError as error:
            self._failures.append(f"{question!r}: {error}")
