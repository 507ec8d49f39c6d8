"""`collector.redact`: nothing personal reaches MLflow or the judges."""

import sqlite3
from collections.abc import Callable

import pytest
from mlflow import MlflowClient

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


def test_without_rules_texts_stay(make: Callable[..., Collector]):
    """Nothing is redacted unless it is asked for."""
    collector = make()
    collector.send(rag_trace(1, question=f"I am {SECRET}?", answer="Yes.", passages=["P."]))
    collector.run()
    assert {task.sample.inputs for task in collector.tasks()} == {f"I am {SECRET}?"}


def test_every_bad_rule_is_a_mistake_of_the_configuration(capfd: pytest.CaptureFixture[str]):
    """Each is reported with its place and what is wrong, in a line of its own, and the libraries say nothing beside."""
    rules = ["email", "emial", "/(/", r"/\d+/", "/[z-a]/", 5]
    with pytest.raises(ConfigError) as caught:
        parse_config({"collector": {"redact": rules}}, CollectorConfig)
    names, group, order, text = caught.value.mistakes
    assert names.startswith("collector.redact.1: 'emial' is neither one of email,")
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
