"""Traces and assessments in a real MLflow, by a database URI."""

import json
import logging
import sqlite3
from collections.abc import Callable
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest
from mlflow import MlflowClient
from mlflow.entities import AssessmentSource, Feedback
from mlflow.exceptions import MlflowException

from qualitrace_collector.convert import ConvertedTrace, convert
from qualitrace_collector.mlflow_store.store import StoreUnavailable, TraceStore
from qualitrace_collector.process.startup import configure_logging
from support.mlflow_db import converted, new_store, refuse_spans
from support.otlp import chat_span, rag_trace, request, span, trace_id
from support.pieces import pieces_in
from support.pipeline import Collector


@pytest.fixture
def store(tmp_path: Path) -> TraceStore:
    return new_store(tmp_path)


def rag(number: int, service: str = "shop") -> ConvertedTrace:
    return converted(rag_trace(number, question="Q?", answer="A.", passages=["P."]), service)


def experiment_of(store: TraceStore, trace_id: str) -> str:
    client = MlflowClient(store.tracking_uri)
    return client.get_experiment(client.get_trace(trace_id).info.experiment_id).name


def test_a_trace_reads_back_with_inputs_outputs_types_and_tokens(store: TraceStore):
    """What an on-call engineer opens in MLflow's UI is all there."""
    trace = rag(1)
    assert store.save([trace]) == {}
    stored = MlflowClient(store.tracking_uri).get_trace(trace.trace_id)
    by_type = {span.span_type: span for span in stored.data.spans}
    assert len(stored.data.spans) == 3
    assert by_type["RETRIEVER"].outputs == [{"page_content": "P.", "metadata": {}, "id": "0"}]
    assert "Q?" in stored.info.request_preview
    assert "A." in stored.info.response_preview
    assert stored.info.token_usage == {"input_tokens": 14, "output_tokens": 8, "total_tokens": 22}


def test_a_late_prompt_is_found_too(store: TraceStore):
    """By MLflow's search and in the list of the trace, as one that came with the root; a long name is only listed."""
    named = {"gen_ai__prompt__name": "answer", "gen_ai__prompt__version": "3"}
    store.save([converted([span(1, 1), chat_span(1, 2, 1, question="Q?", answer="A.", **named)], "shop")])
    long = {"gen_ai__prompt__name": "p" * 40, "gen_ai__prompt__version": "1"}
    late = [chat_span(1, number, 1, question="Q?", answer="A.", **values) for number, values in ((3, named), (4, long))]
    check = chat_span(1, 5, 1, question="Q?", answer="A.", gen_ai__prompt__name="check", gen_ai__prompt__version="1")
    (piece,) = pieces_in(request([*late, check]))
    store.save([convert(replace(piece, root_seen=False), "shop", store.read("tr-" + trace_id(1).hex()))])
    client = MlflowClient(store.tracking_uri)
    (experiment,) = (item.experiment_id for item in client.search_experiments() if item.name == "shop")
    for prompt in ("answer/3", "check/1"):
        (found,) = client.search_traces(locations=[experiment], filter_string=f"prompt = '{prompt}'")
        listed = json.loads(found.info.tags["mlflow.linkedPrompts"])
        assert [item["name"] for item in listed] == ["answer", "p" * 40, "check"]


def test_saving_twice_stores_once(store: TraceStore):
    """A replay after a crash changes nothing."""
    trace = rag(1)
    store.save([trace])
    store.save([trace])
    assert len(store.read(trace.trace_id)) == 3


def test_each_service_has_its_experiment(store: TraceStore):
    """By the default template `{service.name}`."""
    one, two = rag(1, "shop"), rag(2, "search")
    store.save([one, two])
    assert experiment_of(store, one.trace_id) == "shop"
    assert experiment_of(store, two.trace_id) == "search"


def test_a_fixed_experiment_takes_all_services(tmp_path: Path):
    """`mlflow.experiment: production` puts everything there."""
    store = new_store(tmp_path, experiment="production")
    trace = rag(1)
    store.save([trace])
    assert experiment_of(store, trace.trace_id) == "production"


def test_a_late_span_of_another_service_joins_the_trace_where_it_is(store: TraceStore):
    """MLflow refuses a batch with a trace of another experiment; the span is stored in that one."""
    first = rag(1, "shop")
    store.save([first])
    late = converted([chat_span(1, 9, 1, question="Q2?", answer="A2.")], "search")
    other = rag(2, "search")
    assert store.save([late, other]) == {}
    assert len(store.read(first.trace_id)) == 4
    assert experiment_of(store, first.trace_id) == "shop"
    assert len(store.read(other.trace_id)) == 3


def test_one_refused_trace_does_not_cost_its_neighbours(store: TraceStore):
    """The batch is bisected until only the guilty trace is out."""
    traces = [rag(number) for number in range(1, 8)]
    refuse_spans(store.tracking_uri, traces[4].trace_id)
    refused = store.save(traces)
    assert list(refused) == [traces[4].trace_id]
    assert [len(store.read(trace.trace_id)) for trace in traces] == [3, 3, 3, 3, 0, 3, 3]


def test_a_failing_database_does_not_bring_content_into_the_log(store: TraceStore):
    """MLflow would log the statement with all its values; the reason comes without it."""
    trace = converted(rag_trace(1, question="My name is Ada.", answer="A.", passages=["P."]), "shop")
    with closing(sqlite3.connect(store.tracking_uri.removeprefix("sqlite:///"))) as connection:
        connection.execute("ALTER TABLE spans RENAME TO gone")
    heard: list[str] = []
    listener = logging.Handler()
    listener.emit = lambda record: heard.append(record.getMessage())
    configure_logging()
    logger = logging.getLogger("mlflow.store.db.utils")
    logger.addHandler(listener)
    try:
        with pytest.raises(StoreUnavailable, match="no such table") as raised:
            store.save([trace])
    finally:
        logger.removeHandler(listener)
    assert "Ada" not in str(raised.value)
    assert not [message for message in heard if "Ada" in message]


def test_a_server_that_is_away_is_no_bad_trace():
    """Nothing listens there: the traces are kept for later, not given up."""
    store = TraceStore("http://127.0.0.1:9", "file:///unused", "{service.name}")
    with pytest.raises(StoreUnavailable):
        store.save([rag(1)])


def test_a_database_that_breaks_is_no_bad_data(store: TraceStore):
    """Whatever is asked of it first: traces and assessments are kept for later, not given up."""
    store.save([rag(1)])
    Path(store.tracking_uri.removeprefix("sqlite:///")).write_bytes(b"no database" * 1000)
    with pytest.raises(StoreUnavailable):
        store.takes_rows()
    with pytest.raises(StoreUnavailable):
        store.save([rag(2)])
    with pytest.raises(StoreUnavailable):
        store.save_assessments([feedback(rag(1).trace_id)])


@pytest.mark.parametrize("in_bulk", [True, False])
def test_an_assessment_is_written_once(store: TraceStore, monkeypatch: pytest.MonkeyPatch, in_bulk: bool):
    """A second write with the same id counts as done; a trace that is gone is an error."""
    trace, missing = rag(1), "tr-" + "0" * 31 + "9"
    store.save([trace])
    if not in_bulk:
        monkeypatch.setattr("qualitrace_collector.mlflow_store.assessments.has_tested_tables", lambda _store: False)
    for _ in range(2):
        assert store.save_assessments([feedback(trace.trace_id)]) == {}
    (assessment,) = MlflowClient(store.tracking_uri).get_trace(trace.trace_id).info.assessments
    assert assessment.assessment_id == "qt-1"
    assert isinstance(store.save_assessments([feedback(missing, "qt-2")])["qt-2"], MlflowException)


def feedback(trace_id: str, assessment_id: str = "qt-1") -> Feedback:
    item = Feedback(name="relevance", value=0.5, source=AssessmentSource("CODE", "x"), trace_id=trace_id)
    item.assessment_id = assessment_id
    return item


def test_many_assessments_are_the_rows_that_mlflow_would_write(tmp_path: Path):
    """In one transaction or one by one: the same columns but for ids and times; a repetition adds nothing."""
    store = new_store(tmp_path)
    traces = [converted(rag_trace(number, question="Q?", answer="A.", passages=["P."]), "shop") for number in (1, 2, 3)]
    store.save(traces)
    ids = iter(f"qt-{number}" for number in range(10))

    def assessment(trace_id: str, overrides: str | None = None) -> Feedback:
        made = Feedback(name="j", value=0.5, rationale="r", metadata={"a": "b"}, trace_id=trace_id, overrides=overrides)
        made.assessment_id = next(ids)
        return made

    single, *many = [assessment(trace.trace_id) for trace in traces]
    store.call(lambda mlflow: mlflow.create_assessment(single))
    unknown = assessment("tr-" + "0" * 31 + "9")
    refused = store.save_assessments([*many, unknown])
    assert refused.keys() == {unknown.assessment_id}
    assert store.save_assessments(many) == {}
    newer = assessment(traces[1].trace_id, overrides=many[0].assessment_id)
    assert store.save_assessments([newer]) == {}
    with sqlite3.connect(tmp_path / "mlflow.db") as connection:
        connection.row_factory = sqlite3.Row
        rows = {row["assessment_id"]: dict(row) for row in connection.execute("SELECT * FROM assessments")}
    assert rows.keys() == {"qt-0", "qt-1", "qt-2", "qt-4"}
    varying = ("assessment_id", "trace_id", "created_timestamp", "last_updated_timestamp", "trace_timestamp_ms")
    stable = {name: {k: v for k, v in row.items() if k not in varying} for name, row in rows.items()}
    assert stable["qt-0"] == stable["qt-2"]
    assert rows["qt-2"]["trace_timestamp_ms"] is not None
    assert (rows["qt-1"]["valid"], rows["qt-4"]["valid"], rows["qt-4"]["overrides"]) == (0, 1, "qt-1")


def test_an_experiment_that_was_deleted_for_good_is_made_again(store: TraceStore):
    """The trace that finds it gone is refused once; its next try, which the pipeline makes, finds a new experiment."""
    store.save([rag(1)])
    with closing(sqlite3.connect(store.tracking_uri.removeprefix("sqlite:///"))) as database, database:
        for table in ("spans", "trace_tags", "trace_request_metadata", "trace_info", "experiment_tags"):
            database.execute(f"DELETE FROM {table}")
        database.execute("DELETE FROM experiments WHERE name = 'shop'")
    assert store.save([rag(2)]).keys() == {rag(2).trace_id}
    assert store.save([rag(2)]) == {}
    assert len(store.read(rag(2).trace_id)) == len(rag(2).stored)


def test_a_deleted_experiment_takes_traces_and_is_told_once(store: TraceStore, caplog: pytest.LogCaptureFixture):
    """Nothing is lost: restored, it shows all of them; the warning names the commands, also after a restart."""
    client = MlflowClient(store.tracking_uri)
    store.save([rag(1)])
    experiment = client.get_experiment_by_name("shop")
    assert experiment is not None
    client.delete_experiment(experiment.experiment_id)
    restarted = TraceStore(store.tracking_uri, "file:///unused", "{service.name}")
    for number in (2, 3):
        assert restarted.save([rag(number)]) == {}
        restarted.experiments.forget()
    (warning,) = [record.getMessage() for record in caplog.records if record.levelname == "WARNING"]
    assert "experiment 'shop' is deleted in MLflow" in warning
    assert f"mlflow experiments restore --experiment-id {experiment.experiment_id}" in warning
    client.restore_experiment(experiment.experiment_id)
    found = client.search_traces(locations=[experiment.experiment_id])
    assert {trace.info.trace_id for trace in found} == {rag(number).trace_id for number in (1, 2, 3)}


def test_what_happens_to_an_experiment_is_noticed_within_a_minute(
    make: Callable[..., Collector], caplog: pytest.LogCaptureFixture
):
    """The pipeline asks for it again in its upkeep: a warning reports a deletion."""
    collector = make()
    client = MlflowClient(collector.store.tracking_uri)
    collector.send(rag_trace(1, question="Q?", answer="A.", passages=["P."]))
    collector.run(5)
    experiment = client.get_experiment_by_name("shop")
    assert experiment is not None
    client.delete_experiment(experiment.experiment_id)
    collector.run(60)
    collector.send(rag_trace(2, question="Q?", answer="A.", passages=["P."]))
    collector.run(5)
    assert collector.stored(2) == 3
    assert "experiment 'shop' is deleted in MLflow" in caplog.text
