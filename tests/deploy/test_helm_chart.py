"""The Helm chart: Helm itself renders its examples, and each manifest is what Kubernetes and qualitrace take."""

import re
import subprocess
from base64 import b64encode
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import httpx
import kubernetes_validate
import pytest
import trustme
import yaml
from click.testing import CliRunner
from kubernetes_validate import utils

from qualitrace_collector.state import Database
from qualitrace_monitors.server.commands import check_config
from support.chart import CHART, render
from support.custom_resources import mistakes
from support.receiving import receive_config, receiving
from support.web import WebStand, program

pytestmark = pytest.mark.slow  # Helm's library takes a second to load
KUBERNETES = ("1.27", "1.33", "1.37")
"""The oldest version that Chart.yaml allows, one between, and the newest that has schemas."""
CUSTOM = ("monitoring.coreos.com", "opentelemetry.io")
SECRETS = "/run/secrets/qualitrace"

MORE = Path(__file__).parent / "chart_values"
EXAMPLES: dict[str, Any] = {
    path.stem: yaml.safe_load(path.read_text()) for folder in (CHART / "examples", MORE) for path in folder.iterdir()
}
"""The chart's own examples, and values for what they leave out, by the names of their releases."""
ALIKE = [f"{'long.' * 10}{end}" for end in ("abc", "abd")]
"""Names as long as Helm takes, with dots, which Services cannot have."""


@pytest.fixture(scope="module")
def rendered() -> dict[str, Any]:
    """What Helm makes of the examples, by their names."""
    return render(EXAMPLES | {name: {} for name in ALIKE})


def each(rendered: dict[str, Any]) -> Iterator[tuple[str, list[dict[str, Any]]]]:
    """Yield the name and the manifests of each example."""
    for name in EXAMPLES:
        assert isinstance(rendered[name], list), f"{name}: {rendered[name]}"
        yield name, rendered[name]


def of(manifests: list[dict[str, Any]], kind: str) -> list[dict[str, Any]]:
    return [manifest for manifest in manifests if manifest["kind"] == kind]


def pod(manifests: list[dict[str, Any]]) -> dict[str, Any]:
    (stateful_set,) = of(manifests, "StatefulSet")
    return stateful_set["spec"]["template"]["spec"]


def test_helm_finds_nothing_to_complain_of(rendered: dict[str, Any]) -> None:
    """`helm lint --strict` is silent but for the icon, which the chart has none of."""
    assert rendered["lint"]["errors"] == []
    assert {message["error"] for message in rendered["lint"]["messages"]} <= {"icon is recommended"}


def test_kubernetes_takes_each_manifest(rendered: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    """In its oldest, a middle and its newest version, without a field that it does not know."""
    monkeypatch.setattr(utils, "schema_contents", cache(utils.schema_contents))  # else each is read hundreds of times
    for name, manifests in each(rendered):
        own = [manifest for manifest in manifests if manifest["apiVersion"].partition("/")[0] not in CUSTOM]
        assert {"StatefulSet", "Service", "ConfigMap"} <= {manifest["kind"] for manifest in own}
        found = [mistake(manifest, version) for manifest in own for version in KUBERNETES]
        assert [*filter(None, found)] == [], name


def mistake(manifest: dict[str, Any], version: str) -> str:
    """Return what a version of Kubernetes finds wrong, or an empty text."""
    try:
        kubernetes_validate.validate(manifest, version, strict=True)
    except kubernetes_validate.ValidationError as error:
        return f"{version}: {manifest['kind']} {error.json_path}: {error.message}"
    return ""


def test_the_operators_take_their_resources(rendered: dict[str, Any]) -> None:
    """By the definitions of their resources; a broken one is found."""
    found = [
        manifest
        for _, manifests in each(rendered)
        for manifest in manifests
        if manifest["apiVersion"].partition("/")[0] in CUSTOM
    ]
    assert {manifest["kind"] for manifest in found} == {"ServiceMonitor", "PrometheusRule", "Instrumentation"}
    wrong = {"groups": [{}], "endpoints": [{"port": 1}], "python": {"image": 1}}
    errors = mistakes([*found, *(manifest | {"spec": wrong} for manifest in found)])
    assert errors[: len(found)] == [""] * len(found)
    assert all(errors[len(found) :])


def test_qualitrace_takes_its_configuration(rendered: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """It is what the values say; `check-config` takes it with the files of the Secrets and the pod's variables."""
    for name, manifests in each(rendered):
        folder = tmp_path / name
        text = next(m["data"]["qualitrace.yaml"] for m in of(manifests, "ConfigMap") if "qualitrace.yaml" in m["data"])
        mount(manifests, text, folder)
        variables = {each["name"]: each.get("value", "10.1.2.3") for each in pod(manifests)["containers"][0]["env"]}
        for variable, value in variables.items():
            monkeypatch.setenv(variable, value)
        given = EXAMPLES[name].get("config", {})
        chart_adds = {"listen", "otlp", "data_dir"}
        loaded = yaml.safe_load(text)
        assert {key: loaded[key] for key in loaded if key not in chart_adds} == {
            key: value for key, value in given.items() if key not in chart_adds
        }
        (folder / "qualitrace.yaml").write_text(text.replace(SECRETS, str(folder / "secrets")))
        result = CliRunner().invoke(check_config, [str(folder / "qualitrace.yaml")])
        assert (name, result.exit_code) == (name, 0), result.output


def mount(manifests: list[dict[str, Any]], config: str, folder: Path) -> None:
    """Write the files of the release's Secret, or those that the configuration names of one that is there already."""
    secrets, tls = folder / "secrets", folder / "secrets-tls"
    for each in (secrets, tls):
        each.mkdir(parents=True)
    made = of(manifests, "Secret")
    named = re.findall(rf"{SECRETS}/([\w-]+)", config)
    assert named
    keys = made[0]["stringData"] if made else {name: f"whsec_{b64encode(name.encode() * 3).decode()}" for name in named}
    for name, value in keys.items():
        (secrets / name).write_text(value)
    authority = trustme.CA()
    certificate = authority.issue_cert("qualitrace")
    (tls / "tls.crt").write_bytes(b"".join(blob.bytes() for blob in certificate.cert_chain_pems))
    (tls / "tls.key").write_bytes(certificate.private_key_pem.bytes())
    (tls / "ca.crt").write_bytes(authority.cert_pem.bytes())


def test_probes_prometheus_and_applications_are_answered(rendered: dict[str, Any], tmp_path: Path) -> None:
    """At doors with the rendered configuration, by the pod's address and by the cluster's names of the Services."""
    manifests = rendered["throw-away"]
    text = of(manifests, "ConfigMap")[0]["data"]["qualitrace.yaml"].replace("${env:POD_IP}", "10.1.2.3")
    mount(manifests, text, tmp_path)
    config = yaml.safe_load(text.replace(SECRETS, str(tmp_path / "secrets")))
    secret = of(manifests, "Secret")[0]["stringData"]
    (end,) = of(manifests, "ServiceMonitor")[0]["spec"]["endpoints"]
    probe = pod(manifests)["containers"][0]["readinessProbe"]["httpGet"]["path"]
    reader = f"Bearer {secret[end['authorization']['credentials']['key']]}"
    with WebStand(Database(tmp_path / "state.db"), config).server as web:
        url = f"http://127.0.0.1:{web.port}"
        assert status(url + probe, "10.9.9.9:9464") == 200  # a kubelet; whatever the address is
        assert status(url + end["path"], "10.1.2.3:9464", reader) == 200  # Prometheus
        assert status(url + end["path"], "10.1.2.3:9464") == 401
        assert status(url, "evil.example", reader) == 421
    otlp = next(each["metadata"]["name"] for each in of(manifests, "Service") if len(each["spec"]["ports"]) == 2)
    doors = receive_config(tmp_path, otlp=config["otlp"], allowed_hosts=config["listen"]["allowed_hosts"])
    with receiving(doors) as receiver:
        url = f"http://{receiver.http}/v1/traces"
        for suffix in ("", ".prod", ".prod.svc", ".prod.svc.cluster.local"):
            assert status(url, f"{otlp}{suffix}:4318", f"Bearer {secret['otlp-token']}", json={}) == 200, suffix
        assert status(url, otlp, json={}) == 401


def status(url: str, host: str, authorization: str = "", **post: Any) -> int:
    """Return the status of an answer to one who calls the server by that name."""
    headers = {"Host": host} | ({"Authorization": authorization} if authorization else {})
    return httpx.request("POST" if post else "GET", url, headers=headers, **post).status_code


def test_each_pod_is_restricted(rendered: dict[str, Any]) -> None:
    """By the Pod Security Standard `restricted`, and beyond: nothing but volumes is written, no API token is there."""
    for _, manifests in each(rendered):
        spec = pod(manifests)
        (container,) = spec["containers"]
        assert (
            spec["securityContext"].items()
            >= {"runAsNonRoot": True, "seccompProfile": {"type": "RuntimeDefault"}}.items()
        )
        assert container["securityContext"] == {
            "allowPrivilegeEscalation": False, "readOnlyRootFilesystem": True, "capabilities": {"drop": ["ALL"]},
        }  # fmt: skip
        assert not {"hostNetwork", "hostPID", "hostIPC", "initContainers"} & spec.keys()
        kinds = {key for volume in spec["volumes"] for key in volume if key != "name"}
        assert kinds <= {"configMap", "secret", "emptyDir", "persistentVolumeClaim"}
        writable = {mount["mountPath"] for mount in container["volumeMounts"] if not mount.get("readOnly")}
        assert writable - {"/etc/ca"} == {"/tmp", "/var/lib/qualitrace"}
        assert spec["automountServiceAccountToken"] is False
        assert [account["automountServiceAccountToken"] for account in of(manifests, "ServiceAccount")] in ([], [False])
        assert spec["enableServiceLinks"] is False
        assert spec["terminationGracePeriodSeconds"] > 10


def test_openshift_chooses_who_the_pod_runs_as(rendered: dict[str, Any]) -> None:
    """It refuses a pod that asks for a user or a group beyond those of its namespace."""
    assert not {"runAsUser", "runAsGroup", "fsGroup"} & pod(rendered["openshift"])["securityContext"].keys()
    assert pod(rendered["minimal"])["securityContext"]["runAsUser"] == 10001


def test_releases_that_begin_alike_do_not_share_names(rendered: dict[str, Any]) -> None:
    """Each is a Service's name, and leaves room for the suffixes of pods and revisions in labels."""
    first, second = ({(each["kind"], each["metadata"]["name"]) for each in rendered[name]} for name in ALIKE)
    assert not first & second
    for kind, name in first | second:
        assert re.fullmatch(r"[a-z][-a-z0-9]{0,50}[a-z0-9]", name.removesuffix("-web")), (kind, name)


def test_what_refers_to_something_finds_it(rendered: dict[str, Any]) -> None:
    """Volumes, claims, selectors and ports: what no schema knows."""
    for name, manifests in each(rendered):
        (stateful_set,) = of(manifests, "StatefulSet")
        spec, labels = pod(manifests), stateful_set["spec"]["template"]["metadata"]["labels"]
        claims = [claim["metadata"]["name"] for claim in stateful_set["spec"].get("volumeClaimTemplates", ())]
        volumes = [*claims, *(volume["name"] for volume in spec["volumes"])]
        mounted = [each["name"] for each in spec["containers"][0]["volumeMounts"]]
        assert sorted(volumes) == sorted(mounted), name
        selectors = [
            *(each["spec"]["selector"] for each in of(manifests, "Service")),
            *(each["spec"]["selector"]["matchLabels"] for each in of(manifests, "PodDisruptionBudget")),
            *(each["spec"]["podSelector"]["matchLabels"] for each in of(manifests, "NetworkPolicy")),
            stateful_set["spec"]["selector"]["matchLabels"],
        ]
        assert all(selector and selector.items() <= labels.items() for selector in selectors)
        ports = {port["name"] for port in spec["containers"][0]["ports"]}
        targets = [port["targetPort"] for each in of(manifests, "Service") for port in each["spec"]["ports"]]
        let_in = [
            port["port"] for policy in of(manifests, "NetworkPolicy")
            for rule in policy["spec"]["ingress"] for port in rule["ports"]
        ]  # fmt: skip
        assert set(targets) == ports
        assert set(let_in) in (set(), ports)
        for monitor in of(manifests, "ServiceMonitor"):
            wanted = monitor["spec"]["selector"]["matchLabels"].items()
            (found,) = [each for each in of(manifests, "Service") if wanted <= each["metadata"]["labels"].items()]
            assert [end["port"] for end in monitor["spec"]["endpoints"]] == [
                port["name"] for port in found["spec"]["ports"]
            ]


def test_the_operator_sends_applications_to_the_release(rendered: dict[str, Any]) -> None:
    """With the token of a Secret that is in their namespace."""
    manifests = rendered["opentelemetry-operator"]
    (instrumentation,) = of(manifests, "Instrumentation")
    service = next(each for each in of(manifests, "Service") if len(each["spec"]["ports"]) == 2)
    ports = {port["name"]: port["port"] for port in service["spec"]["ports"]}
    endpoint = f"http://{service['metadata']['name']}.prod.svc:{ports['otlp-http']}"
    assert instrumentation["spec"]["exporter"] == {"endpoint": endpoint}
    token, headers = instrumentation["spec"]["python"]["env"]
    assert token["valueFrom"]["secretKeyRef"] == {"name": "qualitrace-otlp", "key": "otlp-token"}
    assert headers == {"name": "QUALITRACE_HEADERS", "value": f"authorization=Bearer $({token['name']})"}
    (other,) = of(rendered["everything"], "Instrumentation")  # whose senders show certificates
    assert other["spec"]["exporter"]["endpoint"].startswith("https://")
    assert other["spec"]["python"] == {"image": "localhost:5000/injected"}


def test_prometheus_takes_the_rules_of_the_release(rendered: dict[str, Any], tmp_path: Path) -> None:
    """They are about the job that the ServiceMonitor makes, and lead to the runbooks."""
    (rule,) = of(rendered["everything"], "PrometheusRule")
    (tmp_path / "rules.yml").write_text(yaml.safe_dump(rule["spec"]))
    done = subprocess.run(
        [program("promtool", "prometheus"), "check", "rules", tmp_path / "rules.yml"],
        capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert (done.returncode, done.stderr) == (0, "")
    alerts = [each for group in rule["spec"]["groups"] for each in group["rules"] if "alert" in each]
    (monitor,) = of(rendered["everything"], "ServiceMonitor")
    label = monitor["spec"]["jobLabel"]
    jobs = {service["metadata"]["labels"][label] for service in of(rendered["everything"], "Service")}
    assert {job for each in alerts for job in re.findall(r'job="([^"]*)"', each["expr"])} == jobs
    assert {each["annotations"]["runbook_url"].rpartition("/")[0] for each in alerts} == {
        "https://wiki.example/runbooks"
    }
