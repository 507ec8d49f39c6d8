"""What a person says of a trace: the form that the feedback door takes and the journal keeps.

End users' opinions (a thumb) and experts' labels are told apart by `source`: only the latter calibrate judges.
"""

import hashlib
import uuid
from typing import Annotated, Literal, Self

from pydantic import Field, FiniteFloat, StrictBool, StringConstraints, ValidationError

from qualitrace_collector.config.section import Section

SOURCE_KEY = "qualitrace.feedback.source"
"""The assessment's metadata that tells `user` from `expert`."""

LONGEST_WORD, LONGEST_COMMENT = 200, 10_000
"""Characters."""

_NO_NUL = r"^[^\x00]*$"  # PostgreSQL keeps none
Word = Annotated[str, StringConstraints(min_length=1, max_length=LONGEST_WORD, strip_whitespace=True, pattern=_NO_NUL)]


class PersonFeedback(Section):
    """One opinion.

    Attributes:
        trace_id: 32 hexadecimal digits; MLflow's form with `tr-` before them is taken, too.
        name: of the assessment: a judge's, to calibrate it, or any other such as `thumb`.
        value: true or false, a number, or a word such as `pass`.
        comment: why, in the person's words.
        source: whether an end user of the application or an expert speaks.
        user: who it is.
        id: the same opinion, sent again, has the same id.
    """

    trace_id: Annotated[str, StringConstraints(pattern=r"^(tr-)?[0-9a-fA-F]{32}$", to_lower=True)]
    name: Word
    value: StrictBool | FiniteFloat | Word
    comment: str | None = Field(default=None, max_length=LONGEST_COMMENT, pattern=_NO_NUL)
    source: Literal["user", "expert"] = "user"
    user: Word | None = None
    id: Word = Field(default_factory=lambda: uuid.uuid4().hex)

    @classmethod
    def parse(cls, body: bytes, key: str | None = None) -> Self:
        """Read the JSON of a request; `key` is its Idempotency-Key, which counts where the body has no `id`.

        Raises:
            ValueError: it is no such JSON; the message names each bad field.
        """
        try:
            given = cls.model_validate_json(body)
            if key and "id" not in given.model_fields_set:
                given = cls.model_validate(given.model_dump() | {"id": key})
        except ValidationError as error:
            mistakes = (f"{'.'.join(map(str, item['loc'][:1])) or 'body'}: {item['msg']}" for item in error.errors())
            raise ValueError("; ".join(dict.fromkeys(mistakes))) from None
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
