"""`qualitrace journal`: lists, shows, replays and drops dead letters, beside a running server."""

import json
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

import click
from google.protobuf.message import DecodeError

from qualitrace_collector.cli import config_option, load_or_exit, open_state
from qualitrace_collector.dead_letters.replay import is_decodable, otlp_json, replay
from qualitrace_collector.journal import JournalError, SqliteJournal
from qualitrace_collector.settings import CollectorConfig
from qualitrace_collector.state import DeadLetter, DeadLetters


@click.group()
def journal() -> None:
    """Handle dead letters: traces that MLflow refused, and requests that cannot be decoded."""


_all_option = click.option("--all", "everything", is_flag=True, help="Every letter.")
_ids_argument = click.argument("ids", metavar="[ID]...", nargs=-1)


@journal.command("list")
@config_option
@click.option("--json", "as_json", is_flag=True, help="One JSON object a line.")
def list_letters(path: Path | None, as_json: bool) -> None:
    """List the dead letters, oldest first."""
    letters = _open(_load(path)).summaries()
    if not letters and not as_json:
        click.echo("no dead letters", err=True)
    for letter in letters:
        letter["recorded_at"] = datetime.fromtimestamp(letter["recorded_at"], UTC).isoformat(timespec="seconds")
        if as_json:
            click.echo(json.dumps(letter))
        else:
            error = letter["error"].partition("\n")[0]
            click.echo("{id}  {recorded_at}  {trace_id}  {service}  {size} bytes  {0}".format(error, **letter))


@journal.command("show")
@config_option
@click.argument("letter_id", metavar="ID")
def show_letter(path: Path | None, letter_id: str) -> None:
    """Show a dead letter: its error, its spans and its log records as OTLP JSON."""
    (letter,) = _find(_open(_load(path)), [letter_id], everything=False)
    shown = {"id": letter.letter_id, "trace_id": letter.trace_id, "service": letter.service, "error": letter.error}
    try:
        shown |= otlp_json(letter)
    except DecodeError:
        shown["payload"] = (letter.traces or letter.logs).hex()
    click.echo(json.dumps(shown, indent=2))


@journal.command("replay")
@config_option
@_all_option
@_ids_argument
def replay_letters(path: Path | None, ids: tuple[str, ...], everything: bool) -> None:
    """Put dead letters back into the journal, for another attempt."""
    config = _load(path)
    letters = _open(config)
    chosen = _find(letters, ids, everything)
    undecodable = [letter.letter_id for letter in chosen if not is_decodable(letter)]
    if undecodable and not everything:
        raise click.ClickException(f"{', '.join(undecodable)}: cannot be decoded, so no replay would store it; drop it")
    wanted = [letter for letter in chosen if letter.letter_id not in undecodable]
    try:
        replay(wanted, letters, SqliteJournal.of(config.journal, config.data_dir))
    except JournalError as error:
        raise click.ClickException(
            f"{error}; the letters that remain are listed by 'qualitrace journal list'"
        ) from error
    click.echo(f"{len(wanted)} put back into the journal")
    if undecodable:
        click.echo(f"{len(undecodable)} left, because they cannot be decoded: {', '.join(undecodable)}")


@journal.command("drop")
@config_option
@_all_option
@click.option("--yes", is_flag=True, help="Do not ask.")
@_ids_argument
def drop_letters(path: Path | None, ids: tuple[str, ...], everything: bool, yes: bool) -> None:
    """Delete dead letters for good; in the ledger their traces stay dead_lettered."""
    letters = _open(_load(path))
    chosen = _find(letters, ids, everything)
    if chosen and not yes:
        click.confirm(f"Delete {len(chosen)} dead letters for good?", abort=True)
    letters.remove(chosen)
    click.echo(f"{len(chosen)} deleted")


def _load(path: Path | None) -> CollectorConfig:
    return load_or_exit(path, CollectorConfig, needs=("data_dir", "journal"))


def _open(config: CollectorConfig) -> DeadLetters:
    return DeadLetters(open_state(config))


def _find(letters: DeadLetters, ids: Sequence[str], everything: bool) -> list[DeadLetter]:
    if everything == bool(ids):
        raise click.UsageError("give either IDs or --all")
    wanted = [letter["id"] for letter in letters.summaries()] if everything else ids
    found = {letter_id: letters.get(letter_id) for letter_id in wanted}
    if missing := [letter_id for letter_id, letter in found.items() if letter is None]:
        raise click.ClickException(f"no dead letter {', '.join(missing)}; 'qualitrace journal list' lists them")
    return [letter for letter in found.values() if letter is not None]
