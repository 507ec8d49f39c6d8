"""Resources that operators add to Kubernetes: are they what their definitions say? By npm's `@kubernetes-models`."""

import json
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from support.node import NODE, install

_ROOT = Path(__file__).parents[2]
_CHECK = """
import * as telemetry from "@kubernetes-models/opentelemetry-operator/opentelemetry.io/v1alpha1";
import * as prometheus from "@kubernetes-models/prometheus-operator/monitoring.coreos.com/v1";
import {readFileSync} from "node:fs";
const models = {"opentelemetry.io/v1alpha1": telemetry, "monitoring.coreos.com/v1": prometheus};
const mistakes = JSON.parse(readFileSync(0)).map((manifest) => {
  try { new models[manifest.apiVersion][manifest.kind](manifest).validate(); return ""; }
  catch (error) { return error.message; }
});
console.log(JSON.stringify(mistakes));
"""


def mistakes(manifests: Sequence[dict[str, Any]]) -> list[str]:
    """Return what is wrong with each manifest, or an empty text."""
    folder = _ROOT / "build" / "custom-resources"
    install(_ROOT / "tests" / "deploy" / "custom_resources", folder)
    done = subprocess.run(
        [NODE, "--input-type=module", "--eval", _CHECK], input=json.dumps(manifests),
        cwd=folder, capture_output=True, text=True, timeout=60, check=True,
    )  # fmt: skip
    return json.loads(done.stdout)
