"""`qualitrace rules` writes Prometheus' rules, and their tests for promtool, from the configuration."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click
import yaml

from qualitrace_collector.cli import config_option, load_or_exit
from qualitrace_monitors.alerts.settings import AlertRule
from qualitrace_monitors.config import Config
from qualitrace_monitors.prometheus_rules.health import health
from qualitrace_monitors.prometheus_rules.quality import quality
from qualitrace_monitors.prometheus_rules.rule import Alert, Group

RULES_NAME, TESTS_NAME = "qualitrace.rules.yml", "qualitrace.tests.yml"

_HEAD = "# Written by `qualitrace rules` from the configuration of qualitrace; write it again instead of changing it.\n"


def groups(rules: Sequence[AlertRule], job: str, runbooks: str) -> list[Group]:
    """Return all rules: those of the section `alerts`, and those on qualitrace itself.

    Args:
        job: under which name Prometheus scrapes qualitrace.
        runbooks: the address of the folder with the runbooks.
    """
    return [*quality(rules, runbooks.rstrip("/")), health(job, runbooks.rstrip("/"))]


def rules_text(found: Sequence[Group]) -> str:
    """Write the file for Prometheus' `rule_files`."""
    return _written({"groups": [group.written() for group in found]})


def tests_text(found: Sequence[Group]) -> str:
    """Write the file for `promtool test rules`, which names that of the rules."""
    tests = [test for group in found for rule in group.rules if isinstance(rule, Alert) for test in rule.tests()]
    return _written({"rule_files": [RULES_NAME], "evaluation_interval": "1m", "tests": tests})


def _written(content: dict[str, Any]) -> str:
    return _HEAD + yaml.dump(content, Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=1000)


class _Dumper(yaml.SafeDumper):
    """Writes expressions of several lines as such, and each value again."""

    def ignore_aliases(self, data: Any) -> bool:
        return True


def _text(dumper: yaml.SafeDumper, text: str) -> yaml.ScalarNode:
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style="|" if "\n" in text else None)


_Dumper.add_representer(str, _text)


@click.command("rules")
@config_option
@click.option("--out", type=click.Path(file_okay=False, path_type=Path), help="The folder to write to; else print.")
@click.option("--job", default="qualitrace", show_default=True, help="The job under which Prometheus scrapes.")
@click.option("--runbooks", help="Where the folder docs/runbooks is to be found; by default at the web port.")
def rules(path: Path | None, out: Path | None, job: str, runbooks: str | None) -> None:
    """Write Prometheus rules, and tests for promtool, from the configuration."""
    config = load_or_exit(path, Config, needs=("alerts", "budget", "judges"))
    found = groups(config.alerts, job, runbooks or f"{config.listen.web_url}/runbook")
    if out is None:
        click.echo(rules_text(found), nl=False)
        return
    out.mkdir(parents=True, exist_ok=True)
    for name, text in ((RULES_NAME, rules_text(found)), (TESTS_NAME, tests_text(found))):
        (out / name).write_text(text, encoding="utf-8")
        click.echo(out / name)
