"""deploy/otelcol/config.yaml. The Collector itself is not run: no registry that the tests use has it."""

from pathlib import Path
from typing import Any

import yaml

from qualitrace_collector.convert.dialects import DIALECTS
from qualitrace_monitors.config import Config

CONFIG: dict[str, Any] = yaml.safe_load((Path(__file__).parents[2] / "deploy" / "otelcol" / "config.yaml").read_text())
TOO_GENERAL = {"span.type", "entity.type"}  # VoltAgent's: other software has attributes of these names, too


def test_pipelines_use_what_is_declared_and_nothing_is_left_over() -> None:
    used: dict[str, set[str]] = {"extensions": set(CONFIG["service"]["extensions"])}
    for pipeline in CONFIG["service"]["pipelines"].values():
        assert pipeline["processors"][0] == "memory_limiter"
        for kind, names in pipeline.items():
            used.setdefault(kind, set()).update(names)
    assert used == {kind: set(CONFIG[kind]) for kind in ("extensions", "receivers", "processors", "exporters")}
    assert CONFIG["service"]["pipelines"].keys() == {"traces", "logs"}


def test_every_library_that_marks_its_spans_is_sent_on() -> None:
    """The attribute that says what kind of span it is, of each dialect that has one."""
    (policy,) = CONFIG["processors"]["tail_sampling"]["policies"]
    named = {condition.split('"')[1] for condition in policy["ottl_condition"]["span"]}
    marks = {mark for dialect in DIALECTS for mark in dialect.types} - TOO_GENERAL
    assert marks <= named


def test_what_is_queued_is_kept_on_disk_and_fits_into_a_request() -> None:
    (exporter,) = CONFIG["exporters"].values()
    queue = exporter["sending_queue"]
    assert queue["storage"] in CONFIG["service"]["extensions"]
    assert exporter["retry_on_failure"]["max_elapsed_time"] == "0s"
    assert queue["batch"]["max_size"] < Config().listen.max_request_size


def test_what_does_not_fit_waits_and_is_not_dropped() -> None:
    """Both parts that hold traces would else drop them after the application was told that they arrived."""
    (exporter,) = CONFIG["exporters"].values()
    assert exporter["sending_queue"]["block_on_overflow"]
    assert CONFIG["processors"]["tail_sampling"]["block_on_overflow"]
