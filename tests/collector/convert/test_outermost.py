"""The outermost spans of some types are found in any tree, and in time linear in it."""

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st
from mlflow.entities import Span, SpanType

from qualitrace_collector.convert.build_sample import build_sample, outermost
from support.mlflow_db import converted
from support.otlp import span

TOOLS = (SpanType.TOOL,)


def tree(parents: list[int], tools: list[bool]) -> list[Span]:
    """Spans numbered from 1; 0 as a parent is none."""
    kinds = ["TOOL" if tool else "CHAIN" for tool in tools]
    spans = [
        span(1, number, parent, openinference__span__kind=kind)
        for number, (parent, kind) in enumerate(zip(parents, kinds, strict=True), 1)
    ]
    return list(converted(spans, "shop").spans)


def test_a_tool_within_a_tool_is_not_outermost():
    """Also with a chain between them; a tool beside them is."""
    found = outermost(tree([0, 1, 2, 3, 1], [False, True, False, True, True]), TOOLS)
    assert [int(span.span_id, 16) for span in found] == [2, 5]


@pytest.mark.parametrize(("parents", "expected"), [([1], [1]), ([2, 1], []), ([2, 1, 1], [])])
def test_circles_of_parents_end(parents: list[int], expected: list[int]):
    """A span that is its own parent stands alone; of two that contain each other none is outermost."""
    assert [int(span.span_id, 16) for span in outermost(tree(parents, [True] * len(parents)), TOOLS)] == expected


@given(st.data())
def test_it_is_what_the_definition_says(data: st.DataObject):
    """For trees of any shape: of the type, and no span above is."""
    tools = data.draw(st.lists(st.booleans(), min_size=1, max_size=12))
    parents = [data.draw(st.integers(0, number)) for number in range(len(tools))]

    def above(number: int) -> list[int]:
        parent = parents[number - 1]
        return [parent, *above(parent)] if parent else []

    numbers = [n for n in range(1, len(tools) + 1) if tools[n - 1] and not any(tools[p - 1] for p in above(n))]
    assert [int(span.span_id, 16) for span in outermost(tree(parents, tools), TOOLS)] == numbers


def test_a_deep_trace_of_many_calls_takes_no_longer_than_a_flat_one():
    """Thousands of tools at the end of a chain of thousands of steps are sampled in seconds, not in minutes."""
    depth = 3000
    spans = tree([*range(depth), *([depth] * depth)], [False] * depth + [True] * depth)
    started = time.process_time()
    assert len(build_sample(spans, "shop").tool_calls) == depth
    assert time.process_time() - started < 5
