"""The application that is traced: calls OpenAI's chat completions as often as its standard input says.

It runs in the environment of a tracer, which has neither this project nor its tools.

    python application.py START PROVIDER COLLECTOR DISTRIBUTION

Each line of its standard input is a request in JSON, each line of its standard output the answer. When the input ends,
it ends like any program.
"""

import importlib.metadata
import itertools
import json
import os
import sys
import time
from collections.abc import Callable
from typing import Any, TextIO

import openai
from starts import STARTS

_HANDBOOK = (
    "The warranty of a tent lasts 24 months from the day of purchase. It covers seams, poles and zips.",
    "Returns are free within 30 days if the goods are unused and in their original packaging, shoes excepted.",
    "Parking behind the shop is free for customers on Sundays; on other days the first hour costs nothing.",
    "The workshop repairs tents, rucksacks and stoves. It is closed on Mondays, and takes no orders by telephone.",
)
_SYSTEM = "You are the assistant of an outdoor shop. Answer from these passages only:\n\n" + "\n\n".join(_HANDBOOK)
_QUESTION = "How long does the warranty of tent number {number} last, what does it cover, and who repairs it?"


def messages(number: int) -> Any:
    """Return a conversation, another one for each number: what remembers texts has no advantage."""
    question = _QUESTION.format(number=number)
    return [{"role": "system", "content": _SYSTEM}, {"role": "user", "content": question}]


def chat(client: openai.OpenAI, number: int) -> None:
    """Ask for an answer as a whole."""
    client.chat.completions.create(model="assistant", messages=messages(number))


def stream(client: openai.OpenAI, number: int) -> None:
    """Ask for an answer as a stream, and read it."""
    options: Any = {"include_usage": True}
    for _ in client.chat.completions.create(
        model="assistant", messages=messages(number), stream=True, stream_options=options
    ):
        pass


WORK: dict[str, Callable[[openai.OpenAI, int], None]] = {"chat": chat, "stream": stream}


def _private_output() -> TextIO:
    """Return standard output for the answers alone: what tracers print goes to standard error."""
    answers = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(2, 1)
    return answers


def main() -> None:
    """Start the tracer, and work."""
    start, provider, collector, distribution = sys.argv[1:]
    answers = _private_output()
    wall, cpu = time.perf_counter(), time.process_time()
    flush = STARTS[start](collector)
    started: dict[str, Any] = {"cpu": time.process_time() - cpu, "seconds": time.perf_counter() - wall}
    print(json.dumps(started | {"version": importlib.metadata.version(distribution)}), file=answers)
    client = openai.OpenAI(base_url=provider, api_key="k", max_retries=0)
    numbers = itertools.count()
    for line in sys.stdin:
        request = json.loads(line)
        work = WORK[request["work"]]
        cpu = time.process_time()
        for _ in range(request["calls"]):
            work(client, next(numbers))
        if request["flush"]:
            flush()
        print(json.dumps({"cpu": time.process_time() - cpu}), file=answers)


if __name__ == "__main__":
    main()
