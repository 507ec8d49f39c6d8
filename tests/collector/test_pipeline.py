"""From the journal to MLflow and the judges' queue, over crashes, outages and late spans."""

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from prometheus_client import CollectorRegistry, generate_latest

from qualitrace_collector.config.load import parse_config
from qualitrace_collector.journal import JournalEntry, SqliteJournal
from qualitrace_collector.letters import replay
from qualitrace_collector.measure import TraceMetrics
from qualitrace_collector.pipeline import Pipeline
from qualitrace_collector.record import Recorder
from qualitrace_collector.state import Database, DeadLetters, JudgeQueue, JudgeTask, Ledger, ledger, queue
from qualitrace_collector.store import StoreUnavailable
from support.mlflow_db import new_store
from support.otlp import REMOTE_PARENT, chat_span, rag_trace, request, span, trace_id

RECORDINGS = sorted((Path(__file__).parent / "recordings").glob("*.otlp.pb"))


@dataclass
class Collector:
    """A pipeline on real databases in a folder, with a clock of its own; `restart` is a crash."""

    folder: Path
    raw: dict[str, Any]
    now: float = 1_700_000_100.0
    registry: CollectorRegistry = field(default_factory=CollectorRegistry)

    def __post_init__(self) -> None:
        self.store = new_store(self.folder)
        self.restart()

    def restart(self) -> None:
        config = parse_config(self.raw)
        self.registry = CollectorRegistry()
        self.database = Database(self.folder / "state.db", (*ledger.SCHEMA, *queue.SCHEMA))
        self.journal = SqliteJournal(self.folder / "journal.db", 1 << 30)
        recorder = Recorder(config, self.database, TraceMetrics(self.registry))
        self.pipeline = Pipeline(
            config, self.journal, self.store, Ledger(self.database), recorder, clock=lambda: self.now
        )

    def send(self, spans: list, service: str = "shop") -> None:
        payload = request(spans, service).SerializeToString()
        self.journal.append([JournalEntry(signal="traces", payload=payload, received_at=self.now)])

    def run(self, seconds: float = 10.0) -> None:
        """Let the given time pass in steps of half a second."""
        for _ in range(int(seconds * 2)):
            self.pipeline.step()
            self.now += 0.5
        self.pipeline.step()

    def stored(self, number: int) -> int:
        return len(self.store.read("tr-" + trace_id(number).hex()))

    def tasks(self) -> list[JudgeTask]:
        return JudgeQueue(self.database).lease(100, self.now + 1e6, 0, ["relevance", "toxicity"])

    def totals(self) -> dict[tuple[str, str], int]:
        return {(row["judge"], row["outcome"]): row["total"] for row in Ledger(self.database).totals()}

    def metrics(self) -> str:
        return generate_latest(self.registry).decode()


@pytest.fixture
def make(tmp_path: Path) -> Callable[..., Collector]:
    def build(**raw: Any) -> Collector:
        return Collector(tmp_path, {"judges": ["relevance", "toxicity"], "sampling": {"rate": 1}} | raw)

    return build


def rag(number: int, **values: Any) -> list:
    return rag_trace(number, **({"question": "Q?", "answer": "A.", "passages": ["P."]} | values))


def test_a_trace_is_stored_queued_measured_and_settled(make: Callable[..., Collector]):
    """The whole way once: MLflow has the spans, each judge a task, the metrics a request, the journal nothing."""
    collector = make()
    collector.send(rag(1))
    collector.run()
    assert collector.stored(1) == 3
    tasks = collector.tasks()
    assert {task.judge for task in tasks} == {"relevance", "toxicity"}
    assert {task.sample.inputs for task in tasks} == {"Q?"}
    assert {task.sample.passages for task in tasks} == {("P.",)}
    assert tasks[0].inclusion_probability == 1.0
    assert collector.totals() == {("", "stored"): 1, ("relevance", "queued"): 1, ("toxicity", "queued"): 1}
    assert 'qualitrace_requests_total{service="shop"} 1.0' in collector.metrics()
    assert 'qualitrace_tokens_total{model="gpt-4o-mini",service="shop",type="input"} 14.0' in collector.metrics()
    assert collector.journal.pending() == (0, 0)


def test_a_crash_before_the_journal_is_settled_repeats_nothing(make: Callable[..., Collector], monkeypatch):
    """Stored and recorded, but not settled: the replay leaves one trace, one task a judge, one count."""
    collector = make()
    collector.send(rag(1))
    monkeypatch.setattr(SqliteJournal, "settle", lambda *_: None)
    collector.run()
    monkeypatch.undo()
    before = {task.judge: task.sample.content_hash for task in collector.tasks()}
    collector.restart()
    assert collector.journal.pending()[0] == 1
    collector.run()
    assert collector.stored(1) == 3
    assert {task.judge: task.sample.content_hash for task in collector.tasks()} == before
    assert collector.totals() == {("", "stored"): 1, ("relevance", "queued"): 1, ("toxicity", "queued"): 1}
    assert collector.journal.pending()[0] == 0


def test_a_crash_between_mlflow_and_the_record_loses_nothing(make: Callable[..., Collector], monkeypatch):
    """Stored in MLflow, but not recorded: after the restart the trace is recorded and queued."""
    collector = make()
    collector.send(rag(1))

    def crash(*_: Any) -> None:
        raise SystemExit

    monkeypatch.setattr(Recorder, "record", crash)
    with pytest.raises(SystemExit):
        collector.run()
    monkeypatch.undo()
    assert collector.stored(1) == 3
    collector.restart()
    collector.run()
    assert collector.stored(1) == 3
    assert len(collector.tasks()) == 2


def test_an_outage_of_mlflow_keeps_everything_in_the_journal(make: Callable[..., Collector], monkeypatch):
    """While MLflow is away nothing is settled or given up; afterwards all is stored."""
    collector = make()

    def away(*_: Any) -> None:
        raise StoreUnavailable("down")

    monkeypatch.setattr(collector.store, "save", away)
    collector.send(rag(1))
    collector.run(300)
    assert collector.journal.pending()[0] == 1
    assert collector.totals() == {}
    assert collector.pipeline.step() == 30.0
    monkeypatch.undo()
    collector.run(60)
    assert collector.stored(1) == 3
    assert collector.journal.pending()[0] == 0


def test_one_request_with_two_traces_is_settled_after_both(make: Callable[..., Collector]):
    """A trace that still runs keeps its request in the journal, so that a crash does not lose its spans."""
    collector = make()
    collector.send([*rag(1), span(2, 2, parent=1, gen_ai__system="x")])
    collector.run()
    assert collector.stored(1) == 3
    assert collector.journal.pending()[0] == 1
    collector.send([span(2, 1)])
    collector.run()
    assert collector.stored(2) == 2
    assert collector.journal.pending()[0] == 0


def test_a_long_trace_appears_unfinished_and_is_judged_when_its_root_comes(make: Callable[..., Collector]):
    """After a minute MLflow shows it IN_PROGRESS; the judges get the whole of it, once."""
    collector = make()
    collector.send(rag(1)[1:])
    collector.run(62)
    assert collector.stored(1) == 2
    assert collector.tasks() == []
    assert "qualitrace_requests_total{" not in collector.metrics()
    collector.restart()
    collector.send(rag(1)[:1])
    collector.run()
    assert collector.stored(1) == 3
    assert {task.sample.passages for task in collector.tasks()} == {("P.",)}
    assert 'qualitrace_requests_total{service="shop"} 1.0' in collector.metrics()


def test_a_trace_whose_root_never_comes_ends_after_max_age(make: Callable[..., Collector]):
    """A day later it is judged with what there is."""
    collector = make(assembly={"max_age": "1h"})
    collector.send(rag(1)[1:])
    collector.run(62)
    collector.now += 3700
    collector.run(2)
    assert {task.sample.outputs for task in collector.tasks()} == {"A."}
    collector.now += 3700
    collector.run(2)
    assert 'qualitrace_requests_total{service="shop"} 1.0' in collector.metrics()


def test_a_late_span_is_merged_and_the_trace_judged_again(make: Callable[..., Collector]):
    """Passages that arrive after the root's batch change the sample: the same tasks, new content."""
    collector = make()
    root, retriever, chat = rag(1)
    collector.send([root, chat])
    collector.run()
    assert {task.sample.passages for task in collector.tasks()} == {()}
    collector.send([retriever])
    collector.run(62)
    assert collector.stored(1) == 3
    assert {task.sample.passages for task in collector.tasks()} == {("P.",)}
    assert collector.totals()["relevance", "queued"] == 1
    assert 'qualitrace_requests_total{service="shop"} 1.0' in collector.metrics()


def test_a_trace_without_genai_is_counted_not_stored(make: Callable[..., Collector]):
    """Health checks do not fill MLflow; `keep: all` stores them."""
    collector = make()
    collector.send([span(1, 1, name="GET /healthz")])
    collector.run()
    assert collector.stored(1) == 0
    assert collector.totals() == {("", "not_genai"): 1}


def test_genai_spans_after_other_spans_of_their_trace_are_counted(make: Callable[..., Collector]):
    """A gateway's spans come first and show no GenAI; the application's, seconds later, are measured and sampled."""
    collector = make(judges=[{"name": "relevance", "rate": 0}])
    collector.send([span(1, 9, name="GET /ask")], service="gateway")
    collector.run()
    _, *rest = rag(1)
    collector.send([span(1, 1, 9, name="POST /ask", flags=REMOTE_PARENT), *rest])
    collector.run()
    assert collector.totals() == {("", "stored"): 1, ("relevance", "sampled_out"): 1}
    assert "qualitrace_requests_total{" in collector.metrics()
    assert 'type="input"} 14.0' in collector.metrics()


def test_a_long_trace_that_begins_without_genai_is_judged_when_its_root_comes(make: Callable[..., Collector]):
    """Its first minute shows database calls only, its second a model call, its end the root: it is counted once."""
    collector = make()
    collector.send([span(1, 5, 1, name="SELECT")])
    collector.run(62)
    root, *rest = rag(1)
    collector.send(rest)
    collector.run(62)
    assert collector.tasks() == []
    collector.send([root])
    collector.run()
    assert {task.judge for task in collector.tasks()} == {"relevance", "toxicity"}
    assert 'qualitrace_requests_total{service="shop"} 1.0' in collector.metrics()


def test_keep_all_stores_every_trace(make: Callable[..., Collector]):
    """The user asked for it."""
    collector = make(mlflow={"keep": "all"})
    collector.send([span(1, 1, name="GET /healthz")])
    collector.run()
    assert collector.stored(1) == 1


def test_a_trace_that_cannot_be_stored_goes_to_the_dead_letters(make: Callable[..., Collector], monkeypatch):
    """It is tried three times, kept with its error and its spans, and does not stop the others."""
    collector = make()
    save = collector.store.save
    guilty = "tr-" + trace_id(1).hex()
    tries: list[int] = []

    def refusing(traces: list) -> dict[str, Exception]:
        refused = {trace.trace_id: ValueError("too odd") for trace in traces if trace.trace_id == guilty}
        tries.append(len(refused))
        return save([trace for trace in traces if trace.trace_id != guilty]) | refused

    monkeypatch.setattr(collector.store, "save", refusing)
    collector.send([*rag(1), *rag(2)])
    collector.run()
    assert sum(tries) == 3
    assert collector.stored(2) == 3
    assert collector.totals()["", "dead_lettered"] == 1
    letter = collector.database.connection().execute("SELECT * FROM dead_letter").fetchone()
    assert (letter["trace_id"], letter["error"]) == (guilty, "too odd")
    assert type(request([])).FromString(letter["traces"]).resource_spans[0].scope_spans[0].spans[
        0
    ].trace_id == trace_id(1)
    assert collector.journal.pending()[0] == 0


@pytest.mark.parametrize("rate", [0, 1])
def test_a_replayed_letter_takes_the_normal_way(make: Callable[..., Collector], monkeypatch, rate: int):
    """Once MLflow takes it, its outcome moves to stored, each judge has one outcome, and the request counts once."""
    collector = make(sampling={"rate": rate})
    monkeypatch.setattr(collector.store, "save", lambda traces: {trace.trace_id: ValueError("no") for trace in traces})
    collector.send(rag(1))
    collector.run()
    assert collector.totals() == {("", "dead_lettered"): 1}
    monkeypatch.undo()
    box = DeadLetters(collector.database)
    (letter,) = box.summaries()
    replay([box.get(letter["id"])], box, collector.journal, clock=lambda: collector.now)
    collector.run()
    outcome = "queued" if rate else "sampled_out"
    assert collector.totals() == {("", "stored"): 1, ("relevance", outcome): 1, ("toxicity", outcome): 1}
    assert collector.stored(1) == 3
    assert 'qualitrace_requests_total{service="shop"} 1.0' in collector.metrics()
    assert box.count() == 0


def test_a_late_piece_that_is_given_up_and_replayed_counts_nothing_twice(make: Callable[..., Collector], monkeypatch):
    """The trace was complete before: its judges have their outcome, and its request was measured."""
    collector = make(sampling={"rate": 0})
    collector.send(rag(1))
    collector.run()
    late = [span(1, 4, 1, gen_ai__system="x")]
    monkeypatch.setattr(collector.store, "save", lambda traces: {trace.trace_id: ValueError("no") for trace in traces})
    collector.send([*rag(1)[:1], *late])
    collector.run()
    assert collector.totals()["", "dead_lettered"] == 1
    monkeypatch.undo()
    box = DeadLetters(collector.database)
    (letter,) = box.summaries()
    replay([box.get(letter["id"])], box, collector.journal, clock=lambda: collector.now)
    collector.run()
    assert collector.stored(1) == 4
    assert collector.totals() == {("", "stored"): 1, ("relevance", "sampled_out"): 1, ("toxicity", "sampled_out"): 1}
    assert 'qualitrace_requests_total{service="shop"} 1.0' in collector.metrics()


def test_late_genai_spans_of_a_trace_without_any_are_judged(make: Callable[..., Collector]):
    """Its root came before and was not kept; the judges get what is stored, once, and each has one outcome."""
    collector = make(sampling={"rate": 0})
    collector.send([span(1, 1, name="GET /")])
    collector.run()
    assert collector.totals() == {("", "not_genai"): 1}
    collector.send(rag(1)[1:])
    collector.run(65)
    assert collector.totals() == {("", "stored"): 1, ("relevance", "sampled_out"): 1, ("toxicity", "sampled_out"): 1}


def test_a_trace_given_up_is_not_taken_for_one_without_a_root(make: Callable[..., Collector], monkeypatch):
    """After max_age only what MLflow has is judged."""
    collector = make(assembly={"max_age": "1h"})
    monkeypatch.setattr(collector.store, "save", lambda traces: {trace.trace_id: ValueError("no") for trace in traces})
    collector.send(rag(1))
    collector.run()
    collector.now += 3700
    collector.run()
    assert collector.totals() == {("", "dead_lettered"): 1}
    assert collector.tasks() == []


def test_poison_does_not_block(make: Callable[..., Collector], monkeypatch):
    """While one trace is refused and waits for its next try, the traces behind it are stored."""
    collector = make()
    save = collector.store.save
    guilty = "tr-" + trace_id(1).hex()
    monkeypatch.setattr(
        collector.store,
        "save",
        lambda traces: (
            save([trace for trace in traces if trace.trace_id != guilty])
            | {trace.trace_id: ValueError("odd") for trace in traces if trace.trace_id == guilty}
        ),
    )
    collector.send(rag(1))
    collector.pipeline.step()
    collector.send(rag(2))
    collector.pipeline.step()
    collector.now += 2.5
    for _ in range(4):
        collector.pipeline.step()
    assert collector.stored(2) == 3
    assert collector.totals()["", "stored"] == 1
    assert ("", "dead_lettered") not in collector.totals()


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
    monkeypatch.setattr("qualitrace_collector.pipeline.READ_REQUESTS", 1)
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
    """No transaction of MLflow's takes more than 500 spans, so one bad trace or a stop holds up little."""
    collector = make()
    save, sizes = collector.store.save, list[int]()

    def counting(traces: list) -> dict[str, Exception]:
        sizes.append(sum(len(trace.spans) for trace in traces))
        return save(traces)

    monkeypatch.setattr(collector.store, "save", counting)
    for number in range(1, 401):
        collector.send(rag(number))
    collector.run()
    assert max(sizes) == 498
    assert sum(sizes) == 1200


def test_a_backlog_is_assembled_by_the_time_it_arrived(make: Callable[..., Collector], monkeypatch):
    """Spans that came within the quiet period make one trace, even if they are read a minute apart."""
    collector = make()
    save, sizes = collector.store.save, list[int]()

    def counting(traces: list) -> dict[str, Exception]:
        sizes.extend(len(trace.spans) for trace in traces)
        return save(traces)

    monkeypatch.setattr(collector.store, "save", counting)
    monkeypatch.setattr("qualitrace_collector.pipeline.READ_REQUESTS", 1)
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
    assert "qualitrace_spans_conflicting_total{" not in collector.metrics()
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
    assert "qualitrace_spans_conflicting_total{" not in collector.metrics()


def test_the_sampling_rate_is_accounted_for(make: Callable[..., Collector]):
    """Each (trace, judge) is either queued or sampled out, and a failed trace is always queued."""
    collector = make(sampling={"rate": 0})
    collector.send([*rag(1), *rag(2, root_error="boom")])
    collector.run()
    assert {task.trace_id for task in collector.tasks()} == {"tr-" + trace_id(2).hex()}
    assert collector.totals()["relevance", "sampled_out"] == 1
    assert collector.totals()["relevance", "queued"] == 1
    assert 'qualitrace_request_errors_total{service="shop"} 1.0' in collector.metrics()


def test_negative_feedback_is_always_judged(make: Callable[..., Collector]):
    """An evaluation event with a score of zero on a span of the trace picks it."""
    collector = make(sampling={"rate": 0})
    thumb = chat_span(1, 1, question="Q?", answer="A.")
    event = thumb.events.add(name="gen_ai.evaluation.result", time_unix_nano=1)
    event.attributes.add(key="gen_ai.evaluation.score.value").value.double_value = 0.0
    collector.send([thumb])
    collector.run()
    assert len(collector.tasks()) == 2


def test_each_judge_has_its_own_rate(make: Callable[..., Collector]):
    """`rate` on a judge overrides `sampling.rate`."""
    collector = make(judges=["relevance", {"name": "toxicity", "rate": 0}])
    collector.send(rag(1))
    collector.run()
    assert [task.judge for task in collector.tasks()] == ["relevance"]


def test_draining_stores_what_is_complete_and_leaves_the_rest(make: Callable[..., Collector]):
    """At SIGTERM complete traces need no quiet period; unfinished ones stay in the journal for the next start."""
    collector = make()
    collector.send(rag(1))
    collector.send([span(2, 2, parent=1, gen_ai__system="x")])
    collector.pipeline.drain(deadline=collector.now + 5)
    assert collector.stored(1) == 3
    assert collector.stored(2) == 0
    assert collector.journal.pending()[0] == 1


def test_an_undecodable_journal_entry_does_not_stop_the_rest(make: Callable[..., Collector]):
    """Garbage in the journal (a damaged disk) is put aside with its error."""
    collector = make()
    collector.journal.append([JournalEntry(signal="traces", payload=b"\xff\xff", received_at=0.0)])
    collector.send(rag(1))
    collector.run()
    assert collector.stored(1) == 3
    assert collector.totals()["", "dead_lettered"] == 1
    assert collector.journal.pending()[0] == 0
