"""Beside what is there: an app's own TracerProvider exports as before, whenever it is set, and feeds ours, too."""

import re
import sys
from typing import Any

import pytest

QUALITRACE = (sys.executable, "-m", "qualitrace")

# An app with a provider of its own, as each kind of neighbour has it, set before or after `init`, or under `run`.
APP = """
import sys
from opentelemetry import trace
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
import qualitrace

way, kind = sys.argv[1:]
memory = InMemorySpanExporter()
tracer = trace.get_tracer("theirs")

class Foreign(trace.TracerProvider):  # such as Datadog's: no SDK's, and it takes no processor
    def __init__(self, sdk): self.sdk = sdk
    def get_tracer(self, *args, **kwargs): return self.sdk.get_tracer(*args, **kwargs)

def set_provider():
    sdk = TracerProvider(resource=Resource({"service.name": "theirs"}))
    sdk.add_span_processor(SimpleSpanProcessor(memory))
    provider = {"sdk": sdk, "foreign": Foreign(sdk), "no-op": trace.NoOpTracerProvider()}[kind]
    trace.set_tracer_provider(provider)

if way == "before":
    set_provider()
if way != "run":
    qualitrace.init(service_name="ours")
if way == "after":
    with tracer.start_as_current_span("early"): pass
if way != "before":
    set_provider()
with tracer.start_as_current_span("outer") as outer:
    outer.set_attribute("number", 1)
    outer.add_event("happened")
    with qualitrace.session("s1"), qualitrace.span("inner") as span:
        span.set_inputs("hello")
    with trace.get_tracer("later").start_span("failed") as failed:
        failed.set_status(trace.StatusCode.ERROR, "broken")
for span in memory.get_finished_spans():
    parent = span.parent and f"{span.parent.span_id:016x}"
    print(span.name, f"{span.context.trace_id:032x}", f"{span.context.span_id:016x}", parent, sorted(span.attributes))
"""


@pytest.mark.parametrize("way", ["before", "after", "run"])
@pytest.mark.parametrize("kind", ["sdk", "foreign", "no-op"])
def test_an_apps_own_provider(programs: Any, collector: Any, kind: str, way: str) -> None:
    """Both sides get every span, with the same ids; an ignored service name is said."""
    run = (*QUALITRACE, "run", "--service-name", "ours") if way == "run" else ()
    process = programs.start(
        *run, sys.executable, programs.write(APP), way, kind, QUALITRACE_ENDPOINT=collector.endpoint
    )
    done = programs.finish(process)
    assert done.code == 0, done.errors
    early = ["early"] if way == "after" else []
    here = {span.name: span for span in collector.wait(3 + len(early))}
    assert sorted(here) == sorted(["inner", "failed", "outer", *early])
    outer, inner, failed = here["outer"], here["inner"], here["failed"]
    assert (inner.trace_id, inner.parent_id, failed.parent_id) == (outer.trace_id, outer.span_id, outer.span_id)
    assert (outer.attributes["number"], outer.events, failed.message) == (1, ["happened"], "broken")
    assert (inner.attributes["session.id"], inner.attributes["input.value"]) == ("s1", "hello")
    assert outer.resource["service.name"] == ("theirs" if kind == "sdk" else "ours")
    assert ("service_name=ours is not used" in done.errors) == (kind == "sdk")
    assert len(done.errors.splitlines()) == (kind == "sdk"), done.errors
    there = {line.split()[0]: line.split()[1:] for line in done.output.splitlines()}
    if kind != "no-op":
        assert sorted(there) == ["failed", "inner", "outer"]
        assert {name: (trace, span) for name, (trace, span, *_) in there.items()} == {
            name: (here[name].trace_id, here[name].span_id) for name in there
        }
        assert there["inner"][2] == there["outer"][1]
        assert "input.value" in " ".join(there["inner"])


def test_a_provider_set_twice_is_refused_as_ever(programs: Any, collector: Any) -> None:
    """Only ours steps aside: of two providers of the app the first one stays, as without qualitrace."""
    done = programs.run(
        """
        import qualitrace
        from opentelemetry import trace
        from opentelemetry.sdk.trace import TracerProvider
        qualitrace.init(instrument=())
        first, second = TracerProvider(), TracerProvider()
        trace.set_tracer_provider(first)
        trace.set_tracer_provider(second)
        with qualitrace.span("step"): pass
        print(trace.get_tracer_provider() is first)
        """,
        QUALITRACE_ENDPOINT=collector.endpoint,
    )
    assert done.output == "True\n", done.errors
    assert "Overriding of current TracerProvider is not allowed" in done.errors
    assert len(collector.wait(1)) == 1


def test_processors_that_others_gave_ours_move_along(programs: Any, collector: Any) -> None:
    """A library that has added its processor to our provider goes on getting spans when the app sets its own one."""
    done = programs.run(
        """
        import qualitrace
        from opentelemetry import trace
        from opentelemetry.sdk.trace import TracerProvider
        from opentelemetry.sdk.trace.export import SimpleSpanProcessor
        from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
        qualitrace.init(instrument=())
        memory = InMemorySpanExporter()
        trace.get_tracer_provider().add_span_processor(SimpleSpanProcessor(memory))
        trace.set_tracer_provider(TracerProvider())
        with qualitrace.span("step"): pass
        print([span.name for span in memory.get_finished_spans()])
        """,
        QUALITRACE_ENDPOINT=collector.endpoint,
    )
    assert done.output == "['step']\n", done.errors
    assert len(collector.wait(1)) == 1


def test_run_imports_nothing_heavy_before_the_app(programs: Any, collector: Any) -> None:
    """gevent has to patch first: neither the SDK nor an HTTP client is there when the app starts, nor any thread."""
    program = programs.write(
        """
        import sys, threading
        heavy = ("opentelemetry.sdk", "opentelemetry.exporter", "requests", "urllib3", "google.protobuf")
        print([name for name in sys.modules if name.startswith(heavy)], threading.active_count())
        from qualitrace import span
        with span("step"): pass
        """
    )
    process = programs.start(*QUALITRACE, "run", "--endpoint", collector.endpoint, sys.executable, program)
    done = programs.finish(process)
    assert done.output == "[] 1\n", done.errors
    assert len(collector.wait(1)) == 1


# Each with a value of its own, by which its line is found.
BAD = {
    "OTEL_PYTHON_TRACER_PROVIDER": "nope1",
    "OTEL_PYTHON_METER_PROVIDER": "nope2",
    "OTEL_PROPAGATORS": "nope3",
    "OTEL_ATTRIBUTE_VALUE_LENGTH_LIMIT": "nope4",
    "OTEL_SPAN_EVENT_COUNT_LIMIT": "-5",
    "OTEL_EXPERIMENTAL_RESOURCE_DETECTORS": "nope6",
    "OTEL_PYTHON_EXPORTER_OTLP_HTTP_CREDENTIAL_PROVIDER": "nope7",
    "OTEL_TRACES_EXPORTER": "nope8",
    "OTEL_EXPORTER_OTLP_PROTOCOL": "nope9",
    "OTEL_TRACES_SAMPLER": "nope10",
    "OTEL_EXPORTER_OTLP_COMPRESSION": "nope11",
    "OTEL_EXPORTER_OTLP_TIMEOUT": "nope12",
    "OTEL_BSP_SCHEDULE_DELAY": "nope13",
    "OTEL_SDK_DISABLED": "nope14",
}


@pytest.mark.parametrize("way", ["run", "init"])
def test_bad_values_of_opentelemetrys_variables(programs: Any, collector: Any, way: str) -> None:
    """The app runs and is traced; one line each says what is wrong."""
    start = "import qualitrace; qualitrace.init()\n" if way == "init" else ""
    use = "from opentelemetry import propagate, trace\nwith trace.get_tracer('app').start_as_current_span('step'): pass"
    run = (*QUALITRACE, "run") if way == "run" else ()
    settings = {**BAD, "OTEL_BSP_EXPORT_TIMEOUT": "nope", "QUALITRACE_ENDPOINT": collector.endpoint}
    done = programs.finish(programs.start(*run, sys.executable, programs.write(start + use), **settings))
    assert done.code == 0, done.errors
    assert [span.name for span in collector.wait(1)] == ["step"]
    words = [re.sub(r"[^\w-]", " ", line).split() for line in done.errors.splitlines()]
    assert {name: sum(value in line for line in words) for name, value in BAD.items()} == dict.fromkeys(BAD, 1)
    assert len(words) == len(BAD), done.errors
