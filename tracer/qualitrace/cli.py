"""The command `qualitrace`. It lists all commands, but imports one only when it is called."""

import importlib
import importlib.metadata
import os
import signal
from pathlib import Path
from typing import Any, NoReturn

import click

from qualitrace.settings import settings_help, variable

COMMANDS = {
    "bootstrap": ("qualitrace.libraries.bootstrap:bootstrap", "Find installed libraries; bring their instrumentors."),
    "serve": ("qualitrace_monitors.server.commands:serve", "Run collector and monitors in one go."),
    "collector": ("qualitrace_monitors.server.commands:collector", "Run the collector alone."),
    "monitor": ("qualitrace_monitors.server.commands:monitor", "Run the monitors alone."),
    "check-config": ("qualitrace_monitors.server.commands:check_config", "Check a configuration file."),
    "config": ("qualitrace_monitors.config.command:config", "Show the configuration in force, or its JSON Schema."),
    "status": ("qualitrace_monitors.terminal.status:status", "Show how a server is doing."),
    "tail": ("qualitrace_monitors.terminal.tail:tail", "Show scores as they come."),
    "alerts": ("qualitrace_monitors.alert_commands.command:alerts", "List alerts; try rules and receivers."),
    "rules": ("qualitrace_monitors.prometheus_rules.command:rules", "Write Prometheus rules from the configuration."),
    "dashboards": ("qualitrace_monitors.grafana.command:dashboards", "Write dashboards for Grafana."),
    "journal": ("qualitrace_collector.dead_letters.command:journal", "List, show, replay or drop dead letters."),
    "backup": ("qualitrace_monitors.backup.command:backup", "Back up the embedded state while the server runs."),
    "restore": ("qualitrace_monitors.backup.command:restore", "Restore a backup into an empty data_dir."),
    "calibrate": ("qualitrace_monitors.calibrate.command:calibrate", "Compare a judge with experts' labels."),
    "doctor": ("qualitrace_collector.doctor.command:doctor", "Show why scores are missing, and how to fix it."),
    "sample": ("qualitrace_collector.show.command:sample", "Show what the judges see of a trace."),
    "judge": ("qualitrace_monitors.rows.command:judge_file", "Score a JSONL file, without a server."),
    "evaluate": ("qualitrace_monitors.evaluation.command:evaluate_data", "Score a data set as an MLflow run."),
    "demo": ("qualitrace_monitors.demo.story:demo", "Watch an app's quality fall, alert and recover."),
}
SERVERS = ("serve", "collector", "monitor")
ZERO_CODE_DIRECTORY = Path(__file__).parent / "zero_code"


class _LazyCommand(click.Command):
    """Stands in for a command until it is called."""

    def __init__(self, name: str, target: str, summary: str) -> None:
        super().__init__(name, help=summary)
        self._target = target

    def make_context(self, *args: Any, **kwargs: Any) -> click.Context:
        """Load the command and let it take over."""
        if self.name in SERVERS and hasattr(signal, "SIGHUP"):
            # It asks them to read their configuration, which they will do anyway once they are loaded.
            signal.signal(signal.SIGHUP, signal.SIG_IGN)
        os.umask(0o077)  # what the commands write are prompts, answers and their scores
        module, _, attribute = self._target.partition(":")
        try:
            command: click.Command = getattr(importlib.import_module(module), attribute)
        except ModuleNotFoundError as error:
            if (error.name or "").startswith("qualitrace"):
                raise
            raise click.ClickException(
                f"this command needs the server extra: pip install 'qualitrace[server]' (no module {error.name})"
            ) from None
        return command.make_context(*args, **kwargs)


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(importlib.metadata.version("qualitrace"))
def main() -> None:
    """Trace GenAI applications with OpenTelemetry and watch their quality."""


for _name, (_target, _summary) in COMMANDS.items():
    main.add_command(_LazyCommand(_name, _target, _summary))


def _run(command: tuple[str, ...], **options: str | None) -> NoReturn:
    """Run COMMAND with tracing, without a change to its code.

    \b
    Example: qualitrace run --service-name shop python app.py
    """
    environ = dict(os.environ)
    environ.update({variable(name): value for name, value in options.items() if value is not None})
    inherited = environ.get("PYTHONPATH", "").split(os.pathsep)
    others = [path for path in inherited if path and path != str(ZERO_CODE_DIRECTORY)]
    environ["PYTHONPATH"] = os.pathsep.join([str(ZERO_CODE_DIRECTORY), *others])
    try:
        os.execvpe(command[0], command, environ)  # noqa: S606 - what the user asked for
    except OSError as error:
        click.echo(f"Error: cannot run {command[0]}: {error.strerror}", err=True)
        raise SystemExit(127 if isinstance(error, FileNotFoundError) else 126) from None


main.add_command(
    click.Command(
        "run",
        callback=_run,
        help=_run.__doc__,
        context_settings={"allow_interspersed_args": False},
        params=[
            *(
                click.Option([f"--{name.replace('_', '-')}"], metavar="VALUE", help=f"{text}.")
                for name, text in settings_help().items()
            ),
            click.Argument(["command"], nargs=-1, required=True, type=click.UNPROCESSED),
        ],
    )
)
