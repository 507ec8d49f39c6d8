"""deploy/kubernetes: applications that are traced without a change to their code."""

import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest
import yaml

import qualitrace
from qualitrace.cli import ZERO_CODE_DIRECTORY
from support.custom_resources import mistakes
from support.serving import environment

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / "deploy" / "kubernetes"
MANIFESTS: dict[str, list[dict[str, Any]]] = {
    path.name: list(yaml.safe_load_all(path.read_text())) for path in sorted(FOLDER.glob("*.yaml"))
}
VERSIONS = ("1.35", "1.36", "1.37")


def of_kind(kind: str) -> list[dict[str, Any]]:
    return [manifest for manifests in MANIFESTS.values() for manifest in manifests if manifest["kind"] == kind]


@pytest.mark.parametrize("version", VERSIONS)
def test_kubernetes_takes_the_deployments(version: str) -> None:
    found = of_kind("Deployment")
    assert len(found) == len(MANIFESTS) == 3
    for manifest in found:
        kubernetes_validate.validate(manifest, version, strict=True)


def test_a_token_comes_before_the_variable_that_uses_it() -> None:
    """Kubernetes leaves `$(NAME)` as it is where NAME comes later, and senders would be refused."""
    lists = [each["spec"]["template"]["spec"]["containers"][0].get("env", []) for each in of_kind("Deployment")]
    lists += [each["spec"]["python"]["env"] for each in of_kind("Instrumentation")]
    users = 0
    for variables in lists:
        names = [variable["name"] for variable in variables]
        for place, variable in enumerate(variables):
            if "$(OTLP_TOKEN)" in variable.get("value", ""):
                assert "OTLP_TOKEN" in names[:place]
                users += 1
    assert users == 3


@pytest.mark.slow
def test_the_operator_takes_its_resource() -> None:
    """By its custom resource definition, as npm's @kubernetes-models has it; one with a slip is refused."""
    (found,) = of_kind("Instrumentation")
    right, wrong = mistakes([found, found | {"spec": {"python": {"image": 1}}}])
    assert right == ""
    assert wrong


@pytest.mark.slow
def test_what_the_operator_injects_traces_the_application(tmp_path: Path) -> None:
    """As Dockerfile.injection lays it out, and with the PYTHONPATH that the Operator sets.

    Its own folder comes first, and behind it what was installed for the image.
    """
    first = tmp_path / "opentelemetry" / "instrumentation" / "auto_instrumentation"
    first.mkdir(parents=True)
    shutil.copy(ZERO_CODE_DIRECTORY / "sitecustomize.py", first)
    (tmp_path / "qualitrace").symlink_to(Path(qualitrace.__file__).parent)
    (tmp_path / "app.py").write_text(
        "import qualitrace\n@qualitrace.trace\ndef answer(question):\n    return 'Yes.'\nanswer('Do you ship?')\n"
    )
    variables = environment(
        PYTHONPATH=f"{first}:{tmp_path}", QUALITRACE_CONSOLE="only", OTEL_SERVICE_NAME="shop",
        # What the Operator sets besides.
        OTEL_TRACES_EXPORTER="otlp", OTEL_METRICS_EXPORTER="otlp", OTEL_LOGS_EXPORTER="otlp",
        OTEL_EXPORTER_OTLP_PROTOCOL="http/protobuf", OTEL_PROPAGATORS="tracecontext,baggage",
    )  # fmt: skip
    done = subprocess.run(
        [sys.executable, "app.py"], cwd=tmp_path, env=variables, capture_output=True, text=True, timeout=60, check=True
    )
    assert "(shop)" in done.stderr
    assert "Do you ship? → Yes." in done.stderr
