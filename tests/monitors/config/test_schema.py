"""The JSON Schema of the configuration file: it allows what the loader takes, and refuses slips."""

import copy
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from click.testing import CliRunner
from jsonschema import Draft202012Validator

from qualitrace_collector.config import ConfigError, parse_config
from qualitrace_monitors.config import Config
from qualitrace_monitors.config.command import config
from qualitrace_monitors.config.effective import effective
from support.configurations import SECRET, WHOLE

ROOT = Path(__file__).parents[3]
PUBLISHED = ROOT / "docs" / "reference" / "configuration.schema.json"
SCHEMA: dict[str, Any] = json.loads(CliRunner().invoke(config, ["schema"]).stdout)


def refused(given: Any) -> list[str]:
    """Return what the schema refuses, by the paths."""
    return [error.json_path for error in Draft202012Validator(SCHEMA).iter_errors(given)]


def test_the_published_schema_is_up_to_date() -> None:
    """Editors take it from the documentation; it is a schema by its own dialect."""
    Draft202012Validator.check_schema(SCHEMA)
    assert json.loads(PUBLISHED.read_text()) == SCHEMA, (
        "run: python -m qualitrace_monitors.config.schema > docs/reference/configuration.schema.json"
    )


@pytest.mark.parametrize("given", [{}, WHOLE, SECRET], ids=["empty", "whole", "secrets"])
def test_it_allows_what_the_loader_takes(given: dict[str, Any]) -> None:
    """As it was written, and as `config show` writes it."""
    made = parse_config(given, Config)
    assert refused(given) == []
    assert refused(effective(made)) == []


def test_it_allows_the_files_of_the_project() -> None:
    """Every YAML file that the loader takes: those that are shown, deployed and used by the demo."""
    files = [
        path for place in ("docs", "examples", "monitors", "benchmarks") for path in (ROOT / place).rglob("*.yaml")
    ]
    found = {path.name: data for path in files if _is_configuration(data := yaml.safe_load(path.read_text()))}
    assert found
    assert {name: mistakes for name, data in found.items() if (mistakes := refused(data))} == {}


def _is_configuration(data: Any) -> bool:
    try:
        parse_config(data, Config)
    except ConfigError as error:
        return all("environment variable" in mistake for mistake in error.mistakes)
    return True


def _leaves(node: Any, *path: Any) -> Iterator[tuple[Any, ...]]:
    if isinstance(node, (dict, list)):
        for key, inner in node.items() if isinstance(node, dict) else enumerate(node):
            yield from _leaves(inner, *path, key)
    else:
        yield path


VALUES = [path for path in _leaves(WHOLE) if path[-1] != "kind"]  # it decides which keys there are


@pytest.mark.parametrize("path", VALUES, ids=lambda path: ".".join(map(str, path)))
def test_a_variable_may_stand_for_any_value(path: tuple[Any, ...], monkeypatch: pytest.MonkeyPatch) -> None:
    """For numbers, choices, names and switches, too, not for texts alone."""
    given = copy.deepcopy(WHOLE)
    place = given
    for key in path[:-1]:
        place = place[key]
    monkeypatch.setenv("QT_VALUE", str(place[path[-1]]))
    place[path[-1]] = "${env:QT_VALUE}"
    parse_config(given, Config)
    assert refused(given) == []


IN_FILES = {
    "web_token": lambda secret: {"listen": secret},
    "token": lambda secret: {"mlflow": secret},
    "api_key": lambda secret: {"judges": [{"name": "safety", "model": "openai:/gpt-5-mini", **secret}]},
    "secret": lambda secret: {"notify": {"ops": {"url": "https://hooks.example.com", **secret}}},
    "bearer_token": lambda secret: {"notify": {"am": {"kind": "alertmanager", "url": "http://am", **secret}}},
    "url": lambda secret: {"notify": {"chat": {"kind": "apprise", **secret}}},
}


@pytest.mark.parametrize("name", IN_FILES)
def test_a_secret_may_be_in_a_file(name: str) -> None:
    """Instead of being given, not beside it."""
    at = IN_FILES[name]
    assert refused(at({name: "json://x"})) == refused(at({f"{name}_file": "/run/secrets/x"})) == []
    assert refused(at({name: "json://x", f"{name}_file": "/run/secrets/x"})) != []
    if name == "url":
        assert refused(at({})) != []


@pytest.mark.parametrize(
    ("text", "place"),
    [
        ("samplin: {}", "$"),
        ("sampling: {rat: 0.5}", "$.sampling"),
        ("sampling: {rate: 3}", "$.sampling.rate"),
        ("sampling: {rate: often}", "$.sampling.rate"),
        ("sampling: {always: [errors]}", "$.sampling.always[0]"),
        ("mlflow: {keep: some}", "$.mlflow.keep"),
        ("listen: {web: nonsense}", "$.listen.web"),
        ("otlp: {limits: {items: 0}}", "$.otlp.limits.items"),
        ("assembly: {quiet_period: soon}", "$.assembly.quiet_period"),
        ("assembly: {quiet_period: -1}", "$.assembly.quiet_period"),
        ("otlp: {max_memory: much}", "$.otlp.max_memory"),
        ("judges: [tone]", "$.judges[0]"),
        ("judges: [{model: openai:/gpt-5-mini}]", "$.judges[0]"),
        ("judges: [{name: safety, thresholds: {passing: 0.5}}]", "$.judges[0]"),
        ("alerts: [{name: a, when: 5}]", "$.alerts[0].when"),
        ("alerts: [{name: a b, when: error_rate > 5%}]", "$.alerts[0].name"),
        ("alerts: [{name: a, when: error_rate > 5%, hold_for: 5m}]", "$.alerts[0]"),
        ("alerts: [{name: a, when: error_rate > 5%, match: {service: []}}]", "$.alerts[0].match"),
        ("notify: {ops: {kind: pager, url: x}}", "$.notify.ops"),
        ("notify: {ops: {url: 'https://h', resend: 5s}}", "$.notify.ops"),
        ("notify: {1ops: {url: 'https://h'}}", "$.notify"),
        ("notify: {am: {kind: alertmanager, url: []}}", "$.notify.am"),
    ],
)
def test_it_refuses_what_the_loader_refuses(text: str, place: str) -> None:
    """Unknown keys, wrong types, and what is out of bounds: at the place where an editor underlines it."""
    given = yaml.safe_load(text)
    with pytest.raises(ConfigError):
        parse_config(given, Config)
    assert any(found.startswith(place) for found in refused(given)), refused(given)


def test_every_key_is_described() -> None:
    """Editors show it beside the key, in plain words."""
    sections = [SCHEMA, *(inner for each in SCHEMA["$defs"].values() for inner in (each, *each.get("anyOf", ())))]
    keys = {name: about for each in sections for name, about in each.get("properties", {}).items()}
    assert len(keys) > 100
    assert [name for name, about in keys.items() if not about.get("description") or "](" in about["description"]] == []
