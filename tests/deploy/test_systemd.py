"""deploy/systemd by systemd's own checks; no unit is run, as the tests have no systemd that runs."""

import os
import re
import shlex
import subprocess
import time
from pathlib import Path

import pytest

from qualitrace_monitors.config import Config
from qualitrace_monitors.metrics import families
from qualitrace_monitors.server.data_dir_lock import PREDECESSOR_SECONDS
from qualitrace_monitors.server.supervise import RECEIVE_STOP_SECONDS, WORK_STOP_SECONDS
from support.web import program

UNITS = Path(__file__).parents[2] / "deploy" / "systemd"
UNIT = UNITS / "qualitrace.service"
MOST_EXPOSED = 2.0
"""Of 10, by `systemd-analyze security`; a unit without any hardening has 9.6."""


def analyze(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [program("systemd-analyze", "systemd"), *arguments], capture_output=True, text=True, check=False
    )


@pytest.fixture
def services(tmp_path: Path) -> list[str]:
    """Provide the services with a program in place of the one that is not installed here."""
    for path in UNITS.glob("qualitrace*.*"):
        if path.suffix in (".service", ".timer"):
            text = path.read_text().replace("/opt/qualitrace/bin/qualitrace", "/bin/true")
            (tmp_path / path.name).write_text(text)
    return [str(path) for path in tmp_path.glob("*.service")]


@pytest.mark.slow
def test_systemd_understands_them(services: list[str], tmp_path: Path) -> None:
    done = analyze("verify", "--man=no", *services, str(tmp_path / "qualitrace-backup.timer"))
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.slow
def test_they_are_hardened(services: list[str]) -> None:
    done = analyze("security", "--offline=true", f"--threshold={MOST_EXPOSED * 10:g}", "--no-pager", *services)
    assert done.returncode == 0, done.stdout[-300:]


def test_the_server_has_time_to_stop_in_order_and_to_hand_its_locks_over() -> None:
    """The supervisor alone is asked to end. A start that waits for locks does not use up a number of restarts."""
    settings = dict(re.findall(r"^(\w+)=(.*)$", UNIT.read_text(), re.MULTILINE))
    assert settings["KillMode"] == "mixed"
    assert int(settings["TimeoutStopSec"].removesuffix("s")) > RECEIVE_STOP_SECONDS + WORK_STOP_SECONDS
    assert settings["StartLimitIntervalSec"] == "0"
    assert settings["OOMPolicy"] == "continue"
    assert int(settings.get("TimeoutStartSec", "90s").removesuffix("s")) > PREDECESSOR_SECONDS


@pytest.mark.parametrize(("youngest", "kept"), [(1, {"new", "fresh"}), (20, {"new", "fresh", "old", "cut"})])
def test_old_backups_go_if_a_whole_one_is_younger(tmp_path: Path, youngest: int, kept: set[str]) -> None:
    """Also after a failure; what is `fresh` is not a whole backup."""
    unit = UNIT.with_name("qualitrace-backup.service").read_text()
    (command,) = re.findall(r"^ExecStopPost=(.*)$", unit, re.MULTILINE)
    now = time.time()
    for name, days in {"new": youngest, "old": 30, "cut": 30, "fresh": 1}.items():
        folder = tmp_path / name
        folder.mkdir()
        manifest = folder / "manifest.json"
        if name in ("new", "old"):
            manifest.touch()
        for path in (manifest, folder):
            if path.exists():
                os.utime(path, (now - days * 86400, now - days * 86400))
    local = command.replace("$$", "$").replace("/var/backups/qualitrace", str(tmp_path))
    subprocess.run(shlex.split(local), check=True, timeout=30)
    assert {path.name for path in tmp_path.iterdir()} == kept


def test_its_advice_names_settings_and_metrics_that_exist() -> None:
    advice = UNIT.with_name("qualitrace.env").read_text()
    settings = re.findall(r"\b(otlp|assembly)\.(\w+)", advice)
    assert {section for section, _ in settings} == {"otlp", "assembly"}
    assert all(hasattr(getattr(Config(), section), name) for section, name in settings)
    metrics = set(re.findall(r"`(qualitrace_\w+)`", advice))
    assert metrics
    assert metrics <= {family.name for family in families.FAMILIES}
