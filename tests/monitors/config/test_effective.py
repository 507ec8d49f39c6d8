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
from qualitrace_monitors.alerts.condition import FORMS
from qualitrace_monitors.config import Config
from qualitrace_monitors.config.command import config
from qualitrace_monitors.config.effective import effective

WHOLE: dict[str, Any] = {
    "data_dir": "data",
    "listen": {"max_request_size": 1_500_001},
    "otlp": {"header_timeout": 0.25, "max_memory": "1.5GiB", "tokens": [{"sha256": "ab" * 32, "tenant": "a"}]},
    "assembly": {"quiet_period": 0, "max_age": "1h30m"},
    "mlflow": {"tracking_uri": "http://mlflow:5000", "retention": {"days": 7.5}},
    "sampling": {"rates": [{"match": {"service": "shop-*", "release": ["1", "2"]}, "rate": 0.5}]},
    "judges": [
        "groundedness",
        {"name": "safety", "model": "openai:/gpt-5-mini", "cascade": True, "budget": {"usd_per_day": 1}},
        {"name": "tone", "definition": "Kind?\nOr not?", "model": "openai:/gpt-5-mini", "examples": [{"outputs": "hi", "score": 1}]},
        {"name": "toxicity", "thresholds": {"pass": 0.8, "fail": 0.1}},
        {"name": "rules", "scorer": "mlflow.Guidelines", "arguments": {"guidelines": ["Be kind."], "depth": 3}},
    ],
    "alerts": [
        {"name": f"rule-{name}", "when": when, **({"judge": "safety"} if FORMS[name].judge == "needed" else {})}
        for name, when in {
            **{name: f"{name} {form.operators[0]} {0.5 if form.unit == 'share' else 3}" for name, form in FORMS.items() if form.operators},
            "no_scores": "no_scores for 15m",
            "no_requests": "no_requests for 90s",
            "slo": "slo 95% over 30d",
        }.items()
    ]
    + [
        {
            "name": "canary",
            "judge": "safety",
            "when": "drop > 0.05 from control",
            "canary": {"release": "2"},
            "control": {"release": "1"},
            "false_alarms": "1% per 7d",
            "labels": {"team": "a"},
            "notify": ["ops", "am"],
        }
    ],
    "budget": {"tokens_per_day": 2_000_000},
    "heartbeat": {"interval": "1m", "notify": ["ops"]},
    "notify": {
        "ops": {"url": "https://hooks.example.com/q"},
        "am": {"kind": "alertmanager", "url": "http://alertmanager:9093"},
    },
}  # fmt: skip

SECRETS = {
    "Listen": ["web_read_token", "web_token"],
    "OtlpToken": ["token"],
    "Mlflow": ["token"],
    "JudgeConfig": ["api_key"],
    "Webhook": ["password", "bearer_token", "secret"],
    "Alertmanager": ["password", "bearer_token"],
    "AppriseUrl": ["url"],
}
"""By section; `SECRET` gives each of them."""
WHSEC = "whsec_c2VjcmV0c2VjcmV0c2VjcmV0"
SECRET: dict[str, Any] = {
    "listen": {"web_token": "hidden-1x", "web_read_token": "hidden-1y"},
    "otlp": {"tokens": [{"token": "hidden-2x"}]},
    "mlflow": {"token": "hidden-3x", "tracking_uri": "https://someone:hidden-4x@mlflow.example.com/?password=hidden-5x"},
    "judges": [
        {"name": "safety", "model": "openai:/gpt-5-mini", "api_key": "hidden-6x", "base_url": "https://u:hidden-7x@llm.example.com"},
        {"name": "rules", "scorer": "mlflow.Guidelines", "arguments": {"api_key": "hidden-8x", "headers": [{"X-Token": "hidden-9x"}]}},
    ],
    "notify": {
        "hook": {"url": "https://h.example.com/?token=hidden-10x", "secret": WHSEC, "username": "u", "password": "hidden-11x"},
        "bearer": {"url": "https://h.example.com/", "bearer_token": "hidden-12x"},
        "am": {"kind": "alertmanager", "url": ["https://am:hidden-13x@am.example.com"], "username": "u", "password": "hidden-14x"},
        "am-2": {"kind": "alertmanager", "url": "https://am.example.com", "bearer_token": "hidden-15x"},
        "chat": {"kind": "apprise", "url": "json://u:hidden-16x@chat.example.com/"},
    },
}  # fmt: skip


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
    """Durations and sizes have units where these are exact, names are those of the file, the place of MLflow is told."""
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
