"""The section `journal`."""

from typing import Literal

from pydantic import ByteSize, Field

from qualitrace_collector.config.section import Section


class Journal(Section):
    """The durable log of acked requests."""

    kind: Literal["sqlite"] = "sqlite"
    max_size: ByteSize = Field(default=ByteSize(1 << 30), description="refuse with a retryable answer beyond")
