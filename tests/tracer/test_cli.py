"""The command line, run as a user does."""

import importlib
import os
import signal
import sys
from typing import Any

import click
import pytest
from click.testing import CliRunner

import qualitrace.cli

QUALITRACE = (sys.executable, "-m", "qualitrace")

STEP = """
import sys
from qualitrace import span
with span("step"): pass
print(sys.argv[1:], [path for path in sys.path if "zero_code" in path])
sys.exit(3)
"""


def test_run(programs: Any, collector: Any) -> None:
    """`run` traces a program that knows nothing of it, with its arguments, its exit code and a clean sys.path."""
    program = programs.write(STEP, "shop.py")
    options = ("--endpoint", collector.endpoint, "--environment", "test")
    process = programs.start(*QUALITRACE, "run", *options, sys.executable, program, "--endpoint", "x")
    done = programs.finish(process)
    assert (done.code, done.output) == (3, "['--endpoint', 'x'] []\n"), done.errors
    (span,) = collector.wait(1)
    assert span.resource["service.name"] == "shop"
    assert span.resource["deployment.environment.name"] == "test"


def test_run_module(programs: Any, collector: Any) -> None:
    """A program run as a module is named after the module."""
    programs.write(STEP, "store/shop.py")
    process = programs.start(*QUALITRACE, "run", "--endpoint", collector.endpoint, sys.executable, "-m", "store.shop")
    assert programs.finish(process).code == 3
    assert collector.wait(1)[0].resource["service.name"] == "shop"


def test_run_reaches_children(programs: Any, collector: Any) -> None:
    """A Python process that the command starts through a shell is traced too."""
    program = programs.write(STEP)
    process = programs.start(
        *QUALITRACE,
        "run",
        "--service-name",
        "shop",
        "--endpoint",
        collector.endpoint,
        "sh",
        "-c",
        f"'{sys.executable}' {program}",
    )
    assert programs.finish(process).code == 3
    assert collector.wait(1)[0].resource["service.name"] == "shop"


def test_run_reaches_workers(programs: Any, collector: Any) -> None:
    """A worker process that the program spawns is traced as the same service."""
    code = """
    from multiprocessing import get_context
    from qualitrace import span
    def work():
        with span("work"): pass
    if __name__ == "__main__":
        worker = get_context("spawn").Process(target=work)
        worker.start()
        worker.join()
    """
    program = programs.write(code, "shop.py")
    process = programs.start(*QUALITRACE, "run", "--endpoint", collector.endpoint, sys.executable, program)
    done = programs.finish(process)
    assert done.code == 0, done.errors
    (span,) = collector.wait(1)
    assert (span.name, span.resource["service.name"]) == ("work", "shop")


def test_run_tells_a_bad_setting_once(programs: Any, collector: Any) -> None:
    """One warning in the process, although the settings are looked at twice."""
    program = programs.write("pass")
    options = ("--endpoint", collector.endpoint, "--redact", "emial", "--sample-ratio", "3")
    done = programs.finish(programs.start(*QUALITRACE, "run", *options, sys.executable, program))
    assert (done.code, done.errors.count("'emial'"), done.errors.count("SAMPLE_RATIO")) == (0, 1, 1), done.errors


def test_run_keeps_the_hidden_sitecustomize(programs: Any, collector: Any) -> None:
    """The environment's own `sitecustomize` runs, even one that raises, and the PYTHONPATH stays."""
    programs.write("import builtins; builtins.greeting = 'hello'; raise RuntimeError", "site/sitecustomize.py")
    code = "print(greeting)\nfrom qualitrace import span\nwith span('step'): pass"
    process = programs.start(
        *QUALITRACE,
        *("run", "--endpoint", collector.endpoint, sys.executable, programs.write(code)),
        PYTHONPATH=os.pathsep.join([str(programs.directory / "site"), os.environ.get("PYTHONPATH", "")]),
    )
    done = programs.finish(process)
    assert (done.code, done.output) == (0, "hello\n"), done.errors
    assert collector.wait(1)[0].name == "step"


@pytest.mark.slow
@pytest.mark.parametrize("order", ["run first", "run second"])
def test_run_with_opentelemetry_instrument(programs: Any, collector: Any, order: str) -> None:
    """OpenTelemetry's launcher may stand before or after `run`; the program and its children are traced."""
    code = """
    import subprocess, sys
    from opentelemetry import trace
    with trace.get_tracer("app").start_as_current_span("step"): pass
    if len(sys.argv) == 1:
        subprocess.run([sys.executable, __file__, "child"])
    """
    run = (*QUALITRACE, "run", "--endpoint", collector.endpoint)
    launcher = (sys.executable, "-c", "from opentelemetry.instrumentation.auto_instrumentation import run; run()")
    chain = (*run, *launcher) if order == "run first" else (*launcher, *run)
    program = programs.write(code, "shop.py")
    done = programs.finish(
        programs.start(*chain, sys.executable, program, OTEL_PYTHON_DISABLED_INSTRUMENTATIONS="*")  # they are slow
    )
    assert done.code == 0, done.errors
    assert [span.resource["service.name"] for span in collector.wait(2)] == ["shop", "shop"]


def test_run_passes_signals(programs: Any, collector: Any) -> None:
    """The process that `run` was is the program itself: a signal reaches it, and its death is reported."""
    program = programs.write("print('up', flush=True)\nimport time\nwhile True: time.sleep(60)")
    process = programs.start(*QUALITRACE, "run", "--endpoint", collector.endpoint, sys.executable, program)
    assert process.stdout.readline() == "up\n"
    process.send_signal(signal.SIGTERM)
    assert programs.finish(process).code == -signal.SIGTERM


def test_zero_code_without_qualitrace(programs: Any) -> None:
    """A Python that lacks the package runs its program all the same, and says that it is not traced."""
    folder = str(qualitrace.cli.ZERO_CODE_DIRECTORY)
    program = programs.write("print('up')")
    done = programs.finish(
        programs.start(
            sys.executable,
            "-S",
            "-c",
            f"""
import sys, runpy
sys.path.insert(0, {folder!r})
import sitecustomize
runpy.run_path({program!r})
""",
        )
    )
    assert (done.code, done.output) == (0, "up\n")
    assert "is not traced" in done.errors


@pytest.mark.parametrize(("command", "code"), [("no-such-command", 127), ("/", 126)])
def test_run_of_nothing(command: str, code: int) -> None:
    """A program that cannot be run is reported as a shell does it."""
    result = CliRunner().invoke(qualitrace.cli.main, ["run", command])
    assert result.exit_code == code
    assert f"cannot run {command}" in result.output


def test_run_without_command() -> None:
    """`run` alone is a usage error."""
    result = CliRunner().invoke(qualitrace.cli.main, ["run"])
    assert result.exit_code == 2
    assert "Missing argument 'COMMAND...'" in result.output


def test_help_lists_every_command(programs: Any) -> None:
    """The help has a line for each command, and imports no server code for it."""
    done = programs.run(
        """
        import sys
        from qualitrace.cli import main
        main(["--help"], standalone_mode=False)
        print([name for name in sys.modules if name.startswith(("qualitrace_monitors", "mlflow"))])
        """
    )
    for name, (_, summary) in qualitrace.cli.COMMANDS.items():
        assert any(line.split(maxsplit=1) == [name, summary] for line in done.output.splitlines()), name
    assert done.output.endswith("[]\n")


@pytest.mark.parametrize("name", qualitrace.cli.COMMANDS)
def test_server_commands_exist(name: str) -> None:
    """Each server command is where the table says."""
    module, _, attribute = qualitrace.cli.COMMANDS[name][0].partition(":")
    assert isinstance(getattr(importlib.import_module(module), attribute), click.Command)


def test_server_extra_missing(programs: Any) -> None:
    """Without the server's dependencies a server command says what to install."""
    done = programs.run(
        """
        import sys
        sys.modules["yaml"] = None  # as if it were not installed
        from qualitrace.cli import main
        main(["check-config"])
        """
    )
    assert done.code == 1
    assert "pip install 'qualitrace[server]'" in done.errors


def test_version() -> None:
    """`--version` prints the version."""
    result = CliRunner().invoke(qualitrace.cli.main, ["--version"])
    assert "0.1.0" in result.output


@pytest.mark.parametrize("words", ["", "run", "serve", "alerts list", "config show", "journal replay"])
def test_help_has_a_short_form(words: str) -> None:
    """`-h` is `--help`, for every command."""
    short, long = (CliRunner().invoke(qualitrace.cli.main, [*words.split(), flag]) for flag in ("-h", "--help"))
    assert (short.exit_code, short.output) == (0, long.output)
    assert "-h, --help" in short.output


@pytest.mark.parametrize(
    ("line", "completed"),
    [
        ("qualitrace eval", {"evaluate"}),
        ("qualitrace alerts ", {"list", "test", "backtest", "delay"}),
        ("qualitrace serve --log-f", {"--log-format"}),
        ("qualitrace serve --log-level d", {"debug"}),
        ("qualitrace run --service", {"--service-name"}),
    ],
)
@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_a_shell_completes(line: str, completed: set[str], shell: str) -> None:
    """Commands, their options and choices, by the script that the reference shows."""
    *words, last = line.split(" ")
    places = {"COMP_WORDS": line, "COMP_CWORD": last if shell == "fish" else str(len(words))}
    environ = {"_QUALITRACE_COMPLETE": f"{shell}_complete", **places}
    result = CliRunner().invoke(qualitrace.cli.main, prog_name="qualitrace", env=environ)
    written = {part for line in result.output.splitlines() for part in line.replace("\t", ",").split(",")}
    assert completed <= written
    source = CliRunner().invoke(
        qualitrace.cli.main, prog_name="qualitrace", env={"_QUALITRACE_COMPLETE": f"{shell}_source"}
    )
    assert f"_QUALITRACE_COMPLETE={shell}_complete" in source.output
