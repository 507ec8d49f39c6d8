"""The order of a setting's sources, and that bad values never stop the app."""

import logging
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qualitrace import settings as module
from qualitrace.libraries.table import default_libraries, libraries
from qualitrace.settings import (
    Settings,
    current_settings,
    resolve,
    script_name,
    settings_help,
    use_settings,
    variable,
)


def test_order_of_sources() -> None:
    """A keyword beats QUALITRACE_*, which beats OTEL_*, which beats the default."""
    otel = {"OTEL_SERVICE_NAME": "otel"}
    ours = {**otel, "QUALITRACE_SERVICE_NAME": "ours"}
    assert resolve({"service_name": "keyword"}, ours).service_name == "keyword"
    assert resolve({"service_name": None}, ours).service_name == "ours"
    assert resolve({}, otel).service_name == "otel"
    assert resolve({}, {}) == Settings(service_name=resolve({}, {}).service_name)


@pytest.mark.parametrize(
    ("environ", "name", "value"),
    [
        ({"QUALITRACE_ENDPOINT": "http://c:4318"}, "endpoint", "http://c:4318/v1/traces"),
        ({"QUALITRACE_ENDPOINT": "https://c/otlp/"}, "endpoint", "https://c/otlp/v1/traces"),
        ({"QUALITRACE_ENDPOINT": "http://c/v1/traces"}, "endpoint", "http://c/v1/traces"),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": "http://c:4318/"}, "endpoint", "http://c:4318/v1/traces"),
        ({"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": "http://c/here"}, "endpoint", "http://c/here"),
        ({}, "endpoint", "http://127.0.0.1:4318/v1/traces"),
        ({"OTEL_RESOURCE_ATTRIBUTES": "a=b, service.name=my%20shop"}, "service_name", "my shop"),
        ({"OTEL_RESOURCE_ATTRIBUTES": "deployment.environment.name=prod"}, "environment", "prod"),
        ({"OTEL_EXPORTER_OTLP_HEADERS": "key=a%20b,k2=c"}, "headers", {"key": "a b", "k2": "c"}),
        ({"OTEL_SDK_DISABLED": "true"}, "enabled", False),
        ({"OTEL_INSTRUMENTATION_GENAI_CAPTURE_MESSAGE_CONTENT": "no_content"}, "capture", "none"),
        ({"OTEL_INSTRUMENTATION_GENAI_CAPTURE_MESSAGE_CONTENT": "SPAN_ONLY"}, "capture", "redacted"),
        ({"OTEL_TRACES_SAMPLER": "parentbased_traceidratio", "OTEL_TRACES_SAMPLER_ARG": ".2"}, "sample_ratio", 0.2),
        ({"OTEL_TRACES_SAMPLER": "always_off"}, "sample_ratio", 0.0),
        ({"OTEL_TRACES_SAMPLER_ARG": "0.2"}, "sample_ratio", 1.0),
        ({"OTEL_TRACES_SAMPLER": "parentbased_always_on"}, "follow_caller_sampling", True),
        ({"OTEL_TRACES_SAMPLER": "traceidratio"}, "follow_caller_sampling", False),
        ({"QUALITRACE_BAGGAGE_HOSTS": "*.Internal, [::1]:8000"}, "baggage_hosts", ("*.internal", "[::1]:8000")),
        ({"OTEL_BSP_SCHEDULE_DELAY": "2000"}, "schedule_delay", 2.0),
        ({"OTEL_EXPORTER_OTLP_TIMEOUT": "4"}, "export_timeout", 4.0),
        ({"QUALITRACE_INSTRUMENT": "openai, langchain"}, "instrument", ("openai", "langchain")),
        ({"QUALITRACE_INSTRUMENT": "none"}, "instrument", ()),
        ({"OTEL_PYTHON_DISABLED_INSTRUMENTATIONS": "*"}, "instrument", ()),
        (
            {"OTEL_PYTHON_DISABLED_INSTRUMENTATIONS": "flask,openai"},
            "instrument",
            tuple(name for name in default_libraries() if name not in ("flask", "openai")),
        ),
    ],
)
def test_variables(environ: dict[str, str], name: str, value: Any) -> None:
    """Each variable is read as OpenTelemetry's specification, or our table, says."""
    assert getattr(resolve({}, environ), name) == value


@pytest.mark.parametrize(
    ("name", "bad", "remedy"),
    [
        ("endpoint", "localhost:4318", "must be a URL such as http://127.0.0.1:4318"),
        ("endpoint", "http://c:port", "Port could not be cast"),
        ("enabled", "maybe", "must be true or false"),
        ("sample_ratio", 1.5, "must be between 0 and 1"),
        ("schedule_delay", 0, "must be more than 0"),
        ("queue_size", "-1", "must be at least 1"),
        ("queue_size", 10**30, "must be at most 1000000"),
        ("headers", {"x-key": "a\nb"}, "'x-key' has a character that no header can carry"),
        ("headers", {"x-key": "€"}, "'x-key' has a character that no header can carry"),
        ("instrument", "opnai", "unknown library 'opnai'; known: openai, anthropic"),
        ("headers", 3, "must be a mapping"),
        ("service_name", " ", "must be text"),
    ],
)
def test_bad_value(name: str, bad: Any, remedy: str, caplog: pytest.LogCaptureFixture) -> None:
    """A bad value is warned about with its place and the remedy, and the default is used."""
    with caplog.at_level(logging.WARNING):
        assert resolve({name: bad}, {}) == resolve({}, {})
    assert f"{name} is ignored" in caplog.text
    assert remedy in caplog.text


def test_bad_headers_stay_secret(caplog: pytest.LogCaptureFixture) -> None:
    """What was given as headers is not repeated in the warning: keys are in there."""
    resolve({"headers": ["api-key=hunter2"]}, {})
    assert "headers is ignored" in caplog.text
    assert "hunter2" not in caplog.text


VARIABLES = [variable(name) for name in settings_help()] + [
    "OTEL_SERVICE_NAME",
    "OTEL_RESOURCE_ATTRIBUTES",
    "OTEL_EXPORTER_OTLP_ENDPOINT",
    "OTEL_TRACES_SAMPLER",
    "OTEL_BSP_SCHEDULE_DELAY",
    "OTEL_SDK_DISABLED",
]


@given(st.dictionaries(st.sampled_from(VARIABLES), st.text() | st.floats().map(str)))
def test_any_environment(environ: dict[str, str]) -> None:
    """Whatever stands in the environment, settings come out that the SDK accepts."""
    settings = resolve({}, environ)
    assert settings.service_name
    assert settings.endpoint.startswith(("http://", "https://"))
    assert 0 <= settings.sample_ratio <= 1
    assert 0 < settings.schedule_delay <= 3600
    assert settings.queue_size >= 1
    assert set(settings.instrument or ()) <= set(libraries())


@pytest.mark.parametrize(
    ("argv", "orig_argv", "name"),
    [
        (["shop/app.py", "x"], ["python", "shop/app.py", "x"], "app"),
        (["-m", "x"], ["python", "-W", "ignore", "-m", "shop.app", "x"], "app"),
        (["/usr/bin/uvicorn"], ["python", "/usr/bin/uvicorn"], "uvicorn"),
        (["/x/shop/__main__.py"], ["python", "-m", "shop"], "shop"),
        (["-c"], ["python", "-c", "pass"], "unknown_service:python"),
        ([], [], "unknown_service:python"),
    ],
)
def test_script_name(argv: list[str], orig_argv: list[str], name: str) -> None:
    """The service is named after what runs, also while the interpreter still starts."""
    assert script_name(argv, orig_argv) == name


def test_settings_of_init_win_over_a_thread_that_reads_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """`init` may be called while feedback, in another thread, still resolves the settings of the environment."""
    of_init = Settings(service_name="of init")

    def resolve_while_init_is_called(_keywords: dict[str, Any]) -> Settings:
        use_settings(of_init)
        return Settings(service_name="of the environment")

    use_settings(None)
    monkeypatch.setattr(module, "resolve", resolve_while_init_is_called)
    try:
        assert current_settings() is of_init
        assert current_settings() is of_init
    finally:
        use_settings(None)
