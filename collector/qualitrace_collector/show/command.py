"""`qualitrace sample`: what the judges see of a trace.

    MLflow {spans} + state.db {trace}, or an OTLP/JSON file ─▶ shown_sample ─▶ text, or JSON

It reads a stored trace as the server reads it before it judges, so it works beside a running server and without one.
"""

import json
import re
from pathlib import Path
from typing import Any

import click

from qualitrace_collector.commands import config_option, load_or_exit
from qualitrace_collector.config import Config
from qualitrace_collector.mlflow_settings import apply_mlflow_settings

_TRACE_ID = re.compile(r"(?:tr-)?([0-9a-f]{32})\Z", re.IGNORECASE)
_PARTS = ("inputs", "outputs", "session", "user", "model")


@click.command()
@click.argument("trace_id", required=False)
@click.option(
    "--file",
    "request",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="An OTLP/JSON request, as posted to /v1/traces, instead of a stored trace; no server is needed.",
)
@click.option("--json", "as_json", is_flag=True, help="One JSON object for each trace, one a line.")
@config_option
def sample(trace_id: str | None, request: Path | None, as_json: bool, path: Path | None) -> None:
    """Show what the judges see of a trace, and which span and field each part comes from.

    TRACE_ID is MLflow's (tr- and 32 hex digits) or OpenTelemetry's (32 hex digits).
    """
    if (trace_id is None) == (request is None):
        raise click.UsageError("give either a TRACE_ID or --file")
    config = load_or_exit(path)
    apply_mlflow_settings(config.mlflow.token)
    found = _from_file(request, config) if request is not None else [_stored(str(trace_id), config)]
    for shown in found:
        click.echo(json.dumps(shown, ensure_ascii=False) if as_json else _as_text(shown))


def _from_file(request: Path, config: Config) -> list[dict[str, Any]]:
    from qualitrace_collector.show.request_file import RequestFileError, traces_in
    from qualitrace_collector.show.shown import shown_sample

    try:
        traces = traces_in(request, config)
    except RequestFileError as error:
        raise click.ClickException(str(error)) from error
    return [shown_sample(trace.stored, trace.service, trace.is_genai) for trace in traces]


def _stored(given: str, config: Config) -> dict[str, Any]:
    from qualitrace_collector.config.values import without_credentials
    from qualitrace_collector.show.shown import shown_sample
    from qualitrace_collector.store import StoreUnavailable, TraceStore

    match = _TRACE_ID.match(given)
    if match is None:
        raise click.UsageError(f"{given!r} is no trace id: 32 hex digits are needed, or tr- and 32 hex digits")
    trace_id = f"tr-{match[1].lower()}"
    store = TraceStore(
        config.tracking_uri, (config.data_dir.resolve() / "artifacts").as_uri(), config.mlflow.experiment
    )
    where = without_credentials(config.tracking_uri)
    try:
        spans = store.read(trace_id)
    except StoreUnavailable as error:
        raise click.ClickException(f"MLflow cannot be reached: {error}") from error
    if not spans:
        raise click.ClickException(
            f"no trace {trace_id} in {where}; a trace is there about two seconds after its root has ended"
        )
    service, complete = _known(trace_id, config)
    return shown_sample(spans, service, complete)


def _known(trace_id: str, config: Config) -> tuple[str, bool | None]:
    """Return the service that the state database has for a trace, and whether the trace went to the judges."""
    from qualitrace_collector.state import Database, Ledger, ledger
    from qualitrace_collector.state.database import FILE_NAME

    if not (config.data_dir / FILE_NAME).exists():
        return "", None
    row = Ledger(Database.of(config, ledger.SCHEMA)).known_traces([trace_id]).get(trace_id)
    return (row["service"], bool(row["root_seen"])) if row else ("", None)


def _as_text(shown: dict[str, Any]) -> str:
    lines = [f"{shown['trace_id']}  {shown['service']}".rstrip(), f"went to the judges: {_yes_no(shown['complete'])}"]
    for part in _PARTS:
        lines += _section(part, shown[part], shown["sources"][part])
    for number, (text, place) in enumerate(zip(shown["passages"], shown["sources"]["passages"], strict=True), 1):
        lines += _section(f"passage {number} ({shown['passages_source']})", text, place)
    for turn in shown["conversation"]:
        lines += _section(f"earlier: {turn['role']}", turn["content"], shown["sources"]["conversation"])
    for call, place in zip(shown["tool_calls"], shown["sources"]["tool_calls"], strict=True):
        lines += _section(f"tool: {call['name']}", f"{call['arguments']} -> {call['result']}", place)
    tokens = ", ".join(f"{name} {count}" for name, count in shown["tokens"].items())
    lines += _section("tokens", tokens or None, next(iter(shown["sources"]["tokens"]), None))
    cost = shown["cost_usd"]
    return "\n".join([*lines, f"cost_usd: {'unknown' if cost is None else f'{cost:.6f}'}", ""])


def _yes_no(complete: bool | None) -> str:
    return {True: "yes", False: "not yet", None: "unknown to this server's state database"}[complete]


def _section(title: str, text: str | None, place: dict[str, str] | None) -> list[str]:
    origin = f"  [{place['span']} {place['span_id']}, {place['field']}]" if place and text else ""
    if text is None or text == "":
        return [f"{title}: none"]
    if "\n" in text:
        return [f"{title}:{origin}", *(f"    {line}" for line in text.splitlines())]
    return [f"{title}: {text}{origin}"]
