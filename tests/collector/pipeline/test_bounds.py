"""Backlogs stay out of memory, batches stay small, and a stored span is never overwritten."""

import re
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import pytest
from mlflow import MlflowClient

from qualitrace_collector.journal import JournalEntry, SqliteJournal
from qualitrace_collector.mlflow_store.store import StoreUnavailable
from qualitrace_collector.pipeline import batch, journal_reader
from qualitrace_collector.state import DeadLetter, Ledger
from support.otlp import span, trace_id
from support.pipeline import Collector, rag
from support.recordings import RECORDINGS


@pytest.mark.slow
def test_an_outage_keeps_the_backlog_out_of_memory(make: Callable[..., Collector], monkeypatch):
    """With MLflow away the journal is read up to `assembly.max_size`, however long it lasts; then it drains."""
    collector = make(assembly={"max_size": "40kB"})
    read: list[int] = []
    journal_read = SqliteJournal.read

    def counting(*arguments: Any) -> list[JournalEntry]:
        entries = journal_read(*arguments)
        read.extend(len(entry.payload) for entry in entries)
        return entries

    def away(*_: Any) -> None:
        raise StoreUnavailable("down")

    monkeypatch.setattr(SqliteJournal, "read", counting)
    monkeypatch.setattr("qualitrace_collector.pipeline.journal_reader.READ_REQUESTS", 1)
    monkeypatch.setattr(collector.store, "save", away)
    for number in range(1, 41):
        collector.send(rag(number, passages=["P" * 2000]))
        collector.now += 0.1
    collector.run(300)
    assert 0 < sum(read) < 45_000
    monkeypatch.undo()
    collector.run(100)
    assert {collector.stored(number) for number in range(1, 41)} == {3}
    assert collector.journal.pending() == (0, 0)
    assert collector.totals()["", "stored"] == 40


def test_a_restart_makes_no_room_for_further_services(make: Callable[..., Collector]):
    """The services of before keep their experiments, and new names are still `other`; a higher limit lets one in."""
    collector = make(mlflow={"max_experiments": 2})
    for number, service in enumerate(("shop", "search", "mail"), 1):
        collector.send(rag(number), service)
    collector.run()
    collector.restart()
    for number, service in enumerate(("chat", "search"), 4):
        collector.send(rag(number), service)
    collector.run()
    assert services_of(collector, (1, 2, 3, 4, 5)) == ["shop", "search", "other", "other", "search"]
    collector.raw["mlflow"]["max_experiments"] = 3
    collector.restart()
    collector.send(rag(6), "mail")
    collector.run()
    assert services_of(collector, [6]) == ["mail"]


def test_a_flood_of_names_leaves_other_tenants_theirs(make: Callable[..., Collector], caplog):
    """Each tenant has a limit of its own; who reaches it is logged once an hour and counted."""
    collector = make(mlflow={"max_experiments": 2})
    for number in range(1, 6):
        collector.send(rag(number), f"flood-{number}", tenant="noisy")
    collector.send(rag(6), "shop", tenant="quiet")
    collector.run()
    assert services_of(collector, range(1, 7)) == ["flood-1", "flood-2", "other", "other", "other", "shop"]
    assert 'qualitrace_names_replaced_total{kind="service"} 3.0' in collector.metrics()
    (warning,) = [record.getMessage() for record in caplog.records if "is called other" in record.getMessage()]
    assert "'flood-3'" in warning
    assert "tenant noisy" in warning


def test_a_name_that_was_not_seen_for_long_makes_room(make: Callable[..., Collector]):
    """Its totals go to `other`, whose counter does not leap. A name in use stays, over a restart too."""
    collector = make(mlflow={"max_experiments": 2, "forget_services_after": "10d"}, judges=[])
    for number, service in enumerate(("old", "shop", "late"), 1):
        collector.send(rag(number), service)
    collector.run()
    collector.now += 9 * 86_400
    collector.send(rag(4), "shop")
    collector.run(90)
    collector.restart()
    collector.now += 2 * 86_400
    collector.run(1)
    collector.send(rag(5), "late")
    collector.send(rag(6), "old")
    collector.run()
    assert services_of(collector, (3, 4, 5, 6)) == ["other", "shop", "late", "other"]
    rows = {row["service"]: (row["total"], row["counted"]) for row in Ledger(collector.database).counters()}
    assert rows == {"shop": (2, 2), "other": (3, 2), "late": (1, 1)}


def test_the_series_of_a_name_that_made_room_end(make: Callable[..., Collector]):
    """Else those of names that come and go would fill Prometheus and the memory."""
    collector = make(mlflow={"forget_services_after": "10d"})
    collector.send(rag(1), "old")
    collector.run()
    assert 'service="old"' in collector.metrics()
    collector.now += 11 * 86_400
    collector.send(rag(2), "shop")
    collector.run(90)
    assert 'service="shop"' in collector.metrics()
    assert 'service="old"' not in collector.metrics()


def test_a_dead_letter_keeps_the_name_of_its_service(make: Callable[..., Collector]):
    """Its replay takes it out of the totals of that service."""
    collector = make(mlflow={"forget_services_after": "10d"})
    letter = DeadLetter(trace_id="tr-1", service="old", error="no", traces=b"", logs=b"", recorded_at=collector.now)
    collector.recorder.keep_letter(letter)
    collector.restart()
    collector.now += 11 * 86_400
    collector.run(1)
    assert [row["service"] for row in Ledger(collector.database).totals()] == ["old"]


def test_a_request_with_many_traces_does_not_hold_up_those_behind_it(make: Callable[..., Collector], monkeypatch):
    """They take turns, also when it alone is larger than the memory for requests; all of it arrives in the end."""
    monkeypatch.setattr(batch, "BULK_BATCH_SPANS", 10)
    monkeypatch.setattr(journal_reader, "BULK_SPANS", 10)
    monkeypatch.setattr(journal_reader, "BULK_BYTES", 1000)
    collector = make(assembly={"max_size": "2kB"})
    collector.send([part for number in range(100, 140) for part in rag(number)])
    collector.run(3)
    collector.send(rag(1))
    collector.run(4)
    assert collector.stored(1) == 3
    assert not collector.stored(139)
    collector.run(10)
    assert {collector.stored(number) for number in range(100, 140)} == {3}
    assert collector.journal.pending() == (0, 0)


def test_a_trace_has_no_more_spans_than_it_may(make: Callable[..., Collector]):
    """Also if they come in many requests, before and after the root is stored; the root and a metric say how many."""
    collector = make(assembly={"max_trace_spans": 4})
    collector.send([*rag(1), *(span(1, number, parent=1) for number in (4, 5, 6))])
    collector.run()
    collector.send([span(1, number, parent=1) for number in (6, 7, 8)])
    collector.send(rag(2))
    collector.run(65)
    assert (collector.stored(1), collector.stored(2)) == (4, 3)
    (root,) = [found for found in collector.store.read("tr-" + trace_id(1).hex()) if not found.parent_id]
    assert root.attributes["qualitrace.spans_left_out"] == "5"
    assert 'qualitrace_spans_left_out_total{service="shop"} 5.0' in collector.metrics()
    assert collector.journal.pending() == (0, 0)


def test_a_trace_is_no_larger_than_it_may(make: Callable[..., Collector]):
    """Over several requests: what comes late counts with what is stored."""
    collector = make(assembly={"max_trace_size": "20kB"})
    collector.send(rag(1, passages=["P " * 4500]))
    collector.run()
    for number in (4, 5):
        collector.send([span(1, number, parent=1, text="x " * 3000)])
        collector.run(65)
    assert collector.stored(1) == 3
    collector.send([span(1, 6, parent=1)])
    collector.run(65)
    assert collector.stored(1) == 4
    assert 'qualitrace_spans_left_out_total{service="shop"} 2.0' in collector.metrics()


def services_of(collector: Collector, numbers: Iterable[int]) -> list[str]:
    """Return the experiments of traces, which are named by their services."""
    client = MlflowClient(collector.store.tracking_uri)
    infos = [client.get_trace("tr-" + trace_id(number).hex()).info for number in numbers]
    return [client.get_experiment(info.experiment_id).name for info in infos]


def test_traces_that_fill_the_memory_are_handed_on_unfinished(make: Callable[..., Collector]):
    """Open traces beyond `assembly.max_size` go to MLflow without their root, so that reading goes on."""
    collector = make(assembly={"max_size": "10kB"})
    for number in range(1, 6):
        collector.send(rag(number, passages=["P" * 4000])[1:])
    collector.send(rag(6))
    collector.run(5)
    assert collector.stored(1) == 2
    assert collector.stored(6) == 3
    for number in range(1, 6):
        collector.send(rag(number)[:1])
    collector.run()
    assert {collector.stored(number) for number in range(1, 7)} == {3}
    assert collector.totals()["relevance", "queued"] == 6


def test_a_large_backlog_is_stored_in_small_batches(make: Callable[..., Collector], monkeypatch):
    """No transaction of MLflow's takes more than 2,000 spans, so one bad trace or a stop holds up little."""
    collector = make()
    save, sizes = collector.store.save, list[int]()

    def counting(traces: list) -> dict[str, Exception]:
        sizes.append(sum(len(trace.stored) for trace in traces))
        return save(traces)

    monkeypatch.setattr(collector.store, "save", counting)
    for number in range(1, 801):
        collector.send(rag(number))
    collector.run()
    assert max(sizes) == 1998
    assert sum(sizes) == 2400


def test_a_backlog_is_assembled_by_the_time_it_arrived(make: Callable[..., Collector], monkeypatch):
    """Spans that came within the quiet period make one trace, even if they are read a minute apart."""
    collector = make()
    save, sizes = collector.store.save, list[int]()

    def counting(traces: list) -> dict[str, Exception]:
        sizes.extend(len(trace.spans) for trace in traces)
        return save(traces)

    monkeypatch.setattr(collector.store, "save", counting)
    monkeypatch.setattr("qualitrace_collector.pipeline.journal_reader.READ_REQUESTS", 1)
    root, retriever, chat = rag(1)
    collector.send([root, chat])
    collector.now += 1
    collector.send([retriever])
    collector.now += 60
    collector.run()
    assert sizes == [3]
    assert {task.sample.passages for task in collector.tasks()} == {("P.",)}


def altered(spans: list) -> list:
    """Return the same spans with other content under the same ids."""
    return [span(1, 1, name="POST /evil"), *rag(1, answer="Evil.")[1:]]


def test_a_stored_span_is_not_overwritten(make: Callable[..., Collector], caplog):
    """Different spans under the ids of stored ones leave MLflow and the judges as they were, counted and logged."""
    collector = make()
    collector.send(rag(1))
    collector.run()
    before = {s.span_id: s.to_dict() for s in collector.store.read("tr-" + trace_id(1).hex())}
    hashes = {task.sample.content_hash for task in collector.tasks()}
    collector.send([*altered(rag(1)), span(1, 9, parent=1, name="late")])
    collector.run()
    after = {s.span_id: s.to_dict() for s in collector.store.read("tr-" + trace_id(1).hex())}
    assert len(after) == 4
    assert {key: after[key] for key in before} == before
    assert {task.sample.content_hash for task in collector.tasks()} == hashes
    assert 'qualitrace_spans_conflicting_total{service="shop"} 2.0' in collector.metrics()
    assert "2 spans left out" in caplog.text
    assert collector.journal.pending()[0] == 0


def test_conflicts_before_storing_are_counted(make: Callable[..., Collector]):
    """Of two different spans with the same ids in one trace the first is stored."""
    collector = make()
    collector.send([*rag(1), *altered(rag(1))])
    collector.run()
    assert {s.name for s in collector.store.read("tr-" + trace_id(1).hex())} == {s.name for s in rag(1)}
    assert 'qualitrace_spans_conflicting_total{service="shop"} 2.0' in collector.metrics()


def test_a_resend_is_no_conflict(make: Callable[..., Collector]):
    """A client that repeats its request, whole or in part, because the answer was lost changes and counts nothing."""
    collector = make()
    collector.send(rag(1))
    collector.run()
    for again in (rag(1), rag(1)[:1], rag(1)[1:]):
        collector.send(again)
        collector.run(65)
    assert collector.stored(1) == 3
    assert 'qualitrace_spans_conflicting_total{service="shop"} 0.0' in collector.metrics()
    assert collector.totals()["relevance", "queued"] == 1
    assert collector.journal.pending()[0] == 0


@pytest.mark.parametrize("recording", RECORDINGS, ids=lambda path: path.name)
def test_a_resend_is_no_conflict_in_any_dialect(make: Callable[..., Collector], recording: Path):
    """What MLflow's translation adds to a span does not make the same span differ from what is stored."""
    collector = make(mlflow={"keep": "all"})
    for _ in range(2):
        payload = recording.read_bytes()
        collector.journal.append([JournalEntry(signal="traces", payload=payload, received_at=collector.now)])
        collector.run(65)
    assert collector.totals()["", "stored"] > 0
    assert set(re.findall(r"qualitrace_spans_conflicting_total\{.*\} (.*)", collector.metrics())) == {"0.0"}
