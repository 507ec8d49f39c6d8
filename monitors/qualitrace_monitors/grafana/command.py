"""`qualitrace dashboards` writes Grafana's dashboards, and what Grafana needs to load them by itself."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import click
import yaml

from qualitrace_collector.cli import config_option, load_or_exit
from qualitrace_monitors.config import Config
from qualitrace_monitors.grafana.cost import cost
from qualitrace_monitors.grafana.judge import judge
from qualitrace_monitors.grafana.overview import overview
from qualitrace_monitors.grafana.server import server

BOARDS = (overview, judge, cost, server)
_FOLDER = "/var/lib/grafana/dashboards/qualitrace"


def files(web: str, prometheus: str, folder: str = _FOLDER) -> dict[str, str]:
    """Return the files by their paths.

    Args:
        web: the address of qualitrace's web port, as readers of the dashboards reach it.
        prometheus: the address of Prometheus, as Grafana reaches it.
        folder: where Grafana finds the dashboards.
    """
    boards = [board(web) for board in BOARDS]
    found = {f"dashboards/{board['uid']}.json": json.dumps(board, indent=2) + "\n" for board in boards}
    return found | {
        "provisioning/dashboards/qualitrace.yaml": _yaml(_provider(folder)),
        "provisioning/datasources/qualitrace.yaml": _yaml(_data_source(web, prometheus)),
    }


def _provider(folder: str) -> dict[str, Any]:
    options = {"path": folder}
    return {
        "apiVersion": 1,
        "providers": [{"name": "qualitrace", "folder": "qualitrace", "type": "file", "options": options}],
    }


def _data_source(web: str, prometheus: str) -> dict[str, Any]:
    # Grafana puts variables of its environment in place of `$NAME`, and `$` in place of `$$`.
    trace = {"name": "trace_id", "url": f"{web}/trace/tr-$${{__value.raw}}", "urlDisplayLabel": "Show the trace"}
    source = {
        "name": "qualitrace",
        "uid": "qualitrace",
        "type": "prometheus",
        "access": "proxy",
        "url": prometheus,
        "jsonData": {"httpMethod": "POST", "timeInterval": "15s", "exemplarTraceIdDestinations": [trace]},
    }
    return {"apiVersion": 1, "datasources": [source]}


def _yaml(content: Mapping[str, Any]) -> str:
    return "# Written by `qualitrace dashboards`.\n" + yaml.safe_dump(dict(content), sort_keys=False)


@click.command("dashboards")
@config_option
@click.option("--out", required=True, type=click.Path(file_okay=False, path_type=Path), help="The folder to write to.")
@click.option(
    "--prometheus", default="http://127.0.0.1:9090", show_default=True, help="Where Grafana reaches Prometheus."
)
@click.option("--folder", default=_FOLDER, show_default=True, help="Where Grafana is to find the folder dashboards/.")
def dashboards(path: Path | None, out: Path, prometheus: str, folder: str) -> None:
    """Write Grafana's dashboards, which lead to the web port of the configuration."""
    web = load_or_exit(path, Config, needs=("listen",)).listen.web_url
    for name, text in files(web, prometheus, folder).items():
        file = out / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text, encoding="utf-8")
        click.echo(file)
