"""Traces written in bulk are, row by row, what MLflow's own store would have written, with one stated exception."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy
from mlflow import MlflowClient
from mlflow.environment_variables import MLFLOW_SQL_TRACE_ROLLUPS_ENABLED, MLFLOW_TRACE_ARCHIVAL_CONFIG
from mlflow.store.tracking.sqlalchemy_store import SqlAlchemyStore
from mlflow.version import VERSION
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.resource.v1.resource_pb2 import Resource
from opentelemetry.proto.trace.v1.trace_pb2 import Span

from qualitrace_collector.convert import ConvertedTrace, convert
from qualitrace_collector.mlflow_store.bulk_insert import insert_rows
from qualitrace_collector.mlflow_store.experiments import ExperimentPlace
from qualitrace_collector.mlflow_store.table_rows import rows_of
from qualitrace_collector.mlflow_store.tested_tables import has_tested_tables
from qualitrace_collector.piece import Piece, SpanRecord
from support.mlflow_db import converted, new_database
from support.otlp import REMOTE_PARENT, attributes, chat_span, rag_trace, span
from support.recordings import RECORDINGS

TABLES = {
    "trace_info": ("request_id",),
    "trace_tags": ("request_id", "key"),
    "trace_request_metadata": ("request_id", "key"),
    "spans": ("trace_id", "span_id"),
}
POSTGRESQL = pytest.param("postgresql", marks=pytest.mark.slow)
MakeStore = Callable[[], SqlAlchemyStore]


@pytest.fixture(params=["sqlite", POSTGRESQL])
def make_store(request: pytest.FixtureRequest, tmp_path: Path) -> MakeStore:
    """Make stores on empty databases, each on one of its own."""
    count = 0

    def make() -> SqlAlchemyStore:
        nonlocal count
        count += 1
        artifacts = (tmp_path / "artifacts").as_uri()
        if request.param == "sqlite":
            folder = tmp_path / str(count)
            folder.mkdir()
            return SqlAlchemyStore(new_database(folder), artifacts)
        return SqlAlchemyStore(request.getfixturevalue("postgres").new(), artifacts)

    return make


def recorded() -> list[ConvertedTrace]:
    by_trace: dict[bytes, list[SpanRecord]] = {}
    for path in RECORDINGS:
        for group in ExportTraceServiceRequest.FromString(path.read_bytes()).resource_spans:
            for scope in group.scope_spans:
                for item in scope.spans:
                    by_trace.setdefault(item.trace_id, []).append(SpanRecord(item, group.resource, scope.scope))
    return [_converted(records) for records in by_trace.values()]


def _converted(records: list[SpanRecord]) -> ConvertedTrace:
    piece = Piece(
        trace_id=records[0].span.trace_id,
        spans=tuple(records),
        logs=(),
        root_seen=True,
        positions=frozenset[int](),
    )
    return convert(piece, "shop")


def built() -> list[ConvertedTrace]:
    """Make traces that reach every column: errors, sessions, users, tags, costs, missing roots, odd letters."""
    native = {"mlflow.spanType": '"AGENT"', "mlflow.spanInputs": '{"messages": [{"role": "user", "content": "Hé?"}]}'}
    tagged = span(3, 1, name="tagged")
    tagged.attributes.extend(
        attributes(native | {"mlflow.traceTag.team": "search", "mlflow.traceTag.mlflow.traceName": "ask"})
    )
    orphan = chat_span(4, 2, 1, question="Q?", answer="A." * 600, flags=REMOTE_PARENT, session__id="s1", user__id="u1")
    called = [
        span(8, 2, 1, error="broke", flags=REMOTE_PARENT, input__value="Q?", openinference__span__kind="CHAIN"),
        chat_span(8, 3, 2, question="Q?", answer="A."),
    ]
    prompted = chat_span(
        9, 2, 1, question="Q?", answer="A.", gen_ai__prompt__name="answer", gen_ai__prompt__version="3"
    )
    prompted.attributes.extend(attributes({"mlflow.traceTag.plan": "gold", "mlflow.traceTag.flags": '["beta"]'}))
    resource = Resource(attributes=attributes({"service.name": "shop", "host.cpus": 4, "process.pid": 7, "": "x"}))
    resource.attributes.add(key="list").value.array_value.values.add(string_value="a")
    return [
        converted(rag_trace(1, question="Q?", answer="Ä 👩‍🚀", passages=["P."], root_error="broken"), "shop"),
        converted([chat_span(2, 1, question="Q?", answer="A.", gen_ai__usage__cache_read__input_tokens=3)], "shop"),
        converted([tagged], "shop"),
        converted([chat_span(6, 1, question="zero \x00 byte", answer="\x00", session__id="s" * 300)], "shop"),
        _converted([SpanRecord(orphan, resource, _scope())]),
        _converted([SpanRecord(unstorable(), Resource(attributes=attributes({"argv": "a\0b"})), _scope())]),
        converted(called, "shop"),
        converted([span(9, 1), prompted], "shop"),
        converted([span(5, 1, seconds=0.0004, enduser__id="u2", gen_ai__conversation__id="c" * 250)], "shop"),
    ]


def unstorable() -> Span:
    """Make a span with zero bytes and halves of surrogate pairs in all that MLflow takes out of its attributes."""
    odd = span(7, 1)
    odd.attributes.extend(
        attributes(
            {
                "mlflow.spanType": '"LLM"',
                "mlflow.spanInputs": r'{"messages": [{"role": "user", "content": "Q \ud83d\ude00 \u0000 \ud83d"}]}',
                "mlflow.spanOutputs": r'"A \uD83D"',
                "mlflow.traceTag.a": "a\0b",
                "mlflow.traceTag.b": r'"\ud83d"',
                "gen_ai.request.model": r'"m\u0000\ud83d"',
                "user.id": r'"\ud83d"',
                "session.id": "s\0",
            }
        )
    )
    return odd


def _scope() -> Any:
    return ExportTraceServiceRequest().resource_spans.add().scope_spans.add().scope


def insert(store: SqlAlchemyStore, traces: list[ConvertedTrace], *experiment_ids: str) -> set[str]:
    """Write traces, each into the experiment at its place, or all into the default one."""
    ids = experiment_ids or ["0"] * len(traces)
    places = [ExperimentPlace(id_, store.get_experiment(id_).artifact_location) for id_ in ids]
    return insert_rows(store, rows_of(zip(places, traces, strict=True)))


def rows(store: SqlAlchemyStore) -> dict[str, list[dict[str, Any]]]:
    found: dict[str, list[dict[str, Any]]] = {}
    with store.engine.connect() as connection:
        for table, order in TABLES.items():
            result = connection.execute(sqlalchemy.text(f"SELECT * FROM {table} ORDER BY {', '.join(order)}"))
            found[table] = [dict(row) for row in result.mappings()]
    for row in found["spans"]:
        row["content"] = json.loads(row["content"])
    return found


SHOWN = ("status", "request_preview", "response_preview")


def begins_elsewhere(trace: ConvertedTrace) -> bool:
    return all(span.parent_id is not None for span in trace.stored)


def without_parent(trace: ConvertedTrace) -> list[Any]:
    """Return the trace's spans as they were if its local root had no parent."""
    root = replace(trace.stored[0], parent_id=None, data=trace.stored[0].data | {"parent_span_id": None})
    return list(replace(trace, stored=(root, *trace.stored[1:])).spans)


def test_the_rows_are_those_of_mlflows_own_store(make_store: MakeStore):
    """Every column of every table, over all recordings and traces built to reach the rest.

    The exception: a trace that begins in another service has the state and the previews of its local root, as if that
    had no parent; MLflow would show it IN_PROGRESS for ever. Its span keeps the parent.
    """
    traces = [*recorded(), *built()]
    theirs, rootless, ours = make_store(), make_store(), make_store()
    for trace in traces:
        theirs.log_spans("0", list(trace.spans))
    elsewhere = [trace for trace in traces if begins_elsewhere(trace)]
    for trace in elsewhere:
        rootless.log_spans("0", without_parent(trace))
    assert has_tested_tables(ours)
    assert insert(ours, traces) == set()
    expected, written = rows(theirs), rows(ours)
    shown = {row["request_id"]: row for row in rows(rootless)["trace_info"]}
    assert shown.keys() == {trace.trace_id for trace in elsewhere}
    assert {row["status"] for row in shown.values()} == {"OK", "ERROR"}
    for row in expected["trace_info"]:
        if row["request_id"] in shown:
            assert row["status"] == "IN_PROGRESS"
            row |= {column: shown[row["request_id"]][column] for column in SHOWN}
    assert len(written["trace_info"]) == len(traces)
    assert sum(map(len, (trace.stored for trace in traces))) == len(written["spans"])
    for table in TABLES:
        assert written[table] == expected[table], table


def test_what_was_written_reads_back_and_is_found(make_store: MakeStore):
    """MLflow's client gets traces, searches by filter and finds sessions as if MLflow had written them."""
    ours = make_store()
    insert(ours, built())
    client = MlflowClient(str(ours.engine.url.render_as_string(hide_password=False)))
    failed = client.search_traces(locations=["0"], filter_string="trace.status = 'ERROR'")
    assert {trace.info.trace_id[-1] for trace in failed} == {"1", "8"}
    tagged = client.search_traces(locations=["0"], filter_string="tags.team = 'search'")
    assert [trace.info.request_preview for trace in tagged] == ["Hé?"]
    (gold,) = client.search_traces(locations=["0"], filter_string="tags.plan = 'gold'")
    assert json.loads(gold.info.tags["mlflow.linkedPrompts"]) == [{"name": "answer", "version": "3"}]
    answering = client.search_traces(locations=["0"], filter_string="prompt = 'answer/3'")
    assert [trace.info.trace_id for trace in answering] == [gold.info.trace_id]
    session = client.search_traces(locations=["0"], filter_string="metadata.`mlflow.trace.session` = 's1'")
    assert [trace.info.trace_id[-1] for trace in session] == ["4"]
    usage = client.get_trace(built()[1].trace_id).info.token_usage
    assert usage is not None
    assert usage["cache_read_input_tokens"] == 3


def test_letters_that_no_database_keeps_are_replaced(make_store: MakeStore):
    """Half an emoji, as cut by a client, or a zero byte costs neither the trace nor the letters around it."""
    store = make_store()
    [odd] = [trace for trace in built() if trace.trace_id[-1] == "7"]
    assert insert(store, [odd]) == set()
    info = store.get_trace_info(odd.trace_id)
    assert info.request_preview == "Q 😀 \ufffd ?"
    assert (info.tags["a"], info.tags["b"], info.tags["argv"]) == ("a\ufffdb", "?", "a\ufffdb")
    assert info.trace_metadata["mlflow.trace.user"] == "?"
    assert info.trace_metadata["mlflow.trace.session"] == "s\ufffd"


def test_a_stored_span_reads_as_mlflows_entity_does():
    """By the same names the same values, so that metrics and samples may be made of either."""
    names = "trace_id span_id parent_id name span_type inputs outputs start_time_ns end_time_ns status".split()
    for trace in [*recorded(), *built()]:
        for ours, theirs in zip(trace.stored, trace.spans, strict=True):
            assert {name: getattr(ours, name) for name in names} == {name: getattr(theirs, name) for name in names}
            for key, value in theirs.attributes.items():
                assert ours.get_attribute(key) == value, key


def test_one_batch_may_be_of_many_experiments(make_store: MakeStore):
    """Each trace is found in its own, with its artifacts beside it."""
    store, traces = make_store(), built()[:2]
    other = store.create_experiment("other", None, [])
    assert insert(store, traces, "0", other) == set()
    infos = [store.get_trace_info(trace.trace_id) for trace in traces]
    assert [info.experiment_id for info in infos] == ["0", other]
    for info in infos:
        folder = store.get_experiment(str(info.experiment_id)).artifact_location
        assert info.tags["mlflow.artifactLocation"].startswith(f"{folder}/")


def test_known_traces_are_left_to_mlflow(make_store: MakeStore):
    """A trace that is there already is handed back and not touched; the new one beside it is written."""
    store, (first, second, *_) = make_store(), built()
    insert(store, [first])
    before = rows(store)["trace_info"]
    assert insert(store, [first, second]) == {first.trace_id}
    after = rows(store)["trace_info"]
    assert after[: len(before)] == before
    assert len(after) == 2


def test_a_refused_row_leaves_nothing_behind(make_store: MakeStore):
    """All or none: half a batch would look complete."""
    store, (first, second, *_) = make_store(), built()
    second.stored[0].data["start_time_unix_nano"] = 2**80
    with pytest.raises(Exception, match=r".+"):
        insert(store, [first, second])
    assert all(not found for found in rows(store).values())


def test_the_installed_release_has_tested_tables(make_store: MakeStore):
    """A release with other tables must not fall back to the slow way unnoticed: the message says what to do."""
    store = make_store()
    with store.engine.connect() as connection:
        revision = connection.execute(sqlalchemy.text("SELECT version_num FROM alembic_version")).scalar_one()
    assert has_tested_tables(store), (
        f"MLflow {VERSION} has schema {revision}: add it to TESTED_REVISIONS (tested_tables.py), run this file, and let "
        "table_rows.py and bulk_insert.py fill the columns by which rows differ"
    )


def test_an_untested_schema_is_left_to_mlflow(make_store: MakeStore):
    """Another release may have other tables, whose rows nobody compared."""
    store = make_store()
    with store.engine.begin() as connection:
        connection.execute(sqlalchemy.text("UPDATE alembic_version SET version_num = 'other'"))
    assert not has_tested_tables(store)


@pytest.mark.parametrize(
    ("variable", "value"),
    [(MLFLOW_SQL_TRACE_ROLLUPS_ENABLED, "true"), (MLFLOW_TRACE_ARCHIVAL_CONFIG, "archival.yaml")],
)
def test_rollups_and_archival_are_left_to_mlflow(
    variable: Any, value: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    """They need rows that only MLflow's own store writes."""
    store = SqlAlchemyStore(new_database(tmp_path), tmp_path.as_uri())
    assert has_tested_tables(store)
    monkeypatch.setenv(variable.name, value)
    assert not has_tested_tables(store)
