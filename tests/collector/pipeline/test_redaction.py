"""`collector.redact`: nothing personal reaches MLflow or the judges."""

import sqlite3
from collections.abc import Callable

import pytest
from mlflow import MlflowClient
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from qualitrace_collector.config import ConfigError, parse_config
from qualitrace_collector.journal import JournalEntry
from qualitrace_collector.person_feedback import PersonFeedback
from qualitrace_collector.pipeline.redaction import Redaction
from qualitrace_collector.settings import CollectorConfig
from support.otlp import attributes, rag_trace, trace_id
from support.pipeline import Collector

SECRET = "ada@b.de"


def test_nothing_personal_is_stored_or_judged(make: Callable[..., Collector]):
    """Not in spans, events, errors, comments, samples: the databases' files do not hold it."""
    collector = make(collector={"redact": ["email"]})
    spans = rag_trace(1, question=f"I am {SECRET}?", answer=f"Hello {SECRET}.", passages=[SECRET], root_error=SECRET)
    spans[0].name = f"POST /{SECRET}"
    spans[0].events.add(name=f"to {SECRET}", time_unix_nano=1, attributes=attributes({"text": SECRET}))
    tags = spans[0].attributes.add(key="tags").value.array_value
    tags.values.add().string_value = SECRET
    collector.send(spans)
    feedback = PersonFeedback(trace_id=trace_id(1).hex(), name="thumb", value=True, comment=f"Ask {SECRET}")
    collector.journal.append(
        [JournalEntry(signal="feedback", payload=feedback.model_dump_json().encode(), received_at=collector.now)]
    )
    collector.run(20)
    (sample,) = [task.sample for task in collector.tasks() if task.judge == "relevance"]
    assert (sample.inputs, sample.outputs, sample.passages) == ("I am [email]?", "Hello [email].", ("[email]",))
    (comment,) = MlflowClient(collector.store.tracking_uri).get_trace("tr-" + trace_id(1).hex()).info.assessments
    assert comment.rationale == "Ask [email]"
    for name in ("state.db", "mlflow.db"):
        with sqlite3.connect(collector.folder / name) as connection:
            assert SECRET not in "\n".join(connection.iterdump())
    assert 'qualitrace_redactions_total{rule="email"}' in collector.metrics()


def test_every_part_of_a_request_is_redacted():
    """Keys, bytes, numbers, scopes and resources, in spans and log records; who sends stays."""
    traces, logs = ExportTraceServiceRequest(), ExportLogsServiceRequest()
    parts = [
        (traces.resource_spans.add(), "scope_spans", "spans"),
        (logs.resource_logs.add(), "scope_logs", "log_records"),
    ]
    for group, scopes, records in parts:
        group.resource.attributes.extend(attributes({"service.name": SECRET, "host.owner": SECRET}))
        scope = getattr(group, scopes).add()
        scope.scope.name = scope.scope.version = SECRET
        record = getattr(scope, records).add()
        record.attributes.extend(attributes({f"by {SECRET}": 1, "n": 4111111111111111, "u": "to=ada%40b.de"}))
        record.attributes.add(key="b").value.bytes_value = SECRET.encode()
    redaction = Redaction(["email", "card"])
    redaction.traces(traces)
    redaction.logs(logs)
    for request in (traces, logs):
        text = str(request)
        assert (text.count(SECRET), text.count("4111"), text.count("%40")) == (1, 0, 0)
    assert redaction.take_counts() == {"email": 12, "card": 2}
    assert redaction.take_counts() == {}


def test_keys_and_tokens_are_redacted_by_default(make: Callable[..., Collector]):
    """Known by shape, or by the name of their attribute."""
    collector, key = make(), "ghp_" + "a1" * 18
    spans = rag_trace(1, question=f"Why is {key} refused?", answer="It is old.", passages=["P."])
    spans[0].attributes.extend(attributes({"api_key": "0123456789abcdef"}))
    collector.send(spans)
    collector.run()
    assert {task.sample.inputs for task in collector.tasks()} == {"Why is [secret] refused?"}
    with sqlite3.connect(collector.folder / "mlflow.db") as connection:
        stored = "\n".join(connection.iterdump())
    assert "[secret]" in stored
    assert key not in stored
    assert "0123456789abcdef" not in stored


def test_without_rules_texts_stay(make: Callable[..., Collector]):
    """Nothing is redacted where the list is empty."""
    collector = make(collector={"redact": []})
    collector.send(rag_trace(1, question=f"I am {SECRET}?", answer="Yes.", passages=["P."]))
    collector.run()
    assert {task.sample.inputs for task in collector.tasks()} == {f"I am {SECRET}?"}


def test_every_bad_rule_is_a_mistake_of_the_configuration(capfd: pytest.CaptureFixture[str]):
    """Each is reported with its place and what is wrong, in a line of its own, and the libraries say nothing beside."""
    rules = ["email", "emial", "/(/", r"/\d+/", "/[z-a]/", 5]
    with pytest.raises(ConfigError) as caught:
        parse_config({"collector": {"redact": rules}}, CollectorConfig)
    names, group, order, text = caught.value.mistakes
    assert names.startswith("collector.redact.1: 'emial' is neither one of secret, email,")
    assert group.startswith("collector.redact.2: '/(/' is no regular expression of RE2: missing )")
    assert order.startswith("collector.redact.4: '/[z-a]/' is no regular expression of RE2: ")
    assert "range" in order
    assert text.startswith("collector.redact.5: ")
    assert capfd.readouterr() == ("", "")


def test_redacted_feedback_can_be_read_back():
    """A replacement longer than the text leaves a value that the state database's reader takes."""
    given = PersonFeedback(trace_id=trace_id(1).hex(), name="said", value="a@b.de " * 28 + "a@b.")
    redacted = Redaction(["email"]).feedback(given)
    back = PersonFeedback.model_validate_json(redacted.model_dump_json())
    assert str(back.value).startswith("[email] [email]")
    assert "a@b.de" not in str(back.value)
