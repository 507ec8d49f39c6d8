"""The Helm chart's values: what is made of them elsewhere is up to date, and wrong ones are refused."""

import re
from collections.abc import Iterator
from typing import Any

import pytest
import yaml

from support.chart import CHART, made, render

REFUSED: list[tuple[dict[str, Any], str]] = [
    ({"persistance": {"size": "5Gi"}}, "additional properties 'persistance' not allowed"),
    ({"replicaCount": 2}, "additional properties 'replicaCount' not allowed"),
    ({"config": {"sampling": {"rat": 0.5}}}, "at '/config/sampling': additional properties 'rat' not allowed"),
    ({"config": {"budget": {"usd_per_day": -1}}}, "at '/config/budget/usd_per_day': minimum: got -1, want 0"),
    ({"config": {"listen": {"web": "127.0.0.1:9464"}}}, "at '/config/listen/web': '127.0.0.1:9464' does not match"),
    ({"config": {"listen": {"otlp_http": "0.0.0.0:80"}}}, "at '/config/listen/otlp_http': '0.0.0.0:80' does not match"),
    ({"config": {"listen": {"web_token": "hunter-2-hunter"}}}, "at '/config/listen/web_token': 'hunter-2-hunter' does not match"),
    ({"config": {"notify": {"ops": {"url": "https://a.example", "secret": "whsec_aGVsbG8="}}}}, "/config/notify/ops/secret"),
    ({"config": {"data_dir": "/data"}}, "at '/config/data_dir': '/data' does not match pattern '^/var/lib/qualitrace/"),
    ({"persistence": {"size": 20}}, "at '/persistence/size': got number, want string"),
    ({"persistence": {"size": "5K"}}, "at '/persistence/size': '5K' does not match"),
    ({"podSecurityContext": {"runAsUser": 0}}, "at '/podSecurityContext/runAsUser': minimum: got 0, want 1"),
    ({"persistence": {"accessMode": "ReadWriteMany"}}, "at '/persistence/accessMode': value must be one of"),
    ({"persistence": {"enabled": False, "existingClaim": "a"}}, "at '/persistence/existingClaim': maxLength"),
    ({"secret": {"existing": "a", "values": {"hook": "b"}}}, "at '/secret/values': maxProperties: got 1, want 0"),
    ({"tls": {"clientCa": True}}, "at '/tls/existingSecret': minLength: got 0, want 1"),
    ({"tls": {"existingSecret": "a"}, "config": {"otlp": {"tls": {"cert_file": "a", "key_file": "b"}}}}, "'/config/otlp/tls'"),
    ({"terminationGracePeriodSeconds": 5}, "at '/terminationGracePeriodSeconds': minimum: got 5, want 15"),
    ({"image": {"repository": "registry.example/q:1.0"}}, "at '/image/repository': 'registry.example/q:1.0' does not match"),
    ({"podLabels": {"app.kubernetes.io/name": "a"}}, "invalid propertyName 'app.kubernetes.io/name'"),
    ({"instrumentation": {"enabled": True}}, "at '/instrumentation/image': minLength: got 0, want 1"),
    ({"env": [{"name": "LEVEL", "value": 3}]}, "at '/env/0/value': got number, want string"),
    ({"serviceMonitor": {"interval": "often"}}, "at '/serviceMonitor/interval': 'often' does not match"),
    ({"prometheusRule": {"enabled": True, "rules": "rules: []"}}, "prometheusRule.rules must be the text that `qualitrace rules` prints"),
]  # fmt: skip


def test_what_is_made_is_up_to_date() -> None:
    """The README's table has a row for each value, the schema the configuration, the rules those of today."""
    for name, text in made().items():
        assert (CHART / name).read_text() == text, "run: PYTHONPATH=tests python -m support.chart"
    values = yaml.safe_load((CHART / "values.yaml").read_text())
    described = set(re.findall(r"^\| `([\w.]+)`", made()["README.md"], re.MULTILINE))
    kept_whole = ("config", "resources", "dashboards.labels")
    assert set(paths(values, kept_whole)) == described


def paths(values: dict[str, Any], kept_whole: tuple[str, ...], above: str = "") -> Iterator[str]:
    for key, value in values.items():
        path = f"{above}{key}"
        if isinstance(value, dict) and value and path not in kept_whole:
            yield from paths(value, kept_whole, f"{path}.")
        else:
            yield path


@pytest.fixture(scope="module")
def errors() -> dict[str, Any]:
    """What Helm says of the wrong values, by their numbers."""
    return render({str(number): values for number, (values, _) in enumerate(REFUSED)})


@pytest.mark.slow
@pytest.mark.parametrize("number", range(len(REFUSED)), ids=[message for _, message in REFUSED])
def test_a_wrong_value_is_refused_with_its_place(errors: dict[str, Any], number: int) -> None:
    """Before anything reaches the cluster; mistakes in `config` too."""
    error, (_, message) = errors[str(number)], REFUSED[number]
    assert isinstance(error, str), "it was rendered"
    assert message in error
