"""Where a server keeps what a backup holds."""

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from qualitrace_collector.journal.sqlite import FILE_NAME as JOURNAL
from qualitrace_collector.mlflow_store.reach import sqlite_file
from qualitrace_collector.settings import CollectorConfig
from qualitrace_collector.state.database import FILE_NAME as STATE
from qualitrace_monitors.backup.manifest import ARTIFACTS, MLFLOW


@dataclass(frozen=True)
class Places:
    """The files of a server.

    Attributes:
        mlflow: MLflow's database; None if it is not a SQLite file.
        artifacts: the folder of MLflow's artifacts, which may be missing.
    """

    journal: Path
    state: Path
    mlflow: Path | None
    artifacts: Path

    @classmethod
    def of(cls, config: CollectorConfig) -> Self:
        """Return the places of a configuration."""
        data = config.data_dir.resolve()
        mlflow = sqlite_file(config.tracking_uri)
        beside = data if mlflow is None else mlflow.parent  # MLflow has a SQLite file's artifacts beside it
        return cls(data / JOURNAL, data / STATE, mlflow, beside / ARTIFACTS)

    def of_file(self, name: str) -> Path:
        """Return the place of a backup's file, given its name there."""
        if name == MLFLOW and self.mlflow is not None:
            return self.mlflow
        folder, _, rest = name.partition("/")
        return self.artifacts / rest if rest and folder == ARTIFACTS else self.state.parent / name


def sync(*paths: Path) -> None:
    """Make files and folders durable."""
    for path in paths:
        descriptor = os.open(path, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
