"""What a thread works on, noted in a file, so that what kills the process is found and put aside, and does not loop.

A process that is killed (by an OOM killer, a segmentation fault) cannot say what it died of, but it leaves the note of
what was in work. The next process tries that first, with nothing else in work: in some 30 groups, then, if it dies
again, in parts of the group that was in work, in the end one by one. What it dies of three times while nothing else is
in work is guilty. Kills for other reasons hardly ever hit the same one three times alone.
"""

import logging
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

from pydantic import BaseModel, ValidationError

_log = logging.getLogger(__name__)

MAX_DEATHS = 3
GROUPS = 32
"""Into how many groups suspects are divided: more find the guilty one in fewer deaths, but take longer if none is."""


class _Note(BaseModel):
    in_work: list[str] = []
    alone: bool = False
    suspects: list[str] = []
    deaths: dict[str, int] = {}


class InWork:
    """The units of work of one thread, by their names.

    Attributes:
        suspects: what was in work when the process before died, and was not tried again yet.

    Args:
        path: the note. It is not synced: it is to outlive the process, not a power cut.
        groups: into how many groups suspects are divided.
    """

    def __init__(self, path: Path, groups: int = GROUPS) -> None:
        self._path = path
        before = _read(path)
        self._deaths = before.deaths
        if before.alone:
            (unit,) = before.in_work
            self._deaths[unit] = self.deaths(unit) + 1
        self.suspects = before.in_work or before.suspects
        self._at_once = max(1, len(self.suspects) // groups)
        self._units: dict[str, None] = {}
        self._trying = self._paused = self._closed = False
        if before.in_work:
            some = ", ".join(self.suspects[:3]) + (", …" if len(self.suspects) > 3 else "")
            text = "%s: the process died with %d in work (%s); they are tried again first, at most %d at once"
            _log.warning(text, path.stem, len(self.suspects), some, self._at_once)
            self._write()  # else a death before the next note would count twice

    @property
    def trying(self) -> bool:
        """Whether what the process before died with is being tried again."""
        return bool(self.suspects or (self._trying and self._units))

    def deaths(self, unit: str) -> int:
        """Return how often the process died while nothing but this was in work; from `MAX_DEATHS` on it is guilty."""
        return self._deaths.get(unit, 0)

    def try_suspects(self) -> list[str]:
        """Begin the work on the next suspects, and return them; nothing else may be in work."""
        units, self.suspects = self.suspects[: self._at_once], self.suspects[self._at_once :]
        self._units = dict.fromkeys(units)
        self._trying = True
        self._write()
        return units

    def begin(self, units: Iterable[str]) -> None:
        """Note that work on these begins."""
        self._units.update(dict.fromkeys(units))
        self._trying = False
        self._write()

    def end(self, units: Iterable[str], *, done: bool = True) -> None:
        """Note that these are in work no more.

        Args:
            done: they have their outcome, and are suspected of nothing any more; else they are tried later.
        """
        for unit in units:
            self._units.pop(unit, None)
            if done:
                self._deaths.pop(unit, None)
        # Otherwise the next note says so: to try again what is done with is harmless.
        if self._trying or not done or not self._units:
            self._write()

    def pause(self) -> None:
        """Note that the work stands still, so that a kill says nothing about it, until `resume`."""
        self._paused = True
        self._write()

    def resume(self) -> None:
        """Note that the work goes on."""
        if self._paused:
            self._paused = False
            self._write()

    def close(self) -> None:
        """Note that the process ends by itself, and nothing after that; safe twice."""
        self.pause()
        self._closed = True

    def _write(self) -> None:
        if self._closed:
            return
        units = [*self._units]
        if self._paused:
            note = _Note(suspects=[*units, *self.suspects] if self._trying else self.suspects, deaths=self._deaths)
        else:
            alone = self._trying and len(units) == 1
            note = _Note(in_work=units, alone=alone, suspects=self.suspects, deaths=self._deaths)
        draft = self._path.with_name(f"{self._path.name}.new")
        try:
            draft.write_text(note.model_dump_json(), encoding="utf-8")
            draft.replace(self._path)
        except OSError as error:  # for example a full disk; an old note would blame what is in work no more
            with suppress(OSError):
                self._path.unlink(missing_ok=True)
            _log.warning("%s: what is in work cannot be noted: %s", self._path, error)


def _read(path: Path) -> _Note:
    try:
        return _Note.model_validate_json(path.read_bytes())
    except (OSError, ValidationError):  # there is none, or a power cut left half of one
        return _Note()
