"""What a backup holds: `manifest.json`, without which a folder is not a finished backup."""

import hashlib
import importlib.metadata
from collections.abc import Sequence
from pathlib import Path, PurePosixPath
from typing import Annotated, Self

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError, field_validator

from qualitrace_collector.journal import schema as journal_schema
from qualitrace_collector.journal import sqlite as journal
from qualitrace_collector.state import database as state
from qualitrace_collector.state import schema as state_schema

FILE_NAME = "manifest.json"
FORMAT = 1
MAX_BYTES = (1 << 63) - 1
"""The size of a file: file systems know no larger ones."""
MAX_MANIFEST_BYTES = 1 << 26
"""The size of the manifest: it names up to 300,000 artifacts, and takes 400 MB of memory to read then."""
MLFLOW, ARTIFACTS = "mlflow.db", "artifacts"


Line = Annotated[str, Field(pattern=r"^\P{Cc}*$")]
"""A text that the commands repeat: a terminal obeys control characters."""


class BackupError(Exception):
    """A backup cannot be made or restored; the message names the file and says what to do."""


def _inside(name: str) -> str:
    path = PurePosixPath(name)
    # Only in one spelling: what comes after the first slash is appended to a folder, and must not begin with one.
    below = name.startswith(f"{ARTIFACTS}/") and name == path.as_posix() and ".." not in path.parts and "\0" not in name
    if not below and name not in (journal.FILE_NAME, state.FILE_NAME, MLFLOW):
        raise ValueError(f"{name!r} is no file of a backup")
    return name


class BackedUpFile(BaseModel):
    """A file of a backup.

    Attributes:
        name: its path in the backup, with slashes.
        size: bytes.
    """

    model_config = ConfigDict(frozen=True)

    name: Annotated[str, Field(min_length=1), AfterValidator(_inside)]
    size: Annotated[int, Field(ge=0, le=MAX_BYTES)]
    sha256: str

    @classmethod
    def of(cls, folder: Path, path: Path) -> Self:
        """Describe a file in a backup's folder.

        Raises:
            BackupError: JSON cannot hold its name.
        """
        name = path.relative_to(folder).as_posix()
        try:
            name.encode()
        except UnicodeEncodeError:
            raise BackupError(f"{name!a}: the name is not UTF-8, so no manifest can hold it; rename the file") from None
        with path.open("rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
        return cls(name=name, size=path.stat().st_size, sha256=digest)


class Manifest(BaseModel):
    """A backup.

    Attributes:
        format: of this file.
        qualitrace: the release that wrote it.
        state_version, journal_format: of the databases.
        mlflow: the release of MLflow that is installed beside it.
        mlflow_at: the tracking URI, without credentials, if MLflow's database is not in the backup; else empty.
        artifacts_at: the URI of the folder that MLflow's artifacts were in.
        began_at: RFC 3339; each request that was acked before is in the backup.
        finished_at: RFC 3339.
    """

    model_config = ConfigDict(frozen=True)

    format: int = FORMAT
    qualitrace: Line = Field(default_factory=lambda: importlib.metadata.version("qualitrace"))
    state_version: int
    journal_format: int
    mlflow: Line = Field(default_factory=lambda: importlib.metadata.version("mlflow"))
    mlflow_at: Line
    artifacts_at: Line
    began_at: Line
    finished_at: Line
    files: tuple[BackedUpFile, ...]

    @field_validator("files")
    @classmethod
    def _complete(cls, files: tuple[BackedUpFile, ...]) -> tuple[BackedUpFile, ...]:
        if missing := {journal.FILE_NAME, state.FILE_NAME} - {file.name for file in files}:
            raise ValueError(f"{', '.join(sorted(missing))} is missing")
        if len({file.name for file in files}) < len(files):
            raise ValueError("a name occurs twice")
        return files

    @property
    def has_mlflow(self) -> bool:
        """Whether MLflow's database is in the backup."""
        return any(file.name == MLFLOW for file in self.files)

    @property
    def artifacts(self) -> Sequence[BackedUpFile]:
        """MLflow's artifacts."""
        return [file for file in self.files if file.name.startswith(f"{ARTIFACTS}/")]

    @property
    def size(self) -> int:
        """Bytes of all files."""
        return sum(file.size for file in self.files)

    @classmethod
    def read(cls, folder: Path) -> Self:
        """Read a backup's manifest, and check that this qualitrace knows what is in the backup.

        Raises:
            BackupError: it is not a finished backup, or a newer qualitrace's.
        """
        path = folder / FILE_NAME
        try:
            with path.open("rb") as file:
                text = file.read(MAX_MANIFEST_BYTES + 1)
        except FileNotFoundError:
            what = "is no finished backup: it has no manifest.json" if folder.is_dir() else "no such folder"
            raise BackupError(f"{folder}: {what}") from None
        except OSError as error:
            raise BackupError(f"{path}: cannot be read: {error.strerror}") from error
        if len(text) > MAX_MANIFEST_BYTES:
            raise BackupError(
                f"{path}: is damaged: no manifest is larger than {MAX_MANIFEST_BYTES:,} bytes; take another backup"
            )
        try:
            version = _Version.model_validate_json(text)
            if version.format > FORMAT:
                raise BackupError(
                    f"{folder}: is a backup of format {version.format}, written by qualitrace {version.qualitrace}, "
                    f"and this qualitrace knows {FORMAT}: restore it with that release"
                )
            manifest = cls.model_validate_json(text)
        except ValidationError as error:
            first = error.errors()[0]
            where = ".".join(map(str, first["loc"]))
            raise BackupError(f"{path}: is damaged: {where}: {first['msg']}; take another backup") from None
        manifest._check_versions(folder)
        return manifest

    def _check_versions(self, folder: Path) -> None:
        with_it = f"restore it with qualitrace {self.qualitrace}, which wrote it"
        if self.state_version > state_schema.VERSION:
            raise BackupError(
                f"{folder / state.FILE_NAME}: has tables of version {self.state_version}, newer than this "
                f"qualitrace's {state_schema.VERSION}; {with_it}"
            )
        if self.journal_format != journal_schema.VERSION:
            raise BackupError(
                f"{folder / journal.FILE_NAME}: has format {self.journal_format}, and this qualitrace reads "
                f"{journal_schema.VERSION}; {with_it}"
            )

    def write(self, folder: Path) -> Path:
        """Write it into a backup's folder; return the file.

        Raises:
            BackupError: it names more artifacts than a manifest can hold.
        """
        text = f"{self.model_dump_json(indent=1)}\n".encode()
        if len(text) > MAX_MANIFEST_BYTES:
            raise BackupError(
                f"{len(self.artifacts):,} artifacts of MLflow are more than a backup can hold: its manifest would have "
                f"{len(text):,} bytes, and {MAX_MANIFEST_BYTES:,} is the limit; delete runs that you no longer need "
                "(mlflow gc)"
            )
        path = folder / FILE_NAME
        path.write_bytes(text)
        return path


class _Version(BaseModel):
    """What every format says of itself."""

    format: int
    qualitrace: Line
