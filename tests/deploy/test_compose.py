"""deploy/compose.yaml by the Compose specification, and the files that it mounts by the programs that read them.

`make stack` runs all of it as processes; here each file is translated in the same way, and checked.
"""

import json
import subprocess
from collections.abc import Iterator
from importlib.resources import files
from pathlib import Path
from typing import Any

import pytest
import yaml
from click.testing import CliRunner
from jsonschema import Draft202012Validator

from qualitrace_collector.config import load_config
from qualitrace_monitors.config import Config
from qualitrace_monitors.grafana.command import dashboards
from qualitrace_monitors.prometheus_rules.command import rules
from support.compose import COMPOSE, Translation
from support.web import program

DEPLOY = COMPOSE.parent
FILE: dict[str, Any] = yaml.safe_load(COMPOSE.read_text())
SHIFT = 10_000
"""By this much the tests' ports differ from the containers', so that one that was forgotten is found."""


@pytest.fixture(scope="module")
def translation(tmp_path_factory: pytest.TempPathFactory) -> Translation:
    """Provide what `make stack` would run, with its secrets and its mounted files."""
    folder = tmp_path_factory.mktemp("stack")
    subprocess.run([DEPLOY / "make-secrets", folder / "secrets"], check=True)
    made = Translation(folder, lambda port: port + SHIFT)
    for name in made.services:
        made.mount(name)
    return made


def mounted(translation: Translation, name: str, place: str) -> Path:
    """Return where a file or folder of a container is here."""
    return translation.places(name)[place]


def test_it_is_right_by_the_compose_specification() -> None:
    """The schema is what Compose itself ships, as check-jsonschema of PyPI brings it."""
    schema = json.loads(files("check_jsonschema.builtin_schemas.vendor").joinpath("compose-spec.json").read_text())
    assert [error.message for error in Draft202012Validator(schema).iter_errors(FILE)] == []


def _published() -> Iterator[str]:
    for service in FILE["services"].values():
        yield from service.get("ports", ())


def test_nothing_is_published_beyond_loopback_and_every_secret_is_a_file() -> None:
    assert all(port.startswith("127.0.0.1:") for port in _published())
    used = {name for service in FILE["services"].values() for name in service.get("secrets", ())}
    assert used == FILE["secrets"].keys()
    assert all(secret.keys() == {"file"} for secret in FILE["secrets"].values())


def test_services_wait_for_what_is_healthy_and_keep_their_data_in_named_volumes() -> None:
    services = FILE["services"]
    for service in services.values():
        for other, how in service.get("depends_on", {}).items():
            assert how == {"condition": "service_healthy"}
            check = services[other]["healthcheck"]
            assert check["test"][0] == "CMD" if "test" in check else "HEALTH_URL" in services[other]["environment"]
    named = {volume.split(":")[0] for service in services.values() for volume in service.get("volumes", ())}
    assert {name for name in named if not name.startswith(".")} == FILE["volumes"].keys()
    assert all((DEPLOY / name).exists() for name in named if name.startswith("."))


def test_what_is_ours_runs_restricted_and_what_is_logged_has_a_bound() -> None:
    ours = {name: service for name, service in FILE["services"].items() if service["image"].startswith("qualitrace")}
    assert len(ours) == 6
    for service in ours.values():
        assert service["read_only"]
        assert service["cap_drop"] == ["ALL"]
        assert service["build"]["dockerfile"] == "deploy/Dockerfile"
    assert all(service["logging"] == {"driver": "local"} for service in FILE["services"].values())


def test_prometheus_can_read_and_change_nothing() -> None:
    """The password of the pages, with which labels are set, is qualitrace's alone."""
    assert FILE["services"]["prometheus"]["secrets"] == ["web_read_token"]
    assert [name for name, service in FILE["services"].items() if "web_token" in service.get("secrets", ())] == [
        "qualitrace"
    ]


def test_every_address_leads_to_a_service_that_listens_there(translation: Translation) -> None:
    """An address that no service has, by name or by port, would be left as it is."""
    started = translation.services.keys() - {"postgres", "grafana"}  # their images say how
    texts = [word for name in started for word in translation.command(name)[1:]]
    texts += [word for name in translation.services for word in translation.health_check(name)]
    texts += [(mounted(translation, "qualitrace", "/etc/qualitrace") / "qualitrace.yaml").read_text()]
    texts += [path.read_text() for name in ("prometheus", "alertmanager")
              for path in mounted(translation, name, f"/etc/{name}").glob("*.yml")]  # fmt: skip
    for text in texts:
        for port in translation.ports:
            assert f":{port}" not in text, text
            assert f"port={port}" not in text, text


def test_qualitrace_takes_its_configuration(translation: Translation) -> None:
    config = load_config(mounted(translation, "qualitrace", "/etc/qualitrace") / "qualitrace.yaml", Config)
    assert config.listen.web == f"127.0.0.1:{9464 + SHIFT}"
    assert config.listen.web_token is not None
    assert config.listen.web_read_token is not None
    assert config.tracking_uri == f"postgresql://mlflow@127.0.0.1:{5432 + SHIFT}/mlflow"


def test_the_rules_and_the_data_source_are_those_of_its_configuration(translation: Translation, tmp_path: Path) -> None:
    """`qualitrace rules` and `qualitrace dashboards` would change nothing."""
    config = tmp_path / "qualitrace.yaml"
    secrets = str(mounted(translation, "qualitrace", "/run/secrets"))
    config.write_text((DEPLOY / "compose" / "qualitrace.yaml").read_text().replace("/run/secrets", secrets))
    options = ["--config", str(config), "--out", str(tmp_path / "rules")]
    assert CliRunner().invoke(rules, options).exit_code == 0
    for path in (tmp_path / "rules").iterdir():
        assert (DEPLOY / "prometheus" / "rules" / path.name).read_text() == path.read_text(), "run: qualitrace rules"
    options = ["--config", str(config), "--out", str(tmp_path), "--prometheus", "http://prometheus:9090"]
    assert CliRunner().invoke(dashboards, options).exit_code == 0
    written = tmp_path / "provisioning" / "datasources" / "qualitrace.yaml"
    assert (DEPLOY / "compose" / "datasource.yaml").read_text() == written.read_text(), "run: qualitrace dashboards"


@pytest.mark.slow
def test_prometheus_and_alertmanager_take_theirs(translation: Translation) -> None:
    prometheus = mounted(translation, "prometheus", "/etc/prometheus")
    alertmanager = mounted(translation, "alertmanager", "/etc/alertmanager")
    for command in (
        [program("promtool", "prometheus"), "check", "config", prometheus / "prometheus.yml"],
        [program("promtool", "prometheus"), "test", "rules", prometheus / "rules" / "qualitrace.tests.yml"],
        [program("amtool", "prometheus-alertmanager"), "check-config", alertmanager / "alertmanager.yml"],
    ):
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout + done.stderr


def test_secrets_are_made_once_and_for_nobody_else(tmp_path: Path) -> None:
    """The folder keeps other users of the host out; the files are readable, since containers run as other users."""
    folder = tmp_path / "secrets"
    first, found = (_secrets_made_in(folder) for _ in range(2))
    assert found == first
    assert found.keys() == FILE["secrets"].keys()
    assert len(set(found.values())) == len(found)
    assert all(len(secret) == 64 for secret in found.values())
    assert folder.stat().st_mode & 0o777 == 0o700


def _secrets_made_in(folder: Path) -> dict[str, str]:
    subprocess.run([DEPLOY / "make-secrets", folder], check=True)
    return {path.name: path.read_text() for path in folder.iterdir()}
