"""What another configuration file changes: which processes start again, and what no reload can change."""

import os
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml

from qualitrace_collector.config import ConfigError
from qualitrace_monitors.reload.configuration import Configuration


@pytest.fixture
def read(tmp_path: Path) -> Callable[..., Configuration]:
    """Write a file with these sections, and read it."""
    path = tmp_path / "q.yaml"

    def of(**sections: object) -> Configuration:
        path.write_text(yaml.safe_dump(sections))
        return Configuration.read(path)

    return of


@pytest.mark.parametrize(
    ("sections", "concerned"),
    [
        ({}, []),
        ({"sampling": {"rate": 0.1}}, []),  # the default
        ({"sampling": {"rate": 0.2}}, ["work"]),
        ({"otlp": {"idle_timeout": "60s"}}, ["receive"]),
        ({"listen": {"web_token": "t"}}, ["work"]),
        ({"listen": {"allowed_hosts": ["q.example"]}}, ["receive", "work"]),
    ],
)
def test_only_what_a_change_concerns_starts_again(
    read: Callable[..., Configuration], sections: dict[str, object], concerned: list[str]
) -> None:
    """A change of the rules closes no door, and one of the senders stops no judge."""
    assert read().concerned(read(**sections)) == concerned


def test_a_secret_that_changed_in_its_file_is_a_change(read: Callable[..., Configuration], tmp_path: Path) -> None:
    """The configuration names the same file as before."""
    (secret := tmp_path / "token").write_text("one")
    before = read(listen={"web_token_file": str(secret)})
    secret.write_text("two")
    assert before.concerned(before.read_again()) == ["work"]


def test_a_certificate_that_was_renewed_is_a_change(read: Callable[..., Configuration], tmp_path: Path) -> None:
    """Its path stays; the ports have to load the new one."""
    tls = {name: str(tmp_path / name) for name in ("cert_file", "key_file")}

    def renew() -> None:
        command = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"]
        files = ["-keyout", tls["key_file"], "-out", tls["cert_file"], "-subj", "/CN=q"]
        subprocess.run([*command, *files], check=True, capture_output=True)

    renew()
    before = read(otlp={"tls": tls})
    assert before.concerned(before.read_again()) == []
    renew()
    assert before.concerned(before.read_again()) == ["receive"]


def test_a_pipe_is_not_read_again(read: Callable[..., Configuration], tmp_path: Path) -> None:
    """Nobody writes to it any more: the server would wait for ever."""
    configuration = read()
    (tmp_path / "q.yaml").unlink()
    os.mkfifo(tmp_path / "q.yaml")
    with pytest.raises(ConfigError, match="no regular file"):
        configuration.read_again()


def test_without_a_file_there_is_nothing_to_read_again() -> None:
    """The error says how to start the server so that there is."""
    with pytest.raises(ConfigError, match="--config"):
        Configuration.read(None).read_again()


@pytest.mark.parametrize("text", [b"\xff", b"judges: [", b"- a list", b"x" * (2 << 20)])
def test_a_file_that_is_no_configuration_is_refused(
    read: Callable[..., Configuration], tmp_path: Path, text: bytes
) -> None:
    """Whatever it holds, the error is one that a reload can report."""
    before = read()
    (tmp_path / "q.yaml").write_bytes(text)
    with pytest.raises(ConfigError):
        before.read_again()
    (tmp_path / "q.yaml").unlink()
    with pytest.raises(ConfigError, match="cannot be read"):
        before.read_again()
