"""Start and end: never an exception into the app, never a wait for the collector, whatever it does."""

import signal
import socket
import sys
import threading
import time
from collections.abc import Iterator
from typing import Any

import pytest

import qualitrace

# Between the 3 s that an exit may take, and the time of an export that is waited for to its end.
# How long it takes is measured by the benchmark: a busy machine takes longer.
EXIT_SECONDS = 20.0
EXPORT_TIMEOUT = "60"

SPANS = """
import sys, time, qualitrace
qualitrace.init(service_name="shop")
for i in range(1000):
    with qualitrace.span("step"): pass
print(time.time(), flush=True)
"""


@pytest.fixture
def refused() -> Iterator[str]:
    """An endpoint where nobody listens: the port is bound, so that nobody else takes it."""
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        yield f"http://127.0.0.1:{bound.getsockname()[1]}"


def test_exit_exports_what_is_queued(programs: Any, collector: Any) -> None:
    """A program that ends at once loses no span."""
    done = programs.run(SPANS, QUALITRACE_ENDPOINT=collector.endpoint, QUALITRACE_SCHEDULE_DELAY="60")
    assert (done.code, done.errors) == (0, "")
    assert len(collector.wait(1000)) == 1000
    assert collector.received[0].resource["service.name"] == "shop"
    assert set(collector.paths) == {"/v1/traces"}


@pytest.mark.parametrize("way", ["refused", "hanging"])
def test_exit_with_dead_collector(programs: Any, collector: Any, refused: str, way: str) -> None:
    """With spans queued, exit waits for no export whose connection is refused or never answered."""
    collector.answers.clear()
    endpoint = refused if way == "refused" else collector.endpoint
    done = programs.run(SPANS, QUALITRACE_ENDPOINT=endpoint, QUALITRACE_EXPORT_TIMEOUT=EXPORT_TIMEOUT)
    assert done.code == 0, done.errors
    assert time.time() - float(done.output) <= EXIT_SECONDS
    assert "Traceback" not in done.errors
    assert len(done.errors.splitlines()) <= 2  # reported, and no more than that


def test_dead_collector_slows_nothing(programs: Any, collector: Any) -> None:
    """While the collector hangs and the queue overflows, 5,000 spans end without waiting for it."""
    collector.answers.clear()
    done = programs.run(
        """
        import os, time, qualitrace
        qualitrace.init(queue_size=100)
        started = time.monotonic()
        for i in range(5_000):
            with qualitrace.span("step"): pass
        print(time.monotonic() - started, flush=True)
        os._exit(0)
        """,
        QUALITRACE_ENDPOINT=collector.endpoint,
        QUALITRACE_EXPORT_TIMEOUT="30",
    )
    assert float(done.output) < 15, done.errors  # one wait for the collector alone would be 30 s


def test_sigterm_flushes_and_kills(programs: Any, collector: Any) -> None:
    """SIGTERM exports what is queued, and the process still dies by that signal."""
    code = SPANS + "\nwhile True: time.sleep(60)"
    process = programs.start(
        sys.executable,
        programs.write(code),
        QUALITRACE_ENDPOINT=collector.endpoint,
        QUALITRACE_SCHEDULE_DELAY="60",
    )
    process.stdout.readline()
    process.send_signal(signal.SIGTERM)
    assert programs.finish(process).code == -signal.SIGTERM
    assert len(collector.wait(1000)) == 1000


def test_sigterm_with_hanging_collector(programs: Any, collector: Any) -> None:
    """SIGTERM kills although the collector never answers."""
    collector.answers.clear()
    code = SPANS + "\nwhile True: time.sleep(60)"
    process = programs.start(
        sys.executable,
        programs.write(code),
        QUALITRACE_ENDPOINT=collector.endpoint,
        QUALITRACE_EXPORT_TIMEOUT=EXPORT_TIMEOUT,
    )
    process.stdout.readline()
    process.send_signal(signal.SIGTERM)
    done = programs.finish(process)
    assert done.code == -signal.SIGTERM
    assert done.seconds <= EXIT_SECONDS


def test_own_sigterm_handler_is_left_alone(programs: Any, collector: Any) -> None:
    """An app that handles SIGTERM handles it alone, before and after `init`."""
    done = programs.run(
        """
        import os, signal, sys, qualitrace
        def handler(number, frame): sys.exit(7)
        signal.signal(signal.SIGTERM, handler)
        qualitrace.init()
        assert signal.getsignal(signal.SIGTERM) is handler
        os.kill(os.getpid(), signal.SIGTERM)
        """,
        QUALITRACE_ENDPOINT=collector.endpoint,
    )
    assert done.code == 7, done.errors


def test_fork(programs: Any, collector: Any) -> None:
    """Parent and forked child each export their own spans, once."""
    done = programs.run(
        """
        import os, sys, qualitrace
        qualitrace.init(schedule_delay=60)
        with qualitrace.span("before"): pass
        child = os.fork()
        with qualitrace.span("parent" if child else "child"): pass
        if child:
            os.waitpid(child, 0)
        """,
        QUALITRACE_ENDPOINT=collector.endpoint,
    )
    assert done.code == 0, done.errors
    assert sorted(span.name for span in collector.wait(3)) == ["before", "child", "parent"]


def test_init_twice(tracing: Any, caplog: pytest.LogCaptureFixture) -> None:
    """A second `init` warns and changes nothing: each span is exported once."""
    qualitrace.init(endpoint="http://127.0.0.1:1")
    assert "init() was called before" in caplog.text
    with qualitrace.span("once"):
        pass
    tracing.flushed()
    assert [span.name for span in tracing.received] == ["once"]


def test_init_after_shutdown(tracing: Any, caplog: pytest.LogCaptureFixture) -> None:
    """After `shutdown`, which is safe twice, spans go nowhere until `init` starts anew."""
    qualitrace.shutdown()
    qualitrace.shutdown()
    with qualitrace.span("lost"):
        pass
    qualitrace.init(endpoint=tracing.endpoint, instrument=())
    with qualitrace.span("kept"):
        pass
    assert set(tracing.flushed()) == {"kept"}
    assert not caplog.records


def test_without_init() -> None:
    """`flush` and `shutdown` have nothing to do without `init`, and say that it is done."""
    assert qualitrace.flush() is True
    qualitrace.shutdown()


def test_flush_tells_of_timeout(tracing: Any) -> None:
    """`flush` returns False in time when the collector does not answer."""
    tracing.answers.clear()
    with qualitrace.span("step"):
        pass
    started = time.monotonic()
    assert qualitrace.flush(0.2) is False
    assert time.monotonic() - started < 8  # an export may take 10 s
    tracing.answers.set()


def test_flushes_that_wait_share_their_threads(tracing: Any) -> None:
    """An app that flushes at each request, with a collector that hangs, fills no memory with threads."""
    tracing.answers.clear()
    for _ in range(50):
        with qualitrace.span("step"):
            pass
        assert qualitrace.flush(0.001) is False
    assert sum(thread.name == "qualitrace-flush" for thread in threading.enumerate()) <= 2
    tracing.answers.set()
    assert qualitrace.flush(20) is True
    assert len(tracing.received) == 50


def test_app_with_its_own_provider(programs: Any, collector: Any) -> None:
    """An app's own TracerProvider stays in place, with its resource and its exporter, and feeds ours too."""
    done = programs.run(
        """
        from opentelemetry import trace
        from opentelemetry.sdk.resources import Resource
        from opentelemetry.sdk.trace import TracerProvider
        from opentelemetry.sdk.trace.export import SimpleSpanProcessor
        from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
        import qualitrace
        provider, memory = TracerProvider(resource=Resource({"service.name": "theirs"})), InMemorySpanExporter()
        provider.add_span_processor(SimpleSpanProcessor(memory))
        trace.set_tracer_provider(provider)
        qualitrace.init(service_name="ours")
        with qualitrace.session("s1"), qualitrace.span("step"): pass
        print(trace.get_tracer_provider() is provider, [span.name for span in memory.get_finished_spans()])
        """,
        QUALITRACE_ENDPOINT=collector.endpoint,
    )
    assert done.output == "True ['step']\n", done.errors
    (span,) = collector.wait(1)
    assert (span.resource["service.name"], span.attributes["session.id"]) == ("theirs", "s1")


def test_resource_headers_and_environment(programs: Any, collector: Any) -> None:
    """Service, environment and our own name are in the resource, and headers are sent with each export."""
    programs.run(
        SPANS,
        QUALITRACE_ENDPOINT=collector.endpoint,
        QUALITRACE_HEADERS="x-api-key=k1",
        QUALITRACE_ENVIRONMENT="staging",
        OTEL_RESOURCE_ATTRIBUTES="team=search",
    )
    resource = collector.wait(1000)[0].resource
    expected = {"service.name": "shop", "deployment.environment.name": "staging", "team": "search"}
    assert expected.items() <= resource.items()
    assert resource["telemetry.distro.name"] == "qualitrace"
    assert {headers["x-api-key"] for headers in collector.headers} == {"k1"}


def test_head_sampling(programs: Any, collector: Any) -> None:
    """A quarter of the traces is exported, whole, and each span carries its probability (threshold c: 3/4)."""
    done = programs.run(
        """
        import qualitrace
        qualitrace.init(sample_ratio=0.25, queue_size=10_000)
        for i in range(2000):
            with qualitrace.span("outer"), qualitrace.span("inner"): pass
        with qualitrace.span("never") if False else qualitrace.session(): pass
        """,
        QUALITRACE_ENDPOINT=collector.endpoint,
    )
    assert done.code == 0, done.errors
    spans = collector.received
    outer = {span.trace_id for span in spans if span.name == "outer"}
    assert {span.trace_id for span in spans if span.name == "inner"} == outer
    assert 350 < len(outer) < 650  # 500 ± 7.7 standard deviations
    assert {span.trace_state for span in spans} == {"ot=th:c"}


def test_caller_decides_sampling(programs: Any, collector: Any) -> None:
    """A request whose caller sampled it is exported though our own ratio is 0, with the caller's threshold."""
    done = programs.run(
        """
        import qualitrace
        from opentelemetry.context import attach
        from opentelemetry.propagate import extract
        qualitrace.init(sample_ratio=0)
        with qualitrace.span("ours"): pass
        attach(extract({"traceparent": f"00-{1:032x}-{2:016x}-01", "tracestate": "ot=th:8"}))
        with qualitrace.span("theirs"): pass
        """,
        QUALITRACE_ENDPOINT=collector.endpoint,
    )
    assert done.code == 0, done.errors
    (span,) = collector.received
    assert (span.name, span.trace_state, int(span.trace_id, 16)) == ("theirs", "ot=th:8", 1)


def test_dead_collector_is_told_once(tracing: Any, refused: str, caplog: pytest.LogCaptureFixture) -> None:
    """Export after export that fails is one line in the app's log, not one each."""
    qualitrace.shutdown()
    qualitrace.init(endpoint=refused, export_timeout=0.01, instrument=())
    for _ in range(5):
        with qualitrace.span("step"):
            pass
        assert qualitrace.flush()
    assert len([record for record in caplog.records if "exporter" in record.name]) <= 1


def test_disabled(programs: Any, collector: Any) -> None:
    """Switched off, nothing is exported and nothing of the SDK is even imported."""
    code = SPANS + "\nprint('opentelemetry.sdk.trace' in sys.modules)"
    done = programs.run(code, QUALITRACE_ENDPOINT=collector.endpoint, QUALITRACE_ENABLED="false")
    assert done.output.endswith("False\n")
    assert collector.received == []


def test_content_off(tracing: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """With content capture off no input and no output is recorded on our own spans."""
    qualitrace.shutdown()
    qualitrace.init(endpoint=tracing.endpoint, instrument=(), capture="none")
    for kind in ("chain", "retriever", "tool", "agent"):
        with qualitrace.span(kind, kind=kind) as span:
            span.set_inputs("secret")
            span.set_outputs("secret")
            for key in ("http.url", "http.target", "url.full"):
                span.set_attribute(key, "http://127.0.0.1/ask?question=secret")
            span.set_attribute("url.query", "question=secret")
    spans = tracing.flushed()
    assert len(spans) == 4
    assert {span.attributes["url.full"] for span in spans.values()} == {"http://127.0.0.1/ask"}
    assert "secret" not in repr(spans)


def test_a_fork_while_tracing_starts_elsewhere(programs: Any) -> None:
    """A child ends although, at the fork, a thread that it does not have was about to start or end tracing."""
    done = programs.run(
        """
        import os, threading, qualitrace
        from qualitrace.lifecycle import _State
        held, release = threading.Event(), threading.Event()
        def hold():
            with _State.lock:
                held.set()
                release.wait()
        threading.Thread(target=hold).start()
        held.wait()
        child = os.fork()
        if child == 0:
            qualitrace.shutdown()
            os._exit(0)
        _, status = os.waitpid(child, 0)
        release.set()
        print(status)
        """
    )
    assert done.output == "0\n", done.errors
