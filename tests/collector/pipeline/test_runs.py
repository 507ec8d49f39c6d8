"""Model calls of one agent's run are told from those of chats and of other users."""

from typing import Any

import pytest

from qualitrace_collector.pipeline.runs import MAX_CALLS, MAX_SERVICES, BareCall, RecentCalls

SECOND = 1_000_000_000
LONG = "The warranty of a tent lasts 24 months from the day of purchase."


def call(number: int, start: float, inputs: Any, answer: str, session: str = "") -> BareCall:
    """Build a call that takes a second."""
    return BareCall(f"tr-{number}", int(start * SECOND), int((start + 1) * SECOND), session, inputs, answer)


def goes_on(*calls: BareCall) -> list[bool]:
    recent = RecentCalls()
    return [recent.goes_on("", "shop", item) for item in calls]


@pytest.mark.parametrize(
    ("start", "prompt", "expected"),
    [
        (2.5, f"Write of: {LONG}", True),
        (2.5, [{"role": "user", "content": "Write."}, {"role": "tool", "content": LONG}], True),
        (2.5, [{"role": "user", "content": "A?"}, {"role": "assistant", "content": LONG}], False),  # a chat
        (60, f"Write of: {LONG}", False),
        (0.5, f"Write of: {LONG}", False),  # it began before the answer was there
        (2.5, "Write.", False),
    ],
)
def test_a_quoted_answer(start: float, prompt: Any, expected: bool) -> None:
    """A call that is given what another one has just answered goes on from it."""
    assert goes_on(call(1, 0, "Plan.", f"{LONG}\n"), call(2, start, prompt, "So.")) == [False, expected]


def test_a_short_answer_is_no_quote() -> None:
    """It stands in many prompts."""
    assert goes_on(call(1, 0, "Plan.", "Yes."), call(2, 2.5, "Yes. Write.", "So.")) == [False, False]


@pytest.mark.parametrize(
    ("start", "session", "expected"), [(2.5, "s1", True), (0.5, "s1", True), (30, "s1", False), (2.5, "s2", False)]
)
def test_one_session(start: float, session: str, expected: bool) -> None:
    """Nobody asks again within two seconds; side by side they belong together, too."""
    assert goes_on(call(1, 0, "A?", "A.", "s1"), call(2, start, "B?", "B.", session)) == [False, expected]


def test_a_quick_chat_is_no_run() -> None:
    """Its prompt repeats the turns before, as a script's does."""
    turns = [
        {"role": "user", "content": "A?"},
        {"role": "assistant", "content": "A."},
        {"role": "user", "content": "B?"},
    ]
    assert goes_on(call(1, 0, "A?", "A.", "s1"), call(2, 1.5, turns, "B.", "s1")) == [False, False]


def test_a_call_does_not_go_on_from_itself() -> None:
    """It is read again after a crash, and when a late span comes."""
    first = call(1, 0, LONG, LONG, "s1")
    assert goes_on(first, first) == [False, False]


def test_others_are_strangers() -> None:
    """Another service, or the same name of another tenant, has runs of its own; few calls are remembered."""
    recent = RecentCalls()
    recent.goes_on("", "shop", call(1, 0, "Plan.", LONG))
    quoting = call(2, 2.5, LONG, "So.")
    assert not recent.goes_on("", "other", quoting)
    assert not recent.goes_on("tenant", "shop", quoting)
    for number in range(MAX_CALLS):
        recent.goes_on("", "shop", call(10 + number, 2, "A?", "A."))
    assert not recent.goes_on("", "shop", quoting)


def test_services_are_bounded() -> None:
    """The one that was not seen for longest is forgotten."""
    recent = RecentCalls()
    for number in range(MAX_SERVICES + 1):
        recent.goes_on("", f"shop-{number}", call(1, 0, "Plan.", LONG))
    quoting = call(2, 2.5, LONG, "So.")
    assert not recent.goes_on("", "shop-0", quoting)
    assert recent.goes_on("", f"shop-{MAX_SERVICES}", quoting)
