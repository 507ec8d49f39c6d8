"""Every setting in one table, `Settings`: keyword > `QUALITRACE_*` > `OTEL_*` > default.

A bad value never stops the app: a warning names it, and the default is used.
"""

import os
import re
import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

from opentelemetry.util.re import parse_env_headers

from qualitrace.libraries.table import default_libraries, libraries
from qualitrace.quiet import logger
from qualitrace.redaction.redactor import PERSONAL, Redactor, redaction
from qualitrace.serialize import without_surrogates

Environment = Mapping[str, str]
PREFIX = "QUALITRACE_"
TRACES_PATH = "/v1/traces"
CAPTURES = ("full", "redacted", "none")
_HOST = re.compile(r"((\*\.)?[a-z0-9_]([a-z0-9_.-]*[a-z0-9_])?|\[[0-9a-f:.]+\])(:[0-9]{1,5})?")
CONSOLE_ONLY = "only"
# Spans in memory: at a few kB each a million are more than an app can spare.
MAX_COUNT = 1_000_000


def read_text(value: Any) -> str:
    """Read text that is not blank."""
    if not isinstance(value, str) or not value.strip():
        raise ValueError(f"must be text, not {value!r}")
    return without_surrogates(value.strip())


def read_url(value: Any) -> str:
    """Read an http or https URL."""
    found = read_text(value)
    parts = urlsplit(found)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise ValueError(f"must be a URL such as http://127.0.0.1:4318, not {found!r}")
    _ = parts.port  # raises ValueError when it is not a port number
    return found


def read_base_url(value: Any) -> str:
    """Read a URL and append the path of OTLP traces, if it is not there."""
    found = read_url(value).rstrip("/")
    return found if found.endswith(TRACES_PATH) else found + TRACES_PATH


def read_flag(value: Any) -> bool:
    """Read true or false."""
    word = str(value).strip().lower()
    if word in ("true", "1", "yes", "on"):
        return True
    if word in ("false", "0", "no", "off"):
        return False
    raise ValueError(f"must be true or false, not {value!r}")


def read_capture(value: Any) -> str:
    """Read full, redacted or none."""
    word = read_text(value).lower()
    if word not in CAPTURES:
        raise ValueError(f"must be one of {', '.join(CAPTURES)}, not {value!r}")
    return word


def read_console(value: Any) -> bool | str:
    """Read true, false or only."""
    return CONSOLE_ONLY if str(value).strip().lower() == CONSOLE_ONLY else read_flag(value)


def read_exporters(value: Any) -> bool | str:
    """Read OpenTelemetry's list of exporters, of which the console may be one, or the only one."""
    names = {name.strip() for name in read_text(value).lower().split(",")}
    return CONSOLE_ONLY if names == {"console"} else "console" in names


def read_content_mode(value: Any) -> str:
    """Read OpenTelemetry's mode of content capture, which has content on spans or not."""
    return "redacted" if read_text(value).lower() in ("span_only", "span_and_event", "true") else "none"


def read_ratio(value: Any) -> float:
    """Read a number from 0 to 1."""
    number = float(value)
    if not 0 <= number <= 1:
        raise ValueError(f"must be between 0 and 1, not {value!r}")
    return number


def read_seconds(value: Any) -> float:
    """Read a duration in seconds, above 0 and up to an hour."""
    number = float(value)
    if not 0 < number <= 3600:
        raise ValueError(f"must be more than 0 and at most 3600 seconds, not {number:g}")
    return number


def read_count(value: Any) -> int:
    """Read a positive whole number."""
    number = int(value)
    if number < 1:
        raise ValueError(f"must be at least 1, not {value!r}")
    if number > MAX_COUNT:
        raise ValueError(f"must be at most {MAX_COUNT}, not {value!r}")
    return number


def read_headers(value: Any) -> Mapping[str, str]:
    """Read a mapping, or `key=value,key=value` in percent-encoding."""
    if isinstance(value, Mapping):
        headers = {str(key): str(item) for key, item in value.items()}
    elif isinstance(value, str):
        headers = parse_env_headers(value, liberal=True)
    else:  # no message quotes a value: it may be a secret
        raise ValueError("must be a mapping, or text such as key=value,key=value")
    for key, item in headers.items():
        if any(character in "\r\n\0" or character > "\xff" for character in f"{key}{item}"):  # HTTP has Latin 1
            raise ValueError(f"the value of {key!r} has a character that no header can carry")
    return headers


def read_libraries(value: Any) -> tuple[str, ...]:
    """Read names of the table of libraries, as a sequence or separated by commas; `none` is none of them.

    `+name` and `-name` change the default list instead.
    """
    names = value.split(",") if isinstance(value, str) else list(value)
    names = [name.strip() for name in names if name.strip() not in ("", "none")]
    if unknown := [name for name in names if name.lstrip("+-") not in libraries()]:
        raise ValueError(f"unknown library {unknown[0]!r}; known: {', '.join(libraries())}, or none")
    changes = [name for name in names if name[0] in "+-"]
    if not changes:
        return tuple(names)
    if len(changes) < len(names):
        raise ValueError("either names alone, or each with + or -")
    chosen = dict.fromkeys(default_libraries())
    for change in changes:
        chosen.pop(change[1:], None)
        if change[0] == "+":
            chosen[change[1:]] = None
    return tuple(chosen)


def read_all_but(value: Any) -> tuple[str, ...]:
    """Read the names that are *not* to be traced; `*` is all of them."""
    disabled = {name.strip() for name in read_text(value).split(",")}
    return () if "*" in disabled else tuple(name for name in default_libraries() if name not in disabled)


def read_hosts(value: Any) -> tuple[str, ...]:
    """Read hosts, each with a port or without, as a sequence or separated by commas; `none` is none of them."""
    names = value.split(",") if isinstance(value, str) else list(value)
    names = [str(name).strip().lower() for name in names]
    names = [name for name in names if name not in ("", "none")]
    if wrong := [name for name in names if not _HOST.fullmatch(name)]:
        raise ValueError(f"must be hosts such as orders.internal, *.internal or 127.0.0.1:8000, not {wrong[0]!r}")
    return tuple(names)


@dataclass(frozen=True)
class OtelVariable:
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


def _resource_attribute(name: str) -> OtelVariable:
    def part(text: str, _: Environment) -> str | None:
        pairs = (pair.partition("=") for pair in text.split(","))
        return next((unquote(value.strip()) for key, _, value in pairs if key.strip() == name), None)

    return OtelVariable("OTEL_RESOURCE_ATTRIBUTES", read_text, part)


def _sampler_ratio(sampler: str, environ: Environment) -> str | None:
    fixed = {"always_on": "1", "always_off": "0", "traceidratio": environ.get("OTEL_TRACES_SAMPLER_ARG", "1")}
    return fixed.get(sampler.lower().removeprefix("parentbased_"))


def _is_parent_based(sampler: str, _: Environment) -> str | None:
    return "true" if sampler.lower().startswith("parentbased_") else None


def _setting(help_text: str, parse: Callable[[Any], Any], default: Any, *sources: OtelVariable) -> Any:
    return field(default=default, metadata={"help": help_text, "parse": parse, "sources": sources})


@dataclass(frozen=True)
class Settings:
    """What the tracer does; each field is a keyword of `init` and a `QUALITRACE_*` variable."""

    service_name: str = _setting(
        "service.name of the traces; else the script's name",
        read_text,
        "",
        OtelVariable("OTEL_SERVICE_NAME", read_text),
        _resource_attribute("service.name"),
    )
    endpoint: str = _setting(
        f"base URL of the OTLP/HTTP collector; {TRACES_PATH} is appended",
        read_base_url,
        "http://127.0.0.1:4318" + TRACES_PATH,
        OtelVariable("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", read_url),
        OtelVariable("OTEL_EXPORTER_OTLP_ENDPOINT", lambda value: read_url(value).rstrip("/") + TRACES_PATH),
    )
    headers: Mapping[str, str] | None = _setting(
        "headers of each export, key=value,key=value",
        read_headers,
        None,
        OtelVariable("OTEL_EXPORTER_OTLP_TRACES_HEADERS", read_headers),
        OtelVariable("OTEL_EXPORTER_OTLP_HEADERS", read_headers),
    )
    enabled: bool = _setting(
        "false turns everything off",
        read_flag,
        True,
        OtelVariable("OTEL_SDK_DISABLED", lambda value: not read_flag(value)),
    )
    capture: str = _setting(
        "what is recorded of prompts, answers, arguments and documents: full, redacted (secrets and what `redact` "
        "names are replaced) or none",
        read_capture,
        "redacted",
        OtelVariable("OTEL_INSTRUMENTATION_GENAI_CAPTURE_MESSAGE_CONTENT", read_content_mode),
    )
    redact: Redactor | None = _setting(  # noqa: RUF009  # a field like the others
        f"what is replaced in all texts besides secrets: {', '.join(PERSONAL)}, or /regular expressions/",
        redaction,
        None,
    )
    environment: str | None = _setting(
        "deployment.environment.name, for example production",
        read_text,
        None,
        _resource_attribute("deployment.environment.name"),
    )
    console: bool | str = _setting(
        "true prints each trace as a tree to stderr; only prints it and sends nothing",
        read_console,
        False,
        OtelVariable("OTEL_TRACES_EXPORTER", read_exporters),
    )
    sample_ratio: float = _setting(
        "share of the traces that is exported (head sampling), 0 to 1",
        read_ratio,
        1.0,
        OtelVariable("OTEL_TRACES_SAMPLER", read_ratio, _sampler_ratio),
    )
    schedule_delay: float = _setting(
        "seconds between two exports",
        read_seconds,
        0.5,
        OtelVariable("OTEL_BSP_SCHEDULE_DELAY", lambda value: read_seconds(float(value) / 1000)),
    )
    queue_size: int = _setting(
        "ended spans held in memory; the oldest is dropped beyond",
        read_count,
        2048,
        OtelVariable("OTEL_BSP_MAX_QUEUE_SIZE", read_count),
    )
    export_timeout: float = _setting(
        "seconds for one export, retries included",
        read_seconds,
        10.0,
        OtelVariable("OTEL_EXPORTER_OTLP_TRACES_TIMEOUT", read_seconds),
        OtelVariable("OTEL_EXPORTER_OTLP_TIMEOUT", read_seconds),
    )
    instrument: tuple[str, ...] | None = _setting(
        "libraries to trace: names, none, or +name,-name to change the default (`qualitrace bootstrap` lists them)",
        read_libraries,
        None,
        OtelVariable("OTEL_PYTHON_DISABLED_INSTRUMENTATIONS", read_all_but),
    )

    propagate: bool = _setting("whether requests of HTTP clients carry the trace to the next service", read_flag, True)
    baggage_hosts: tuple[str, ...] = _setting(
        "hosts that get session, user, prompt version and environment with requests, such as *.internal,10.0.0.7:8000",
        read_hosts,
        (),
    )
    follow_caller_sampling: bool = _setting(
        "true lets the `sampled` flag of a calling service decide on its requests; else sample_ratio decides",
        read_flag,
        False,
        OtelVariable("OTEL_TRACES_SAMPLER", read_flag, _is_parent_based),
    )

    @property
    def redactor(self) -> Redactor | None:
        """What all texts are redacted by before they leave; None if they leave as they are.

        Rules that are given are followed, whatever `capture` says.
        """
        return None if self.capture == "full" and self.redact is None else self.redact or redaction(())


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


def unused_with_another_provider(settings: Settings, service_name: str | None) -> str:
    """Return the settings that only a provider of our own follows, as text; empty if none was given.

    Args:
        settings: as they were given or found.
        service_name: the other provider's.
    """
    given = {
        "environment": settings.environment,
        "sample_ratio": None if settings.sample_ratio == 1 else settings.sample_ratio,
    }
    if settings.service_name not in (service_name, script_name(sys.argv, sys.orig_argv)):
        given = {"service_name": settings.service_name, **given}
    names = [f"{name}={value}" for name, value in given.items() if value is not None]
    return f"{', '.join(names)} {'is' if len(names) == 1 else 'are'} not used" if names else ""


class _CurrentSettings:
    settings: Settings | None = None


def use_settings(settings: Settings | None) -> None:
    """Let `current_settings` return these from now on; None: those of the environment."""
    _CurrentSettings.settings = settings


def current_settings() -> Settings:
    """Return the settings of `init`; without it, those of the environment."""
    settings = _CurrentSettings.settings
    if settings is None:
        resolved = resolve({})
        # Those of `init` count even if it was called meanwhile, in another thread: redaction is among them.
        _CurrentSettings.settings = settings = _CurrentSettings.settings or resolved
    return settings


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
    """Return the name of the running script or module, `unknown_service:python` (as the SDK does) if there is none."""
    program = argv[0] if argv else ""
    # While the interpreter starts, argv[0] is still `-m` or `-c`, and only orig_argv has the module's name.
    if program == "-m" and "-m" in orig_argv[:-1]:
        return orig_argv[orig_argv.index("-m") + 1].rpartition(".")[2]
    path = Path(program)
    name = path.parent.name if path.stem == "__main__" else path.stem
    return "unknown_service:python" if name in ("", "-c", "-m") else name
