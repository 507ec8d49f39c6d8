"""Tags and prompts of any span are the trace's, in the form in which MLflow lists them."""

import json
from collections.abc import Mapping
from typing import Any

import pytest
from mlflow.entities import Span as MlflowSpan
from opentelemetry.proto.trace.v1.trace_pb2 import Span

from qualitrace_collector.convert import build_sample, convert
from qualitrace_collector.convert.trace_tags import MAX_PROMPTS, MAX_TAGS
from support.otlp import attributes, chat_span, span
from support.pieces import piece_of

NAMED = {"gen_ai.prompt.name": "answer", "gen_ai.prompt.version": "3"}


def called(number: int, values: Mapping[str, Any], parent: int = 1) -> Span:
    call = chat_span(1, number, parent, question="Why?", answer="So.")
    call.attributes.extend(attributes(values))
    return call


def converted(*spans: Span) -> tuple[MlflowSpan, ...]:
    return convert(piece_of(*spans), "shop").spans


def prompts_of(*spans: Span) -> Any:
    """Return the root's tag of prompts, opened as MLflow's page does."""
    tag = converted(*spans)[0].get_attribute("mlflow.traceTag.mlflow.linkedPrompts")
    return None if tag is None else json.loads(tag)


@pytest.mark.parametrize(
    "values",
    [
        NAMED,
        {"gen_ai.prompt.name": "answer", "gen_ai.prompt.version": 3},
        {"gen_ai.prompt.name": "answer", "gen_ai.prompt.version": 3.0},
        {"traceloop.prompt.key": "answer", "traceloop.prompt.version": 3},
        {"langfuse.observation.prompt.name": "answer", "langfuse.observation.prompt.version": 3},
        {"mlflow.linkedPrompts": '[{"name": "answer", "version": "3"}]'},
    ],
)
def test_a_prompt_of_any_dialect_is_linked(values: Mapping[str, Any]) -> None:
    """The root gets MLflow's list of prompts, whichever library names the prompt and on whichever span."""
    assert prompts_of(span(1, 1), called(2, values)) == [{"name": "answer", "version": "3"}]


def test_all_prompts_of_a_trace_are_linked_once() -> None:
    """Two prompts, one of them used twice; one without a version cannot be linked."""
    rewrite = {"gen_ai.prompt.name": "rewrite", "gen_ai.prompt.version": "1"}
    spans = [called(2, rewrite), called(3, NAMED), called(4, NAMED), called(5, {"gen_ai.prompt.name": "loose"})]
    assert prompts_of(span(1, 1), *spans) == [
        {"name": "rewrite", "version": "1"},
        {"name": "answer", "version": "3"},
    ]
    assert prompts_of(span(1, 1), called(2, {})) is None


def test_a_late_prompt_joins_those_before() -> None:
    """A span that comes after the root was stored adds its prompt to the root's."""
    tags = {"mlflow.traceTag.plan": "gold", "mlflow.traceTag.flags": '["beta"]'}
    stored = converted(span(1, 1), called(2, {**NAMED, **tags}))
    late = called(3, {"gen_ai.prompt.name": "check", "gen_ai.prompt.version": "1"})
    trace = convert(piece_of(late, whole=False), "shop", stored)
    (root,) = (item for item in trace.spans if item.parent_id is None)
    listed = json.loads(root.get_attribute("mlflow.traceTag.mlflow.linkedPrompts"))
    assert [item["name"] for item in listed] == ["answer", "check"]
    assert {key: root.get_attribute(key) for key in tags} == tags


def test_quality_is_estimated_by_prompt() -> None:
    """The sample's prompt version is that of the call that answered, unless the application names one itself."""
    rewrite = called(2, {"gen_ai.prompt.name": "rewrite", "gen_ai.prompt.version": "1"})
    spans = [span(1, 1), rewrite, called(3, NAMED)]
    assert build_sample(converted(*spans), "shop").metadata["prompt_version"] == "answer/3"
    own = called(4, {"qualitrace.prompt.version": "v7"})
    assert build_sample(converted(*spans, own), "shop").metadata["prompt_version"] == "v7"


def test_a_name_beside_numbered_messages_hides_none() -> None:
    """OpenLLMetry numbers its messages under the same prefix as the prompt's name."""
    numbered = {
        "gen_ai.request.model": "m",
        "gen_ai.prompt.0.role": "user",
        "gen_ai.prompt.0.content": "Why?",
        "gen_ai.completion.0.role": "assistant",
        "gen_ai.completion.0.content": "So.",
    }
    call = span(1, 1)
    call.attributes.extend(attributes({**numbered, **NAMED}))
    sample = build_sample(converted(call), "shop")
    assert (sample.inputs, sample.outputs) == ("Why?", "So.")


def test_a_prompts_name_makes_no_call() -> None:
    """A span that has a model and a prompt's name, but neither messages nor tokens, is not a call of the model."""
    lookup = span(1, 2, 1, gen_ai__request__model="m")
    lookup.attributes.extend(attributes(NAMED))
    assert converted(span(1, 1), lookup)[1].span_type != "CHAT_MODEL"


def test_tags_of_any_span_are_the_traces() -> None:
    """The root's own value counts; text that is JSON stays the text that it was."""
    root = span(1, 1)
    root.attributes.extend(attributes({"mlflow.traceTag.plan": "gold"}))
    tagged = called(2, {"mlflow.traceTag.plan": "free", "mlflow.traceTag.flags": '["beta"]'})
    found = converted(root, tagged)[0]
    assert found.get_attribute("mlflow.traceTag.plan") == "gold"
    assert found.get_attribute("mlflow.traceTag.flags") == '["beta"]'


def test_tags_and_prompts_are_bounded() -> None:
    """A flood of either stays a bounded number at the root."""
    tags = {f"mlflow.traceTag.t{number}": "x" for number in range(MAX_TAGS + 5)}
    prompts = [{"gen_ai.prompt.name": f"p{n}", "gen_ai.prompt.version": "1"} for n in range(MAX_PROMPTS + 5)]
    spans = [span(1, 1), called(2, tags), *(called(n, values) for n, values in enumerate(prompts, 3))]
    root = converted(*spans)[0]
    kept = [key for key in root.attributes if key.startswith("mlflow.traceTag.t")]
    assert len(kept) == MAX_TAGS
    assert len(json.loads(root.get_attribute("mlflow.traceTag.mlflow.linkedPrompts"))) == MAX_PROMPTS
