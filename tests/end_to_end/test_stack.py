"""deploy/compose.yaml as processes: PostgreSQL, MLflow's server, qualitrace, an application, Prometheus, Alertmanager."""

from pathlib import Path

import pytest

from support.compose import Translation
from support.incident import play
from support.ports import free_port
from support.stack import running_stack


@pytest.mark.timeout(900)  # each of its services may take minutes to start on a busy machine
def test_an_incident_is_seen_everywhere_and_its_end(tmp_path: Path):
    """Retrieval breaks and is repaired: qualitrace, Alertmanager, its pager and Prometheus's rules report both."""
    with running_stack(Translation(tmp_path / "stack", lambda _: free_port()), tmp_path / "stack") as stack:
        play(stack)
