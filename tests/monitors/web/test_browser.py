"""The dashboard in a real browser, whose word counts for the style sheet and the Content-Security-Policy."""

import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from qualitrace_collector.state import Database, Ledger
from support.web import NOW, WebStand, program

MALICIOUS = '<img src=x onerror="document.title=1"><script>document.body.remove()</script> made up'


def browse(url: str, profile: Path) -> subprocess.CompletedProcess[str]:
    """Load a page in headless Chromium: stdout has the document after it ran, stderr what it complained of."""
    options = (
        "--headless --no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking "
        "--disable-component-update --disable-sync --enable-logging=stderr --dump-dom"
    )
    command = [program("chromium", "chromium"), *options.split(), f"--user-data-dir={profile}", url]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=True)


@pytest.mark.slow
def test_a_browser_shows_the_dashboard_and_runs_nothing_of_the_judged_text(
    tmp_path: Path, database: Database, add_score: Callable[..., str], web: WebStand
) -> None:
    """Chromium renders quality and rationale, runs no script, and its console has no complaint about the page."""
    add_score(database, "fail", NOW, rationale=MALICIOUS, service="shop-assistant")
    with database.transaction() as connection:
        Ledger.add(connection, "shop-assistant", "stored")
    result = browse(f"{web.url}/", tmp_path)
    assert "<strong>shop-assistant</strong>" in result.stdout
    assert "made up" in result.stdout
    assert "<title>qualitrace</title>" in result.stdout
    assert "CONSOLE" not in result.stderr
