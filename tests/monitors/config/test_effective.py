"""`qualitrace config show`: the configuration in force as the file would have it, without secrets."""

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from click.testing import CliRunner, Result

from qualitrace_collector.config import parse_config
from qualitrace_collector.config.section import Section
from qualitrace_monitors.config import Config
from qualitrace_monitors.config.command import config
from qualitrace_monitors.config.effective import effective
from support.configurations import SECRET, WHOLE, WHSEC

SECRETS = {
    "Listen": ["web_read_token", "web_token"],
    "OtlpToken": ["token"],
    "Mlflow": ["token"],
    "JudgeConfig": ["api_key"],
    "Webhook": ["password", "bearer_token", "secret"],
    "Alertmanager": ["password", "bearer_token"],
    "AppriseUrl": ["url"],
    "Telemetry": ["headers"],
}
"""By section; `SECRET` gives each of them."""


@pytest.fixture
def show(tmp_path: Path) -> Callable[..., Result]:
    """Run `qualitrace config show` on a configuration."""

    def call(given: dict[str, Any], *arguments: str) -> Result:
        (path := tmp_path / "q.yaml").write_text(yaml.safe_dump(given))
        return CliRunner().invoke(config, ["show", "--config", str(path), *arguments])

    return call


@pytest.mark.parametrize("given", [{}, WHOLE], ids=["defaults", "whole"])
def test_what_is_shown_is_a_file_that_says_the_same(given: dict[str, Any], show: Callable[..., Result]) -> None:
    """Every default stands in it, and what it means is what was given; YAML and JSON have the same."""
    result = show(given)
    assert result.exit_code == 0, result.output
    shown = yaml.safe_load(result.stdout)
    assert shown == json.loads(show(given, "--json").stdout)
    before = parse_config(given, Config)
    assert effective(parse_config(shown, Config)) == shown
    after = parse_config(shown | {"mlflow": {**shown["mlflow"], "tracking_uri": before.mlflow.tracking_uri}}, Config)
    assert after == before


def test_it_reads_as_a_person_writes_it(show: Callable[..., Result]) -> None:
    """Durations and sizes have units where these are exact, names are those of the file, the place of MLflow is shown."""
    shown = yaml.safe_load(show(WHOLE).stdout)
    assert (shown["assembly"]["quiet_period"], shown["assembly"]["max_age"]) == (0, "1h30m")
    assert (shown["otlp"]["header_timeout"], shown["otlp"]["max_memory"]) == ("250ms", "1.5GiB")
    assert shown["listen"]["max_request_size"] == 1_500_001
    canary = shown["alerts"][-1]
    assert (canary["when"], canary["false_alarms"], canary["for"]) == (
        "pass_rate drop > 0.05 from control",
        "1% per 7d",
        0,
    )
    assert (
        yaml.safe_load(show({"data_dir": "x"}).stdout)["mlflow"]["tracking_uri"]
        == f"sqlite:///{Path('x').resolve()}/mlflow.db"
    )


def test_no_secret_is_shown(show: Callable[..., Result]) -> None:
    """Of every section that has one, and those in addresses and in the arguments of scorers."""
    result = show(SECRET)
    assert result.exit_code == 0, result.output
    assert "hidden-" not in result.stdout
    assert WHSEC not in result.stdout
    shown = yaml.safe_load(result.stdout)
    assert shown["notify"]["hook"]["url"] == "https://h.example.com/?token=***"
    assert shown["judges"][1]["arguments"] == {"api_key": "***", "headers": [{"X-Token": "***"}]}


def test_every_kind_of_secret_is_tried() -> None:
    """A section that gets a secret belongs into the test above."""
    found = {section.__name__: section.secret_fields() for section in _sections(Section) if section.secret_fields()}
    assert {name: sorted(fields) for name, fields in found.items() if name != "HttpReceiver"} == {
        name: sorted(fields) for name, fields in SECRETS.items()
    }


def _sections(below: type[Section]) -> Iterator[type[Section]]:
    for section in below.__subclasses__():
        if section.__module__.startswith("qualitrace"):
            yield section
            yield from _sections(section)


def test_of_a_secret_in_a_file_its_path_is_shown(show: Callable[..., Result], tmp_path: Path) -> None:
    """So that one sees which of two files is meant."""
    (file := tmp_path / "token").write_text("hidden-1x")
    given = {
        "notify": {"ops": {"url": "http://h", "bearer_token_file": str(file)}},
        "mlflow": {"token_file": str(file)},
    }
    result = show(given)
    shown = yaml.safe_load(result.stdout)
    assert shown["notify"]["ops"]["bearer_token_file"] == shown["mlflow"]["token_file"] == str(file)
    assert "bearer_token" not in shown["notify"]["ops"]
    assert "hidden-" not in result.stdout


def test_a_file_with_mistakes_is_not_shown(show: Callable[..., Result]) -> None:
    """They are listed, as `check-config` does."""
    result = show({"sampling": {"rate": 3}, "judges": ["tone"]})
    assert result.exit_code == 1
    assert "sampling.rate: must be at most 1" in result.output
    assert "judges.0" in result.output
