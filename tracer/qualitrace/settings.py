"""Every setting in one table: keyword > `QUALITRACE_*` > `OTEL_*` > default.

A bad value never stops the app: it is named in a warning and the default is used.
"""

import os
import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any
from urllib.parse import unquote

from qualitrace import values
from qualitrace.instruments import LIBRARIES
from qualitrace.quiet import logger
from qualitrace.redact import PATTERNS, redaction
from qualitrace.values import TRACES_PATH

Environment = Mapping[str, str]
PREFIX = "QUALITRACE_"


@dataclass(frozen=True)
class Source:
    """An `OTEL_*` variable that a setting may come from, and how its text is read.

    `part` takes what belongs to the setting out of the variable's text; None there means not set.
    """

    variable: str
    parse: Callable[[Any], Any]
    part: Callable[[str, Environment], str | None] = lambda text, _: text

    def read(self, environ: Environment) -> str | None:
        """Return the setting's text, None if the variable is unset or empty."""
        text = environ.get(self.variable)
        return self.part(text, environ) if text else None


def _resource_attribute(name: str) -> Source:
    def part(text: str, _: Environment) -> str | None:
        pairs = (pair.partition("=") for pair in text.split(","))
        return next((unquote(value.strip()) for key, _, value in pairs if key.strip() == name), None)

    return Source("OTEL_RESOURCE_ATTRIBUTES", values.text, part)


def _sampler_ratio(sampler: str, environ: Environment) -> str | None:
    fixed = {"always_on": "1", "always_off": "0", "traceidratio": environ.get("OTEL_TRACES_SAMPLER_ARG", "1")}
    return fixed.get(sampler.lower().removeprefix("parentbased_"))


def _setting(help_text: str, parse: Callable[[Any], Any], default: Any, *sources: Source) -> Any:
    return field(default=default, metadata={"help": help_text, "parse": parse, "sources": sources})


@dataclass(frozen=True)
class Settings:
    """What the tracer does; each field is a keyword of `init` and a `QUALITRACE_*` variable."""

    service_name: str = _setting(
        "service.name of the traces; else the script's name",
        values.text,
        "",
        Source("OTEL_SERVICE_NAME", values.text),
        _resource_attribute("service.name"),
    )
    endpoint: str = _setting(
        f"base URL of the OTLP/HTTP collector; {TRACES_PATH} is appended",
        values.base_url,
        "http://127.0.0.1:4318" + TRACES_PATH,
        Source("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", values.url),
        Source("OTEL_EXPORTER_OTLP_ENDPOINT", lambda value: values.url(value).rstrip("/") + TRACES_PATH),
    )
    headers: Mapping[str, str] | None = _setting(
        "headers of each export, key=value,key=value",
        values.headers,
        None,
        Source("OTEL_EXPORTER_OTLP_TRACES_HEADERS", values.headers),
        Source("OTEL_EXPORTER_OTLP_HEADERS", values.headers),
    )
    enabled: bool = _setting(
        "false turns everything off",
        values.flag,
        True,
        Source("OTEL_SDK_DISABLED", lambda value: not values.flag(value)),
    )
    capture_content: bool = _setting(
        "record prompts, answers, arguments and documents on the spans",
        values.flag,
        True,
        Source("OTEL_INSTRUMENTATION_GENAI_CAPTURE_MESSAGE_CONTENT", values.content_mode),
    )
    redact: Callable[[str], str] | None = _setting(  # noqa: RUF009  # a field like the others
        f"what is replaced in all texts before they leave: {', '.join(PATTERNS)}, or /regular expressions/",
        redaction,
        None,
    )
    environment: str | None = _setting(
        "deployment.environment.name, for example production",
        values.text,
        None,
        _resource_attribute("deployment.environment.name"),
    )
    sample_ratio: float = _setting(
        "share of the traces that is exported (head sampling), 0 to 1",
        values.ratio,
        1.0,
        Source("OTEL_TRACES_SAMPLER", values.ratio, _sampler_ratio),
    )
    schedule_delay: float = _setting(
        "seconds between two exports",
        values.seconds,
        0.5,
        Source("OTEL_BSP_SCHEDULE_DELAY", lambda value: values.seconds(float(value) / 1000)),
    )
    queue_size: int = _setting(
        "ended spans held in memory; the oldest is dropped beyond",
        values.count,
        2048,
        Source("OTEL_BSP_MAX_QUEUE_SIZE", values.count),
    )
    export_timeout: float = _setting(
        "seconds for one export, retries included",
        values.seconds,
        10.0,
        Source("OTEL_EXPORTER_OTLP_TRACES_TIMEOUT", values.seconds),
        Source("OTEL_EXPORTER_OTLP_TIMEOUT", values.seconds),
    )
    instrument: tuple[str, ...] = _setting(
        f"libraries to trace: {', '.join(LIBRARIES)}, or none",
        values.libraries,
        tuple(LIBRARIES),
        Source("OTEL_PYTHON_DISABLED_INSTRUMENTATIONS", values.all_but),
    )


def settings_help() -> dict[str, str]:
    """Map each setting's name to its one-line help."""
    return {setting.name: setting.metadata["help"] for setting in fields(Settings)}


def variable(name: str) -> str:
    """Return the environment variable of the setting `name`."""
    return PREFIX + name.upper()


def resolve(keywords: Mapping[str, Any], environ: Environment = os.environ) -> Settings:
    """Resolve every setting; a keyword that is None counts as not given. Never raises."""
    resolved: dict[str, Any] = {}
    for setting in fields(Settings):
        candidates = _candidates(setting.name, setting.metadata, keywords, environ)
        place, value, parse = next(candidates, (None, None, None))
        if parse is None:
            continue
        try:
            resolved[setting.name] = parse(value)
        except Exception as error:
            logger.warning("%s is ignored, the default is used: %s", place, error)
    resolved["service_name"] = resolved.get("service_name") or script_name(sys.argv, sys.orig_argv)
    return Settings(**resolved)


def _candidates(
    name: str, metadata: Mapping[str, Any], keywords: Mapping[str, Any], environ: Environment
) -> Iterator[tuple[str, Any, Callable[[Any], Any]]]:
    """Yield (place, value, parser) of each source that has a value, the strongest first."""
    if keywords.get(name) is not None:
        yield name, keywords[name], metadata["parse"]
    if environ.get(variable(name)):
        yield variable(name), environ[variable(name)], metadata["parse"]
    for source in metadata["sources"]:
        if (text := source.read(environ)) is not None:
            yield source.variable, text, source.parse


def script_name(argv: list[str], orig_argv: list[str]) -> str:
    """Name the running program: the script's or module's name, as OTel's fallback `unknown_service:python`.

    While the interpreter starts, `argv[0]` is still `-m` or `-c` and only `orig_argv` tells the module.
    """
    program = argv[0] if argv else ""
    if program == "-m" and "-m" in orig_argv[:-1]:
        return orig_argv[orig_argv.index("-m") + 1].rpartition(".")[2]
    path = Path(program)
    name = path.parent.name if path.stem == "__main__" else path.stem
    return "unknown_service:python" if name in ("", "-c", "-m") else name
