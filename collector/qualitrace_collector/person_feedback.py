"""A person's opinion of a trace: the form that the feedback door takes and the journal keeps, and how values are read.

`source` says whether it is an end user's opinion (a thumb) or an expert's label: only labels calibrate judges.
"""

import hashlib
import uuid
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, FiniteFloat, StrictBool, StringConstraints, ValidationError
from pydantic_core import ErrorDetails

# The key in an assessment's metadata for `user` or `expert`.
SOURCE_KEY = "qualitrace.feedback.source"

GOOD_WORDS = frozenset("pass passed positive good thumbs_up correct yes true factual relevant non-toxic".split())

# How people, evaluation events and MLflow's scorers say in a word what they think of an answer; the last of both are
# Phoenix' labels (`phoenix.evals.default_templates`).
BAD_WORDS = frozenset("fail failed negative bad thumbs_down incorrect no false hallucinated unrelated toxic".split())

LONGEST_WORD, LONGEST_COMMENT = 200, 10_000  # characters

_NO_NUL = r"^[^\x00]*$"  # PostgreSQL keeps none
Word = Annotated[str, StringConstraints(min_length=1, max_length=LONGEST_WORD, strip_whitespace=True, pattern=_NO_NUL)]

_A_WORD = f"text of 1 to {LONGEST_WORD} characters, none of them NUL"


class PersonFeedback(BaseModel):
    """One opinion. The fields' descriptions are the text of the errors that senders get.

    Attributes:
        trace_id: 32 hexadecimal digits; MLflow's form with `tr-` before them is accepted, too.
        name: the assessment's name: a judge's, to calibrate it, or any other such as `thumb`.
        value: true or false, a number, or a word such as `pass`.
        comment: why, in the person's words.
        source: whether the person is an end user of the application or an expert.
        user: who the person is.
        id: the same opinion, sent again, has the same id.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    trace_id: Annotated[str, StringConstraints(pattern=r"^(tr-)?[0-9a-fA-F]{32}$", to_lower=True)] = Field(
        description="32 hexadecimal digits, with or without 'tr-' before them"
    )
    name: Word = Field(description=_A_WORD)
    value: StrictBool | FiniteFloat | Word = Field(description=f"true or false, a number, or {_A_WORD}")
    comment: str | None = Field(
        default=None,
        max_length=LONGEST_COMMENT,
        pattern=_NO_NUL,
        description=f"text of at most {LONGEST_COMMENT:,} characters, none of them NUL",
    )
    source: Literal["user", "expert"] = Field(default="user", description="'user' or 'expert'")
    user: Word | None = Field(default=None, description=_A_WORD)
    id: Word = Field(default_factory=lambda: uuid.uuid4().hex, description=_A_WORD)

    @classmethod
    def parse(cls, body: bytes, key: str | None = None) -> Self:
        """Read the JSON of a request.

        Args:
            key: the request's Idempotency-Key; it is the `id` if the body has none.

        Raises:
            ValueError: it is no such JSON; the message names each bad field.
        """
        try:
            given = cls.model_validate_json(body)
            if key and "id" not in given.model_fields_set:
                given = cls.model_validate(given.model_dump() | {"id": key})
        except ValidationError as error:
            raise ValueError("; ".join(dict.fromkeys(map(_mistake, error.errors())))) from None
        if given.trace_id.removeprefix("tr-") == "0" * 32:
            raise ValueError("trace_id: must not be all zero")
        return given

    @property
    def mlflow_trace_id(self) -> str:
        """The trace's id in MLflow."""
        return "tr-" + self.trace_id.removeprefix("tr-")

    @property
    def otlp_trace_id(self) -> bytes:
        """The trace's id in OTLP, 16 bytes."""
        return bytes.fromhex(self.trace_id.removeprefix("tr-"))

    @property
    def assessment_id(self) -> str:
        """The assessment's id in MLflow, 43 characters: the same for the same opinion."""
        return "qt-" + hashlib.sha256(f"feedback\0{self.mlflow_trace_id}\0{self.id}".encode()).hexdigest()[:40]


def is_good(word: str) -> bool | None:
    """Read an opinion that is a word, in any case; None if it is neither good nor bad."""
    word = word.strip().lower().replace(" ", "_")
    return True if word in GOOD_WORDS else False if word in BAD_WORDS else None


def read_label(value: Any) -> bool | None:
    """Read an expert's value: true, numbers from 0.5 to 1, and `pass`, `yes` … are good; None if it is neither."""
    if isinstance(value, bool | int | float):
        return value >= 0.5 if 0 <= value <= 1 else None
    return is_good(str(value))


def is_dislike(opinion: bool | float | str) -> bool:
    """Whether an opinion is a dislike: false, a number of zero or less, or a word such as `fail`."""
    return is_good(opinion) is False if isinstance(opinion, str) else opinion <= 0


def _mistake(detail: ErrorDetails) -> str:
    """Return an error that names the field and says what belongs there."""
    if not detail["loc"]:
        syntax = f" ({detail['msg']})" if detail["type"] == "json_invalid" else ""
        return f"body: must be a JSON object with trace_id, name and value{syntax}"
    name = str(detail["loc"][0])
    field = PersonFeedback.model_fields.get(name)
    if field is None:
        return f"{name}: unknown field; known are {', '.join(PersonFeedback.model_fields)}"
    return f"{name}: {'is missing; it ' if detail['type'] == 'missing' else ''}must be {field.description}"
