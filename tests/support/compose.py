"""Reads deploy/compose.yaml for this machine: what is written for containers becomes what processes are given here."""

import json
import os
import re
import sys
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

import yaml

from support.web import program

COMPOSE = Path(__file__).parents[2] / "deploy" / "compose.yaml"
DOCKERFILE = COMPOSE.with_name("Dockerfile")
_SECRETS = "/run/secrets"
_PROGRAMS = {"prom/prometheus": "prometheus", "prom/alertmanager": "prometheus-alertmanager"}
"""The first word of the command that an image runs, by Debian's names; other services say it themselves."""


def services(compose: Path = COMPOSE) -> dict[str, dict[str, Any]]:
    """Return the services of the file, those first that others depend on."""
    left: dict[str, dict[str, Any]] = yaml.safe_load(compose.read_text())["services"]
    ordered: dict[str, dict[str, Any]] = {}
    while left:
        free = [name for name, service in left.items() if not left.keys() & service.get("depends_on", {}).keys()]
        assert free, f"they depend on each other: {', '.join(left)}"
        ordered |= {name: left.pop(name) for name in free}
    return ordered


class Translation:
    """Turns what is written for containers into what holds on this machine.

    Args:
        folder: takes what containers have in volumes, secrets and mounted files.
        port: gives the port on this machine for that of a container.
    """

    def __init__(self, folder: Path, port: Callable[[int], int] = int) -> None:
        self._folder = folder
        self.services = services()
        hosts = "|".join([*map(re.escape, self.services), r"0\.0\.0\.0", r"127\.0\.0\.1"])
        self._address = re.compile(rf"(?<![\w.-])(?:{hosts}):(\d+)\b")
        known = sorted({int(text) for text in re.findall(r'[:="](\d{4,5})\b', COMPOSE.read_text())})
        self.ports = {number: port(number) for number in known}

    def _addresses(self, text: str) -> str:
        def here(found: re.Match[str]) -> str:
            return f"127.0.0.1:{self.ports[int(found[1])]}"

        text = self._address.sub(here, text).replace("--host=0.0.0.0", "--host=127.0.0.1")
        return re.sub(r"(--port=|^)(\d{4,5})$", lambda m: f"{m[1]}{self.ports.get(int(m[2]), m[2])}", text)

    def places(self, name: str) -> dict[str, Path]:
        """Return where the files and folders are that a service mounts, by their places in its container."""
        found = {_SECRETS: self._folder / "secrets"}
        for source, place in self._volumes(name):
            mounted = self._folder / "mounted" / name / place.lstrip("/")
            found[place] = mounted if source.startswith(".") else self._folder / "volumes" / source
        return found

    def _volumes(self, name: str) -> list[list[str]]:
        return [volume.split(":")[:2] for volume in self.services[name].get("volumes", ())]

    def mount(self, name: str) -> None:
        """Make the folders of a service's volumes, and translated copies of the files that it mounts."""
        places = self.places(name)
        for source, place in self._volumes(name):
            if not source.startswith("."):
                places[place].mkdir(parents=True, exist_ok=True)
                continue
            origin = COMPOSE.parent / source
            for path in [origin] if origin.is_file() else filter(Path.is_file, origin.rglob("*")):
                copy = places[place] / path.relative_to(origin)
                copy.parent.mkdir(parents=True, exist_ok=True)
                copy.write_text(self._translated(path.read_text(), places))

    def _translated(self, text: str, places: Mapping[str, Path]) -> str:
        longest_first = "|".join(map(re.escape, sorted(places, key=len, reverse=True)))
        placed = re.sub(rf"(?<![\w./-])(?:{longest_first})(?![\w.-])", lambda m: str(places[m[0]]), text)
        return self._addresses(placed)

    def command(self, name: str) -> list[str]:
        """Return the command of a service."""
        service = self.services[name]
        image = service["image"].partition(":")[0]
        first = [program(_PROGRAMS[image], _PROGRAMS[image])] if image in _PROGRAMS else []
        return [*first, *self._words(name, [*service.get("entrypoint", ()), *service["command"]])]

    def environment(self, name: str) -> dict[str, str]:
        """Return the variables of a service, and where the programs of this Python are."""
        own = self.services[name].get("environment", {})
        path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
        return {"PATH": path, **dict(zip(own, self._words(name, own.values()), strict=True))}

    def health_check(self, name: str) -> list[str]:
        """Return the command that says whether a service is healthy, its image's by default; nothing if it has none."""
        check = self.services[name]["healthcheck"]
        if check.get("disable"):
            return []
        return self._words(name, check["test"][1:] if "test" in check else image_health_check())

    def _words(self, name: str, words: Iterable[str]) -> list[str]:
        places = self.places(name)
        return [self._translated(word.replace("$$", "$"), places) for word in words]


def image_health_check() -> list[str]:
    """Return the command by which the image of deploy/Dockerfile asks HEALTH_URL."""
    found = re.search(r"^HEALTHCHECK .*\\\n +CMD (\[.*\])$", DOCKERFILE.read_text(), re.MULTILINE)
    assert found, f"{DOCKERFILE} has no HEALTHCHECK in this form"
    return json.loads(found[1])
