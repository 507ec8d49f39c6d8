"""A result beside the peer's of the same run."""

from dataclasses import asdict, dataclass
from typing import Any


@dataclass(frozen=True, kw_only=True)
class SideBySide:
    """What each does in a second; the subclass says of what."""

    qualitrace_per_second: float
    mlflow_per_second: float

    @property
    def ratio(self) -> float:
        """How many times as fast qualitrace is."""
        return self.qualitrace_per_second / self.mlflow_per_second

    def as_json(self) -> dict[str, Any]:
        """Return everything that was measured."""
        return asdict(self) | {"ratio": self.ratio}
