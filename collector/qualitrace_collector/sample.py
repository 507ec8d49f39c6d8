"""What judges see: one answer of an application, with the question and the passages that it rests on."""

import hashlib
import json
from dataclasses import asdict, dataclass, field, fields
from typing import Any, Literal, Self

PassagesSource = Literal["retriever", "prompt", "tool", "none"]

# The fields of a sample's metadata, by the attributes that they are taken from: of any span of the trace …
METADATA = {
    "session.id": "session",
    "gen_ai.conversation.id": "session",
    "user.id": "user",
    "qualitrace.prompt.version": "prompt_version",
}
# … and of the root alone: below it may be spans of other services, each with an origin of its own.
ROOT_METADATA = {
    "http.route": "route",
    "service.version": "release",
    "deployment.environment.name": "environment",
    "deployment.environment": "environment",
}

# What a service's answers are told apart by, in scores, requests and alert rules.
SLICES = ("model", "prompt_version", "release", "environment", "route", "retriever")


@dataclass(frozen=True, slots=True, kw_only=True)
class Message:
    """One turn of a conversation; `role` is user, assistant, system or tool."""

    role: str
    content: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ToolCall:
    """A tool the application called: its name, its arguments and its result as text."""

    name: str
    arguments: str = ""
    result: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Sample:
    """An answer to judge. All of it is text that users or models wrote: data, never instructions.

    Attributes:
        inputs: the question or the task, as text.
        outputs: the answer, as text.
        passages: the retrieved texts that the answer should rest on, in order of rank.
        passages_source: where the passages were found.
        conversation: the earlier turns, oldest first.
        tool_calls: the tools that the application called on the way.
        metadata: service, model, prompt_version, session, user, route, release, environment, retriever … all text;
            `seconds` is how long the request took.
    """

    inputs: str = ""
    outputs: str = ""
    passages: tuple[str, ...] = ()
    passages_source: PassagesSource = "none"
    conversation: tuple[Message, ...] = ()
    tool_calls: tuple[ToolCall, ...] = ()
    metadata: dict[str, str] = field(default_factory=dict[str, str])

    def to_json(self) -> str:
        """Serialise to canonical JSON (sorted keys, no spaces)."""
        return json.dumps(self._fields(), default=asdict, sort_keys=True, separators=(",", ":"))

    @classmethod
    def from_json(cls, text: str) -> Self:
        """Read back what `to_json` wrote."""
        data: dict[str, Any] = json.loads(text)
        data["passages"] = tuple(data["passages"])
        data["conversation"] = tuple(Message(**turn) for turn in data["conversation"])
        data["tool_calls"] = tuple(ToolCall(**call) for call in data["tool_calls"])
        return cls(**data)

    @property
    def content_hash(self) -> str:
        """The first 32 hex digits of the SHA-256 of all that a judge may look at, which leaves out the metadata."""
        judged = {key: value for key, value in self._fields().items() if key != "metadata"}
        return hashlib.sha256(json.dumps(judged, default=asdict, sort_keys=True).encode()).hexdigest()[:32]

    def _fields(self) -> dict[str, Any]:
        return {field.name: getattr(self, field.name) for field in fields(self)}
