"""Any value becomes bounded text; expectations are of JSON, not of our output."""

import json
from dataclasses import dataclass
from datetime import date
from enum import Enum
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel, SecretStr

from qualitrace.serialize import CUT, LIMIT, to_json, to_text

scalars = (
    st.none() | st.booleans() | st.integers(-(2**63), 2**63 - 1) | st.floats(allow_nan=False, allow_infinity=False)
)
values = st.recursive(
    scalars | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=40,
)


@given(values)
def test_json_values_survive(value: Any) -> None:
    """What JSON can say comes back the same."""
    assert json.loads(to_json(value)) == value


@given(st.text(st.characters()) | st.binary() | st.sets(st.integers()) | st.floats() | st.integers() | values)
def test_always_encodable(value: Any) -> None:
    """Whatever the value, the text is valid UTF-8 (OTLP carries nothing else) and bounded."""
    text, mime_type = to_text(value)
    assert len(text.encode()) <= 4 * (LIMIT + len(CUT))
    assert mime_type == ("text/plain" if isinstance(value, str) else "application/json")


class Color(Enum):
    RED = "red"


@dataclass
class Point:
    x: int
    when: date


class Account(BaseModel):
    name: str
    password: SecretStr


class Broken:
    def __repr__(self) -> str:
        raise RuntimeError("no repr")


class Array:
    def __repr__(self) -> str:
        return "array([1, 2])"


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (Color.RED, "red"),
        (Point(1, date(2026, 11, 24)), {"x": 1, "when": "2026-11-24"}),
        (Account(name="ann", password=SecretStr("hunter2")), {"name": "ann", "password": "SecretStr('**********')"}),
        ([Broken(), 1], ["<unreadable Broken>", 1]),
        (Array(), "array([1, 2])"),
        (float("nan"), "nan"),
        (b"123", "<3 bytes>"),
        ({1: "a", None: 2}, {"1": "a", "None": 2}),
        ((1, (2,)), [1, [2]]),
    ],
)
def test_objects(value: Any, expected: Any) -> None:
    """Objects are read by what they hold, secrets stay hidden, and one that raises is named."""
    assert json.loads(to_json(value)) == expected


def test_cycle() -> None:
    """A value inside itself is named, not followed."""
    loop: list[Any] = [1]
    loop.append(loop)
    assert json.loads(to_json(loop)) == [1, "<list>"]


def test_depth() -> None:
    """Nesting beyond Python's recursion limit is cut."""
    deep: list[Any] = []
    for _ in range(100_000):
        deep = [deep]
    assert "<list>" in to_json(deep)


@pytest.mark.parametrize(
    "huge",
    ["x" * 10**6, ["\n" * 1000] * 10**3, ["x" * 1000] * 10**5, list(range(10**6)), {str(i): i for i in range(10**5)}],
)
def test_huge_is_cut_with_a_mark(huge: Any) -> None:
    """A huge value is cut at the limit, marked, and a structure is still valid JSON."""
    text, mime_type = to_text(huge)
    assert 4000 < len(text) <= LIMIT + len(CUT)
    assert CUT in text
    if mime_type == "application/json":
        assert json.loads(text)


def test_cost_is_bounded() -> None:
    """Of a value with many items only as many are read as can be kept."""
    read = 0

    class Counting:
        def __repr__(self) -> str:
            nonlocal read
            read += 1
            return "item"

    to_json([Counting() for _ in range(50_000)])
    assert read <= 1000
