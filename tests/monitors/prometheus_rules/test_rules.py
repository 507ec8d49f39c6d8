"""`qualitrace rules`: what Prometheus' own programs make of the rules and of their tests."""

import re
import subprocess
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any, get_args

import pytest
import yaml
from click.testing import CliRunner, Result
from hypothesis import given
from hypothesis import strategies as st

from qualitrace_collector import metrics
from qualitrace_collector.config import parse_config
from qualitrace_monitors.alerts.quantities import KindName
from qualitrace_monitors.config import Config
from qualitrace_monitors.metrics import families
from qualitrace_monitors.prometheus_rules.command import RULES_NAME, TESTS_NAME, groups, rules
from qualitrace_monitors.prometheus_rules.promql import duration, fits
from qualitrace_monitors.prometheus_rules.quality import KINDS
from qualitrace_monitors.prometheus_rules.rule import Alert
from support.web import program

RUNBOOKS = Path(__file__).parents[3] / "docs" / "runbooks"
NASTY = 'shop "№1" \\ 客服\tline'
QUALITY = {"judge": "groundedness"}
ALERTS: list[dict[str, Any]] = [
    {"name": "low", **QUALITY, "when": "pass_rate < 0.9", "for": "7m", "window": "20m", "service": NASTY},
    {"name": "high", **QUALITY, "when": "pass_rate > 0.9", "summary": "Look {{ here }} 'now' \"\\"},
    {"name": "mean", **QUALITY, "when": "mean_score < 0.7", "tier": "local", "keep_firing_for": "90s"},
    {"name": "unsure", **QUALITY, "when": "unsure_rate > 30%", "service": "shop-[!a.]*"},
    {"name": "drop", **QUALITY, "when": "drop > 0.05 from baseline", "labels": {"team": '{{ x }} "\\'}},
    {
        "name": "canary",
        **QUALITY,
        "when": "drop > 0.05 from control",
        "canary": {"release": "1.5"},
        "control": {"release": "1.4"},
    },
    {"name": "part", **QUALITY, "when": "pass_rate < 0.9", "match": {"route": "/ask", "service": ["shop*", "客服?"]}},
    {"name": "silent", **QUALITY, "when": "no_scores for 15m"},
    {"name": "errors", "when": "error_rate > 5%", "annotations": {"chat": "{{ $labels }}"}},
    {"name": "slow", "when": "p95_duration > 5s", "runbook_url": "https://wiki.example/slow"},
    {"name": "first", "when": "p50_time_to_first_token > 2s"},
    {"name": "cost", "when": "cost_per_hour > 3"},
    {"name": "tokens", "when": "tokens_per_hour > 1000000"},
    {"name": "gone", "when": "no_requests for 15m", "service": NASTY},
    {"name": "spent", "when": "budget_spent > 80%"},
    {"name": "broken", **QUALITY, "when": "judge_error_rate > 20%"},
    {"name": "stale", "when": "freshness > 5m"},
    {"name": "joined", "judge": "relevance", "when": "pass_rate < 0.9", "tier": "joined"},
    {"name": "backlog", **QUALITY, "when": "backlog > 1000"},
    {"name": "slo-of-requests", "when": "slo 95% over 30d"},
    {"name": "slo-of-scores", **QUALITY, "when": "slo 98% over 7d", "severity": "{{ loud }}"},
    {"name": "slo-of-few", **QUALITY, "when": "slo 70% over 7d", "tier": "local"},
]
CASCADE = {"name": "relevance", "model": "openai:/gpt-5-mini", "cascade": True}
CONFIG = {"judges": ["groundedness", CASCADE], "budget": {"usd_per_day": 5}, "alerts": ALERTS}


def run(folder: Path, config: dict[str, Any], *options: str) -> Result:
    (folder / "q.yaml").write_text(yaml.safe_dump(config))
    return CliRunner().invoke(rules, ["--config", str(folder / "q.yaml"), *options])


def promtool(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [program("promtool", "prometheus"), *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=300)


def alerts(config: dict[str, Any] = CONFIG, runbooks: str = "docs/runbooks") -> list[Alert]:
    found = groups(parse_config(config, Config).alerts, "qualitrace", runbooks)
    return [rule for group in found for rule in group.rules if isinstance(rule, Alert)]


@pytest.mark.slow
def test_promtool_takes_the_rules_and_their_tests_pass(tmp_path: Path) -> None:
    """Every kind of rule, under names and texts that are hard to escape: each alert fires, and does not, as it should."""
    assert run(tmp_path, CONFIG, "--out", str(tmp_path), "--job", 'the "job"').exit_code == 0
    checked = promtool("check", "rules", str(tmp_path / RULES_NAME))
    assert (checked.returncode, checked.stderr) == (0, "")
    tested = promtool("test", "rules", str(tmp_path / TESTS_NAME))
    assert tested.returncode == 0, tested.stdout + tested.stderr


@pytest.mark.slow
def test_the_tests_of_the_rules_are_alive(tmp_path: Path) -> None:
    """Rules that fire too late, or at nothing, do not pass them."""
    run(tmp_path, CONFIG | {"alerts": ALERTS[:1]}, "--out", str(tmp_path))
    written = (tmp_path / RULES_NAME).read_text()
    for right, wrong in (("for: 7m", "for: 30m"), ("< 0.9", "< -1"), (">= last", "< last")):
        assert right in written
        (tmp_path / RULES_NAME).write_text(written.replace(right, wrong))
        assert promtool("test", "rules", str(tmp_path / TESTS_NAME)).returncode == 1, wrong


def test_each_kind_of_condition_is_written() -> None:
    """A kind that is added to the grammar needs a function here."""
    assert set(KINDS) == set(get_args(KindName))
    assert {rule.when.kind for rule in parse_config(CONFIG, Config).alerts} == set(KINDS)


def test_each_alert_has_a_runbook_and_each_runbook_an_alert() -> None:
    """Its page is in docs/runbooks, wherever that is served, unless the rule names one of its own."""
    urls = {alert.name: alert.annotations["runbook_url"] for alert in alerts(runbooks="https://docs.example/")}
    assert urls.pop("slow") == "https://wiki.example/slow" == urls.pop("slow-windowed")
    assert {url.rpartition("/")[0] for url in urls.values()} == {"https://docs.example"}
    pages = {path.name for path in RUNBOOKS.iterdir()}
    assert {url.rpartition("/")[2] for url in urls.values()} == pages - {"README.md"}


def test_every_metric_in_a_rule_is_exported() -> None:
    """A metric with another name would make an alert that never fires."""
    exported = {family.name for family in (*metrics.FAMILIES, *families.FAMILIES)}
    named = {name for alert in alerts() for name in re.findall(r"(?<!:)\bqualitrace_\w+(?![:\w])", alert.expr)}
    recorded = {name for name in named if ":" in name}
    assert {re.sub(r"_(bucket|count)$", "", name) for name in named - recorded} <= exported


def test_what_a_window_says_is_labelled_approximate_and_wakes_nobody() -> None:
    """The exact alert of the same rule has the severity of the rule."""
    by_name = {alert.name: alert.labels for alert in alerts()}
    assert by_name["low"] == {"severity": "warning"}
    assert by_name["low-windowed"] == {"severity": "info", "approximate": "true"}
    assert "part-windowed" not in by_name  # metrics know no route


def test_rules_are_printed_without_a_folder_and_without_secrets(tmp_path: Path) -> None:
    """Whoever writes rules need not have the environment of the server."""
    receiver = {"kind": "webhook", "url": "https://hook.example", "secret": "${env:NOT_SET_HERE}"}
    shown = run(tmp_path, CONFIG | {"notify": {"ops": receiver}})
    assert shown.exit_code == 0
    assert yaml.safe_load(shown.output)["groups"][-1]["name"] == "qualitrace_health"


@given(
    st.text("ab-.*?[!]^\\|(", max_size=8),
    st.text("ab-.*?[!]^\\|(\n", max_size=6),
)
def test_globs_are_matched_as_the_server_does(glob: str, name: str) -> None:
    """Whatever has a meaning in a glob or in a regular expression."""
    matcher = fits("service", [glob, "other"])
    expression = yaml.safe_load(matcher.partition("=~")[2])
    assert bool(re.fullmatch(expression, name)) == fnmatchcase(name, glob)


@pytest.mark.parametrize(("seconds", "text"), [(0.2, "1s"), (90, "90s"), (5400, "90m"), (86_400, "1d"), (3600, "1h")])
def test_durations_are_those_of_prometheus(seconds: float, text: str) -> None:
    """Whole, in the largest unit that is."""
    assert duration(seconds) == text
