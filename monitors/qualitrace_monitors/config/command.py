"""The command `qualitrace config`."""

import json
from pathlib import Path

import click
import yaml

from qualitrace_collector.cli import config_option, load_or_exit
from qualitrace_monitors.config import Config
from qualitrace_monitors.config import schema as json_schema
from qualitrace_monitors.config.effective import effective


@click.group()
def config() -> None:
    """Show what the configuration says, and what it may say."""


@config.command()
@config_option
@click.option("--json", "in_json", is_flag=True, help="JSON instead of YAML.")
def show(path: Path | None, in_json: bool) -> None:
    """Show every setting that is in force, those by default too, without secrets."""
    shown = effective(load_or_exit(path, Config))
    if in_json:
        click.echo(json.dumps(shown, indent=2, ensure_ascii=False))
    else:
        click.echo(yaml.safe_dump(shown, sort_keys=False, allow_unicode=True, width=120), nl=False)


@config.command()
def schema() -> None:
    """Print the JSON Schema of the file, by which editors complete and check it."""
    click.echo(json_schema.page(), nl=False)
