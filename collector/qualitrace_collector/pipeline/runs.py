"""Finds model calls that belong together although each came as a trace of its own: an agent's run in pieces.

A call goes on from another one if it quotes that one's answer, or if both are of one session and too close for a person
to have answered in between. The next turn of a chat is none of these: there the answer is one of the model's own turns.
"""

from collections import OrderedDict, deque
from typing import Any, NamedTuple

from qualitrace_collector.convert.content.messages import messages_in
from qualitrace_collector.convert.content.opening import as_sent

# Nobody reads an answer and types the next question in this time.
PAUSE_NS = 2_000_000_000
# What is remembered: the last calls of each service, and the beginning of each answer.
MAX_SERVICES = 1_000
MAX_CALLS = 8
MAX_ANSWER = 1_000
# Shorter answers ("Yes.") stand in many prompts.
MIN_ANSWER = 40


class BareCall(NamedTuple):
    """A model call that is a trace of its own: when it ran (Unix nanoseconds), whose it is, what was said."""

    trace_id: str
    start: int
    end: int
    session: str
    inputs: Any
    answer: str


class RecentCalls:
    """Remembers the last calls of each service; not thread-safe."""

    def __init__(self) -> None:
        self._calls: OrderedDict[tuple[str, str], deque[BareCall]] = OrderedDict()

    def goes_on(self, tenant: str, service: str, call: BareCall) -> bool:
        """Remember a call; return whether it goes on from another one that came before."""
        calls = self._calls.setdefault((tenant, service), deque(maxlen=MAX_CALLS))
        self._calls.move_to_end((tenant, service))
        while len(self._calls) > MAX_SERVICES:
            self._calls.popitem(last=False)
        near = [other for other in calls if _is_near(other, call)]
        calls.append(call._replace(inputs=None, answer=call.answer.strip()[:MAX_ANSWER]))
        return bool(near) and _is_one_run(near, call)


def _is_near(other: BareCall, call: BareCall) -> bool:
    return other.trace_id != call.trace_id and call.start - other.start >= 0 and call.start - other.end < PAUSE_NS


def _is_one_run(near: list[BareCall], call: BareCall) -> bool:
    turns = [(turn.role, turn.content) for turn in messages_in(call.inputs)] or [("user", as_sent(call.inputs))]
    own = "\n".join(text for role, text in turns if role == "assistant")
    given = "\n".join(text for role, text in turns if role != "assistant")
    for other in near:
        if other.answer and other.answer in own:
            continue  # a chat, and a quick user or a script
        quoted = len(other.answer) >= MIN_ANSWER and call.start >= other.end and other.answer in given
        if quoted or (call.session and call.session == other.session):
            return True
    return False
