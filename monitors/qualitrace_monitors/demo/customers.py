"""Asks the shop assistant one question after the other: `python -m qualitrace_monitors.demo.customers URL`."""

import argparse
import itertools
import sys
import threading

import httpx

from qualitrace_monitors.demo.retrieval import QUESTIONS

TIMEOUT = 10.0


def main() -> None:
    """Ask until the process is ended; an error is a line on standard error, and the next question follows."""
    parser = argparse.ArgumentParser(description="Ask the demo's shop assistant questions.")
    parser.add_argument("url", help="where the application is")
    parser.add_argument("--per-second", type=float, default=2.0, help="questions a second (default: 2)")
    options = parser.parse_args()
    pause = threading.Event()
    with httpx.Client(base_url=options.url, timeout=TIMEOUT, trust_env=False) as client:
        for question in itertools.cycle(QUESTIONS):
            try:
                client.post("/ask", json={"question": question}).raise_for_status()
            except httpx.HTTPError as error:
                print(f"{question} {error}", file=sys.stderr, flush=True)
            pause.wait(1 / options.per_second)


if __name__ == "__main__":
    main()
