"""The section `journal`."""

from typing import Literal

from pydantic import ByteSize

from qualitrace_collector.config.section import Section


class Journal(Section):
    """The durable log of acked requests."""

    kind: Literal["sqlite"] = "sqlite"
    """Where acked requests wait."""
    max_size: ByteSize = ByteSize(1 << 30)
    """Size of the requests that wait. Beyond it, requests get 503 or UNAVAILABLE."""
