"""`qualitrace sample` shows what judges see of a trace.

    MLflow {spans} + state.db {trace}, or an OTLP/JSON file ─▶ sample_with_sources ─▶ text, or JSON

It reads a stored trace as the server does before judging, so it works with and without a running server.
"""

import json
import re
import unicodedata
from pathlib import Path
from typing import Any

import click

from qualitrace_collector.cli import config_option, load_or_exit, open_mlflow
from qualitrace_collector.process.startup import apply_mlflow_settings
from qualitrace_collector.settings import CollectorConfig

_TRACE_ID = re.compile(r"(?:tr-)?([0-9a-f]{32})\Z", re.IGNORECASE)
_PARTS = ("inputs", "outputs", "session", "user", "model")


@click.command()
@click.argument("trace_id", required=False)
@click.option(
    "--file",
    "request",
    type=click.Path(exists=True, dir_okay=False, allow_dash=True, path_type=Path),
    help="An OTLP/JSON request, as posted to /v1/traces, or one a line, instead of a stored trace; - reads stdin.",
)
@click.option("--json", "as_json", is_flag=True, help="One JSON object for each trace, one a line.")
@config_option
def sample(trace_id: str | None, request: Path | None, as_json: bool, path: Path | None) -> None:
    """Show what the judges see of a trace, and which span and field each part comes from.

    TRACE_ID is MLflow's (tr- and 32 hex digits) or OpenTelemetry's (32 hex digits).
    """
    if (trace_id is None) == (request is None):
        raise click.UsageError("give either a TRACE_ID or --file")
    config = load_or_exit(path, CollectorConfig, needs=("collector",) if request else ("data_dir", "mlflow"))
    apply_mlflow_settings(config.mlflow.token)
    found = _from_file(request, config) if request is not None else [_stored(str(trace_id), config)]
    for shown in found:
        click.echo(json.dumps(shown, ensure_ascii=False) if as_json else _as_text(shown))


def _from_file(request: Path, config: CollectorConfig) -> list[dict[str, Any]]:
    from qualitrace_collector.show.traces import sample_with_sources, traces_in

    traces, warning = traces_in(request, config)
    if warning:
        click.echo(f"{request}: {warning}", err=True)
    return [sample_with_sources(trace.stored, trace.service, trace.is_genai) for trace in traces]


def _stored(given: str, config: CollectorConfig) -> dict[str, Any]:
    from qualitrace_collector.masking import masked
    from qualitrace_collector.mlflow_store.store import StoreUnavailable
    from qualitrace_collector.show.traces import sample_with_sources

    match = _TRACE_ID.match(given)
    if match is None:
        raise click.UsageError(f"{given!r} is no trace id: 32 hex digits are needed, or tr- and 32 hex digits")
    trace_id = f"tr-{match[1].lower()}"
    where = masked(config.tracking_uri)
    try:
        spans = open_mlflow(config).read(trace_id)
    except StoreUnavailable as error:
        raise click.ClickException(f"MLflow cannot be reached: {error}") from error
    if not spans:
        raise click.ClickException(
            f"no trace {trace_id} in {where}; a trace is there about two seconds after its root has ended, and "
            f"without a root after {config.assembly.max_open:g} s (assembly.max_open)"
        )
    service, complete, judges = _known(trace_id, config)
    return sample_with_sources(spans, service, complete, judges)


def _known(trace_id: str, config: CollectorConfig) -> tuple[str, bool | None, dict[str, str]]:
    """Return a trace's service, whether it is complete, and its status by judge, from the state database."""
    from qualitrace_collector.state import Database, JudgeQueue, Ledger, StateError
    from qualitrace_collector.state.database import FILE_NAME

    if not (config.data_dir / FILE_NAME).exists():
        return "", None, {}
    try:
        database = Database.of(config.data_dir)
    except StateError as error:
        click.echo(str(error), err=True)
        return "", None, {}
    row = Ledger(database).known_traces([trace_id]).get(trace_id)
    if row is None:
        return "", None, {}
    left = "sampled_out" if row.root_seen else "waits for the trace's root"
    judges = {judge.name: left for judge in config.judges}
    judges |= dict.fromkeys(Ledger.not_matched(database.connection(), [trace_id]).get(trace_id, ()), "not_matched")
    picked = JudgeQueue(database).statuses(trace_id)
    return row.service, bool(row.root_seen), {name: picked.get(name, status) for name, status in judges.items()}


def _as_text(shown: dict[str, Any]) -> str:
    judges = ", ".join(f"{name} {status}" for name, status in shown["judges"].items())
    lines = [
        f"{shown['trace_id']}  {shown['service']}".rstrip(),
        f"complete: {_COMPLETE[shown['complete']]}",
        *([f"judges: {judges}"] if judges else []),
        *([f"error: {shown['error']}"] if shown["error"] is not None else []),
    ]
    for part in _PARTS:
        lines += _section(part, shown[part], shown["sources"][part])
    for number, (text, place) in enumerate(zip(shown["passages"], shown["sources"]["passages"], strict=True), 1):
        lines += _section(f"passage {number} ({shown['passages_source']})", text, place)
    if not shown["passages"]:
        lines.append("passages: none")
    for turn in shown["conversation"]:
        lines += _section(f"earlier: {turn['role']}", turn["content"], shown["sources"]["conversation"])
    for call, place in zip(shown["tool_calls"], shown["sources"]["tool_calls"], strict=True):
        lines += _section(f"tool: {call['name']}", f"{call['arguments']} -> {call['result']}", place)
    lines += _tokens(shown["tokens"], shown["sources"]["tokens"])
    cost = shown["cost_usd"]
    return _printable("\n".join([*lines, f"cost_usd: {'unknown' if cost is None else f'{cost:.6f}'}", ""]))


_COMPLETE = {True: "yes", False: "no", None: "not known to the state database of this configuration"}


def _tokens(counts: dict[str, int], places: list[dict[str, str]]) -> list[str]:
    text = ", ".join(f"{name} {count}" for name, count in counts.items())
    (line,) = _section("tokens", text or None, next(iter(places), None))
    return [f"{line} and of {len(places) - 1} more spans" if len(places) > 1 else line]


def _section(title: str, text: str | None, place: dict[str, str] | None) -> list[str]:
    origin = f"  [{place['span']} {place['span_id']}, {place['field']}]" if place and text else ""
    if text is None or text == "":
        return [f"{title}: none"]
    if "\n" in text:
        return [f"{title}:{origin}", *(f"    {line}" for line in text.splitlines())]
    return [f"{title}: {text}{origin}"]


def _printable(text: str) -> str:
    """Replace control characters, with which users' content could control the terminal."""
    return "".join(c if c in "\n\t" or unicodedata.category(c) != "Cc" else "\ufffd" for c in text)
