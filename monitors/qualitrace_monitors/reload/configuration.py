"""The configuration that the processes run with, and how another one takes its place."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from operator import attrgetter
from pathlib import Path
from typing import Self

from qualitrace_collector.config import ConfigError
from qualitrace_collector.config.load import line_of, load_text
from qualitrace_collector.config.section import read_text
from qualitrace_collector.journal.settings import Journal
from qualitrace_collector.receive.settings import Tls
from qualitrace_monitors.config import Config

FIXED = (
    "listen.otlp_http",
    "listen.otlp_grpc",
    "listen.web",
    "data_dir",
    *(f"journal.{name}" for name in Journal.model_fields),
    "tracking_uri",
)
"""What a reload cannot change: addresses, and where things lie."""

_CALLED = {"tracking_uri": "mlflow.tracking_uri"}
_OF_WEB = {"web_external_url", "web_token"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Configuration:
    """A configuration file as it was read, so that a process that starts again later gets the same.

    Attributes:
        path: the file; None for the defaults.
        text: what it held.
        config: what that means.
        certificates: what the files of `otlp.tls` held.
    """

    path: Path | None
    text: str
    config: Config
    certificates: Sequence[bytes]

    @classmethod
    def read(cls, path: Path | None) -> Self:
        """Read the file.

        Raises:
            ConfigError: with every mistake in it.
        """
        if path is None:
            return cls(path=None, text="", config=Config(), certificates=())
        try:
            text = read_text(path)
            config = load_text(text, str(path), Config)
            return cls(path=path, text=text, config=config, certificates=_contents(config.otlp.tls))
        except OSError as error:
            raise ConfigError(str(path), [f"cannot be read: {error.strerror}"]) from None
        except ValueError as error:
            raise ConfigError(str(path), [f"not UTF-8 text, or too long: {error}"]) from None

    def read_again(self) -> Self:
        """Read the file again.

        Raises:
            ConfigError: with every mistake in it, or with each setting that changed and cannot be reloaded.
        """
        if self.path is None:
            raise ConfigError("configuration", ["there is no file to read again: start with --config"])
        if (
            self.path.exists() and not self.path.is_file()
        ):  # a pipe gives its text once, and holds up who reads it again
            raise ConfigError(str(self.path), ["is no regular file, so it cannot be read again: restart the server"])
        read = type(self).read(self.path)
        if mistakes := list(self._fixed_that_changed(read.config)):
            raise ConfigError(str(self.path), mistakes)
        return read

    def _fixed_that_changed(self, other: Config) -> Iterator[str]:
        for name in FIXED:
            before, now = (attrgetter(name)(config) for config in (self.config, other))
            if before != now:
                text = f"cannot be reloaded (runs with {before}, got {now}): take it back, or restart the server"
                yield line_of((_CALLED.get(name, name), text))

    def concerned(self, other: Self) -> list[str]:
        """Return the processes that do something else with another configuration."""
        old, new = self.config, other.config
        doors = self.certificates != other.certificates or old.otlp != new.otlp
        doors = doors or old.listen.model_dump(exclude=_OF_WEB) != new.listen.model_dump(exclude=_OF_WEB)
        work = old.model_copy(update={"otlp": new.otlp}) != new
        return [name for name, changed in (("receive", doors), ("work", work)) if changed]


def _contents(tls: Tls | None) -> list[bytes]:
    paths = (tls.cert_file, tls.key_file, tls.client_ca_file) if tls else ()
    return [path.read_bytes() for path in paths if path]
