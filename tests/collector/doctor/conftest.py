"""The command on the folder of a test."""

from collections.abc import Callable
from pathlib import Path

import pytest
import yaml
from click.testing import CliRunner, Result

from qualitrace_collector.doctor.command import doctor


@pytest.fixture
def ask(tmp_path: Path) -> Callable[..., Result]:
    """Run the command on the test's folder."""
    path = tmp_path / "q.yaml"
    path.write_text(yaml.safe_dump({"data_dir": str(tmp_path)}))
    return lambda *options: CliRunner().invoke(doctor, ["--config", str(path), *options])
