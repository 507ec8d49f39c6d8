"""What the kinds of receivers have in common: what they deliver, how they fail, and the settings that all have."""

import uuid
from abc import abstractmethod
from dataclasses import dataclass
from typing import Any, ClassVar

from pydantic import ModelWrapValidatorHandler, model_validator
from pydantic_core import InitErrorDetails, ValidationError

from qualitrace_collector.config.section import Section
from qualitrace_collector.config.values import Duration
from qualitrace_collector.masking import masked

LONGEST_REASON = 500
"""Characters of a reason: an answer may repeat the whole notification."""
UNREACHABLE = "it cannot be reached: see the log"


@dataclass(frozen=True, slots=True, kw_only=True)
class Notification:
    """A notification for one receiver.

    Attributes:
        id: the same at every attempt, so that a receiver can recognize a repeat.
        receiver: the receiver's name in the configuration.
        body: Alertmanager's webhook payload, version 4, as JSON; see `payload`.
        created_at, due_at: Unix seconds.
        attempts: how many failed.
    """

    id: str
    receiver: str
    body: str
    created_at: float
    due_at: float
    attempts: int


@dataclass(frozen=True, slots=True)
class Answer:
    """What a receiver said that took a notification.

    Attributes:
        text: its answer, in a few words.
        problem: what is wrong although it took it, in words without addresses and contents; empty if nothing is.
    """

    text: str
    problem: str = ""


class DeliveryFailed(Exception):
    """The receiver could not be reached, or did not take the notification.

    Args:
        reason: what is logged.
        retry_after: the least number of seconds until the next attempt.
        permanent: no later attempt can succeed.
        problem: the reason in words without names, addresses and contents, for those who may see no more.
    """

    def __init__(
        self, reason: str, retry_after: float = 0.0, *, permanent: bool = False, problem: str = UNREACHABLE
    ) -> None:
        super().__init__(one_line(reason))
        self.retry_after = retry_after
        self.permanent = permanent
        self.problem = problem


def one_line(text: str) -> str:
    """Return a text from outside on one line, without secrets, cut with an ellipsis."""
    line = " ".join(masked(text).split())  # an address may hold a token
    return line if len(line) <= LONGEST_REASON else line[: LONGEST_REASON - 1] + "…"


class Receiver(Section):
    """Someone or something to notify: the settings that all kinds have."""

    kinds: ClassVar[dict[str, type["Receiver"]]] = {}
    default_kind: ClassVar[str] = "webhook"

    give_up_after: Duration = 86_400.0
    """How long delivery is tried again, with growing pauses, before the notification is given up."""

    @property
    def repeats_every(self) -> float | None:
        """Seconds between two notifications of an alert that fires; None to notify of changes alone."""
        return None

    @abstractmethod
    def deliver(self, notification: Notification, now: float) -> Answer:
        """Deliver a notification once; `now` is in Unix seconds.

        Raises:
            DeliveryFailed: it was not taken.
        """
        raise NotImplementedError

    @classmethod
    def _with_secrets(cls, values: dict[str, Any]) -> dict[str, Any]:
        # A template that lost its value leaves a key with nothing after it: not a webhook without a signature.
        for key in (key for name in cls.secret_fields() for key in (name, f"{name}_file")):
            if key in values and values[key] is None:
                raise ValueError(f"{key}: is empty; leave the key out for no secret")
        return super()._with_secrets(values)

    @model_validator(mode="wrap")
    @classmethod
    def _of_its_kind(cls, data: Any, validate: ModelWrapValidatorHandler["Receiver"]) -> "Receiver":
        if cls is not Receiver or not isinstance(data, dict):
            return validate(data)
        kind = data.get("kind", cls.default_kind)
        if kind not in tuple(cls.kinds):
            expected = " or ".join(map(repr, cls.kinds))
            error = InitErrorDetails(type="literal_error", loc=("kind",), input=kind, ctx={"expected": expected})
            raise ValidationError.from_exception_data("receiver", [error])
        return cls.kinds[kind].model_validate(data)


def new_id() -> str:
    """Return the id of a new notification."""
    return f"msg_{uuid.uuid4().hex}"


def attempt(receiver: Receiver, notification: Notification, now: float) -> Answer:
    """Deliver a notification once; `now` is in Unix seconds.

    Raises:
        DeliveryFailed: it was not taken, whatever the kind of receiver raised.
    """
    try:
        return receiver.deliver(notification, now)
    except DeliveryFailed:
        raise
    except Exception as error:
        raise DeliveryFailed(f"{type(error).__name__}: {error}") from error
