"""The Helm chart: what in it is made from elsewhere, and how Helm 4 renders it.

`PYTHONPATH=tests python -m support.chart` writes what is made from elsewhere: the values' table of its README, the configuration's
part of its schema, and the rules of `qualitrace rules`.
"""

import json
import re
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import yaml

from qualitrace_monitors.config.schema import schema
from qualitrace_monitors.prometheus_rules.command import groups, rules_text

CHART = Path(__file__).parents[2] / "deploy" / "helm" / "qualitrace"
_BEGIN, _END = "<!-- values -->\n", "<!-- end of values -->"
_KEY = re.compile(r"( *)([\w-]+):(.*)")


def made() -> dict[str, str]:
    """Return the texts of the files that are made, or have a part that is, by their paths in the chart."""
    head, _, rest = (CHART / "README.md").read_text().partition(_BEGIN)
    values = json.loads((CHART / "values.schema.json").read_text())
    configuration = schema()
    _name_secrets(configuration, configuration["$defs"]["Variable"]["pattern"])
    # With an id of its own, its references stay those within the configuration's schema.
    values["$defs"]["configuration"] = {"$id": "urn:qualitrace:configuration", **configuration}
    return {
        "README.md": head + _BEGIN + "\n".join(_table()) + "\n\n" + _END + rest.partition(_END)[2],
        "values.schema.json": json.dumps(values, indent=2, ensure_ascii=False) + "\n",
        "files/qualitrace.rules.yml": rules_text(groups((), "qualitrace", "docs/runbooks")),
    }


def _name_secrets(node: Any, pattern: str) -> None:
    """Let secrets be variables alone: the values become a ConfigMap, which more people may read than a Secret."""
    if isinstance(node, dict):
        if node.get("writeOnly"):
            node["pattern"] = pattern
        node = [*node.values()]
    for each in node if isinstance(node, list) else ():
        _name_secrets(each, pattern)


def _table() -> Iterator[str]:
    """Yield a row for each value of `values.yaml` that a comment with `--` describes."""
    text = (CHART / "values.yaml").read_text()
    values = yaml.safe_load(text)
    yield from ("| value | default | meaning |", "|---|---|---|")
    section, meaning = "", ""
    for line in text.splitlines():
        if line.lstrip().startswith("# "):
            comment = line.strip().removeprefix("# ")
            meaning = comment.removeprefix("-- ") if comment.startswith("-- ") else f"{meaning} {comment}".strip()
        elif key := _KEY.fullmatch(line):
            section = section if key[1] else key[2]
            path = (section, key[2]) if key[1] else (key[2],)
            if meaning:
                yield f"| `{'.'.join(path)}` | `{json.dumps(_at(values, path))}` | {meaning} |"
            meaning = ""


def _at(values: Any, path: tuple[str, ...]) -> Any:
    for key in path:
        values = values[key]
    return values


def render(releases: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    """Render the chart once for each of several releases, in a process of its own: Helm is a library with a runtime.

    Args:
        releases: their values by their names.

    Returns:
        For each name the manifests, or the text of the error; and under `lint` what Helm's lint says of the chart.
    """
    done = subprocess.run(
        [sys.executable, "-c", _RENDER, CHART], input=json.dumps(releases),
        capture_output=True, text=True, timeout=60, check=True,
    )  # fmt: skip
    return {
        name: found if name == "lint" or isinstance(found, str) else [*_manifests(found)]
        for name, found in json.loads(done.stdout).items()
    }


def _manifests(files: Mapping[str, str]) -> Iterator[dict[str, Any]]:
    for file, text in sorted(files.items()):
        if not file.endswith("NOTES.txt"):
            yield from filter(None, yaml.safe_load_all(text))


_RENDER = """
import json, sys
import helm_python as helm

def rendered(chart, name, values):
    try:
        chart.validate_schema(values)
        return chart.render(values, name=name, namespace="prod")
    except helm.HelmError as error:
        return str(error)

found = {"lint": helm.lint(sys.argv[1], strict=True)}
with helm.Chart.load(sys.argv[1]) as chart:
    for name, values in json.load(sys.stdin).items():
        found[name] = rendered(chart, name, values)
print(json.dumps(found))
"""


if __name__ == "__main__":
    for name, text in made().items():
        (CHART / name).write_text(text)
