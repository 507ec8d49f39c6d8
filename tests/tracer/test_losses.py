"""No span is lost while the collector answers, however the process ends; what is lost is counted and said."""

import json
import signal
import sys
import time
from typing import Any

import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceResponse

import qualitrace

# Spans of workers, with an exporter that would send them in a minute if nobody said that the process ends.
WORKERS = """
import multiprocessing, os, sys
from concurrent.futures import ProcessPoolExecutor
import qualitrace
qualitrace.init(service_name="shop", schedule_delay=60)

def work(number):
    with qualitrace.span(f"work {{number}}"): pass

if __name__ == "__main__":
    with qualitrace.span("before"): pass
    qualitrace.flush()  # opens a connection, which children must not share
    context = multiprocessing.get_context(sys.argv[1])
    {body}
"""
WAYS = {
    "Process": """
    workers = [context.Process(target=work, args=(number,)) for number in range(6)]
    for worker in workers: worker.start()
    for worker in workers: worker.join()
    """,
    "Pool": """
    with context.Pool(3) as pool: pool.map(work, range(6)); pool.close(); pool.join()
    """,
    "ProcessPoolExecutor": """
    with ProcessPoolExecutor(3, mp_context=context) as pool: list(pool.map(work, range(6)))
    """,
}


def test_a_fork_waits_for_the_import_of_the_exporter(programs: Any, collector: Any) -> None:
    """A child that is forked meanwhile would wait for ever for the locks of the modules."""
    done = programs.run(
        """
        import importlib.abc, os, sys, threading
        import qualitrace

        class Slow(importlib.abc.MetaPathFinder):
            began = threading.Event()

            def find_spec(self, name, path, target=None):
                if name == "requests" and not self.began.is_set():
                    self.began.set()
                    forked.wait(0.5)  # as long as another import would take; the fork has to wait for it

        forked = threading.Event()
        sys.meta_path.insert(0, Slow())
        qualitrace.init(service_name="shop", schedule_delay=60)
        with qualitrace.span("parent"): pass
        threading.Thread(target=qualitrace.flush).start()
        Slow.began.wait()
        child = os.fork()
        forked.set()
        if child:
            sys.exit(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
        with qualitrace.span("child"): pass
        """,
        QUALITRACE_ENDPOINT=collector.endpoint,
    )
    assert (done.code, done.errors) == (0, "")
    assert sorted(span.name for span in collector.wait(2)) == ["child", "parent"]


@pytest.mark.slow
@pytest.mark.parametrize("method", ["fork", "forkserver", "spawn"])
@pytest.mark.parametrize("way", WAYS)
def test_workers(programs: Any, collector: Any, way: str, method: str) -> None:
    """Worker processes send all their spans, whether their pool ends them or they end by themselves."""
    done = programs.run(WORKERS.format(body=WAYS[way]), method, QUALITRACE_ENDPOINT=collector.endpoint)
    assert (done.code, done.errors) == (0, "")
    expected = ["before", *(f"work {number}" for number in range(6))]
    assert sorted(span.name for span in collector.wait(7)) == sorted(expected)


ENDS = {
    "os._exit": "os._exit(0)",
    "os.execv": "os.execv('/bin/true', ['true'])",
    "os.execvpe": "os.execvpe('true', ['true'], {'PATH': '/bin:/usr/bin'})",
    "a child's os._exit": "spans(10)\nif os.fork(): os.wait()\nelse: spans(10); os._exit(0)",
    "sys.exit in a thread": "threading.Thread(target=sys.exit).start()",
    "a signal while it ends": "atexit.register(os.kill, os.getpid(), signal.SIGHUP); sys.exit()",
    "hangup": "os.kill(os.getpid(), signal.SIGHUP); time.sleep(60)",
    "a handler that is taken back": "signal.signal(signal.SIGHUP, print); signal.signal(signal.SIGHUP, signal.SIG_DFL); "
    "os.kill(os.getpid(), signal.SIGHUP); time.sleep(60)",
    "hangup under nohup": "signal.signal(signal.SIGHUP, signal.SIG_IGN); os.kill(os.getpid(), signal.SIGHUP)",
}


@pytest.mark.parametrize("end", ENDS)
def test_ends(programs: Any, collector: Any, end: str) -> None:
    """Ways to end that skip `atexit` lose no span, and end as they would."""
    code = """
import atexit, os, signal, sys, threading, time, qualitrace
signal.signal(signal.SIGHUP, signal.SIG_DFL)  # tests under nohup inherit that it is ignored
qualitrace.init(schedule_delay=60)
def spans(count):
    for i in range(count):
        with qualitrace.span("step"): pass
"""
    start = "" if "child" in end else "spans(20)\n"
    done = programs.run(code + start + ENDS[end], QUALITRACE_ENDPOINT=collector.endpoint)
    killed = end in ("hangup", "a signal while it ends", "a handler that is taken back")
    assert (done.code, done.errors) == (-signal.SIGHUP if killed else 0, "")
    assert len(collector.wait(20)) == 20


def test_a_signal_waits_for_the_shutdown_it_interrupts(programs: Any, collector: Any) -> None:
    """A pool sends SIGTERM to workers that are about to end by themselves; the spans are sent all the same."""
    collector.answers.clear()
    process = programs.start(
        sys.executable,
        programs.write("""
import qualitrace
qualitrace.init(schedule_delay=60)
with qualitrace.span("step"): pass
print("ends", flush=True)
"""),
        QUALITRACE_ENDPOINT=collector.endpoint,
    )
    process.stdout.readline()
    collector.wait_for_request()
    process.send_signal(signal.SIGTERM)
    collector.answers.set()
    assert programs.finish(process).code == -signal.SIGTERM
    assert [span.name for span in collector.wait(1)] == ["step"]


LOSING = """
import os, sys, time, qualitrace
qualitrace.init(queue_size=100, export_timeout=float(sys.argv[1]))
for i in range(300):
    with qualitrace.span("step"): pass
print(time.time(), flush=True)
"""


def test_a_hanging_collector_is_said_at_exit(programs: Any, collector: Any) -> None:
    """One line says how many spans are lost and why; the exit waits for no export."""
    collector.answers.clear()
    done = programs.run(LOSING, "30", QUALITRACE_ENDPOINT=collector.endpoint)
    assert time.time() - float(done.output) < 20  # a wait for the export alone would be 30 s
    (line,) = [line for line in done.errors.splitlines() if "did not reach" in line]
    assert line.startswith(f"300 of 300 spans did not reach {collector.endpoint}/v1/traces: ")
    counts = [int(part.split()[0]) for part in line.partition("traces: ")[2].split("; ")]
    assert sum(counts) == 300, line
    assert "queue full" in line
    assert "not sent within 2 s at the end" in line


def test_status_counts_what_was_sent_and_refused(tracing: Any, caplog: pytest.LogCaptureFixture) -> None:
    """Answers that are errors, redirects and partial successes are counted as refused, with their reason."""
    partial = ExportTraceServiceResponse()
    partial.partial_success.rejected_spans = 1
    partial.partial_success.error_message = "no room"
    for reply in ((200, b""), (401, b""), (302, b""), (200, partial.SerializeToString())):
        tracing.reply = reply
        for _ in range(3):
            with qualitrace.span("step"):
                pass
        assert qualitrace.flush()
    status = qualitrace.status()
    assert (status.sent, status.refused, status.dropped, status.waiting) == (5, 7, 0, 0)
    assert sorted(status.reasons.values()) == [1, 3, 3]
    assert all(word in str(status) for word in ("401", "302", "no room", "7 of 12 spans")), status
    qualitrace.shutdown()
    assert str(status) in caplog.text


def test_status_counts_what_was_dropped(programs: Any, collector: Any) -> None:
    """Without an answer in time spans are dropped; a forked child counts for itself."""
    done = programs.run(
        """
        import os, qualitrace
        qualitrace.init(endpoint="http://127.0.0.1:9", export_timeout=0.2)
        with qualitrace.span("step"): pass
        qualitrace.flush()
        status = qualitrace.status()
        if os.fork():
            os.wait()
            print(status.sent, status.refused, status.dropped, status.waiting, "ConnectionError" in str(status))
        else:
            print(qualitrace.status().dropped, flush=True)
        """
    )
    assert done.output == "0\n0 0 1 0 True\n", done.errors
    assert done.errors.count("did not reach") == 1


def test_status_without_tracing() -> None:
    """Without `init` nothing is counted."""
    assert qualitrace.status() == type(qualitrace.status())()


@pytest.mark.slow
def test_a_huge_prompt_is_cut_and_costs_nobody_else(tracing: Any) -> None:
    """Of 70 MB the start and the end arrive, JSON stays JSON, and so do the spans of the same batch."""
    huge = "start " + "x" * 70_000_000 + " end"
    messages = [{"role": "user", "parts": [{"type": "text", "content": huge}]}, {"role": "user", "content": "why?"}]
    with qualitrace.span("before"):
        pass
    with qualitrace.span("huge") as span:
        span._span.set_attributes({"plain": huge, "gen_ai.input.messages": json.dumps(messages), "list": [huge]})
        span._span.add_event("log", {"text": huge})
    with qualitrace.span("after"):
        pass
    received = tracing.flushed()
    assert set(received) == {"before", "huge", "after"}
    found = received["huge"]
    assert len(found.attributes["gen_ai.input.messages"]) <= 1 << 20
    first, second = found.json("gen_ai.input.messages")
    for text in (found.attributes["plain"], *found.attributes["list"], first["parts"][0]["content"]):
        assert text.startswith("start x")
        assert text.endswith("x end")
        assert "characters cut" in text
    assert second["content"] == "why?"


def test_large_batches_are_split(tracing: Any) -> None:
    """Spans of 60 MB in all go in requests of 8 MiB at most, smaller ones where the collector says 413."""
    for number in range(60):
        with qualitrace.span(f"step {number}") as span:
            span._span.set_attributes({"text": "x" * 1_000_000})
    assert len(tracing.flushed()) == 60
    assert max(int(headers["Content-Length"]) for headers in tracing.headers) <= 8 << 20
    tracing.largest = 3_000_000
    for number in range(10):
        with qualitrace.span(f"more {number}") as span:
            span._span.set_attributes({"text": "x" * 1_000_000})
    assert len(tracing.flushed()) == 70
    assert qualitrace.status().sent == 70
