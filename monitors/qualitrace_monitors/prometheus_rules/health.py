"""Alerts on qualitrace itself; each has a page of its name in docs/runbooks."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from qualitrace_monitors.prometheus_rules.promql import quoted, series
from qualitrace_monitors.prometheus_rules.rule import Alert, Example, Group, growing, steady

_MINUTE = 60.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Check:
    """What is wrong with a server.

    Attributes:
        page: of its runbook, from which the alert has its name.
        expr: PromQL, in which `JOB` stands for the matcher of the servers.
        bad, good: metrics with which it holds and does not; each has its value, a `counter` its growth a minute.
        labels: of these metrics, beside those of the server.
    """

    page: str
    expr: str
    summary: str
    bad: Mapping[str, float]
    good: Mapping[str, float]
    hold: float = 0.0
    labels: Mapping[str, str] = field(default_factory=dict[str, str])
    severity: str = "warning"
    counter: bool = False


def _component(page: str, names: str, example: str, summary: str, hold: float, severity: str = "warning") -> Check:
    """Return the check of components whose names match."""
    return Check(
        page=page,
        expr=f"qualitrace_up{{JOB,component{names}}} == 0",
        summary=summary,
        bad={"qualitrace_up": 0},
        good={"qualitrace_up": 1},
        hold=hold,
        labels={"component": example},
        severity=severity,
    )


def _growth(page: str, metric: str, matchers: str, labels: Mapping[str, str], most: int, summary: str) -> Check:
    """Return the check of a counter that grew by more than `most` in half an hour."""
    counter = f"{metric}{{JOB{matchers}}}"
    return Check(
        page=page,
        # A counter that is new began at 0, which Prometheus did not see.
        expr=f"increase({counter}[30m]) > {most}\nor {counter} > {most} unless {counter} offset 30m",
        summary=summary,
        bad={metric: 1},
        good={metric: 0},
        labels=labels,
        counter=True,
    )


def _gauge(page: str, metric: str, most: float, summary: str, hold: float, **labels: str) -> Check:
    """Return the check of a gauge that is above a limit."""
    return Check(
        page=page,
        expr=f"{metric}{{JOB}} > {most:g}",
        summary=summary,
        bad={metric: most + 100},
        good={metric: most},
        hold=hold,
        labels=labels,
    )


CHECKS = (
    Check(
        page="down",
        expr="up{JOB} == 0 or absent(up{JOB})",
        summary="qualitrace does not answer Prometheus",
        bad={"up": 0},
        good={"up": 1},
        hold=5 * _MINUTE,
        severity="critical",
    ),
    _component("not-ready", '="otlp"', "otlp", "qualitrace refuses OTLP", 2 * _MINUTE, "critical"),
    _component("mlflow", '=~"mlflow|storing"', "mlflow", "MLflow takes no traces", 5 * _MINUTE),
    _component("receivers", '=~"delivery|receiver:.*"', "receiver:ops", "notifications do not arrive", 5 * _MINUTE),
    _component("judges", '=~"judging|judge:.*"', "judge:tone", "a judge gives no verdict", 10 * _MINUTE),
    _component(
        "degraded",
        '!~"otlp|mlflow|storing|delivery|receiver:.*|judging|judge:.*"',
        "retention",
        "a part of qualitrace makes no progress",
        10 * _MINUTE,
    ),
    _growth(
        "given-up",
        "qualitrace_notifications_total",
        ',outcome="given_up"',
        {"receiver": "ops", "outcome": "given_up"},
        0,
        "a notification was given up",
    ),
    _growth(
        "restarts",
        "qualitrace_process_restarts_total",
        "",
        {"process": "work", "reason": "crash"},
        2,
        "a process crashes or hangs again and again",
    ),
    _gauge("journal-lag", "qualitrace_journal_oldest_request_seconds", 900, "requests wait in the journal", 300),
    _gauge("dead-letters", "qualitrace_dead_letters", 0, "traces were given up", 0),
    _gauge(
        "freshness", "qualitrace_judgements_oldest_seconds", 1800, "samples wait for their judge", 300, judge="tone"
    ),
    Check(
        page="budget",
        expr="qualitrace_budget_spent{JOB}\n/ (qualitrace_budget_spent{JOB} + qualitrace_budget_remaining{JOB}) > 0.9",
        summary="a budget is nearly spent",
        bad={"qualitrace_budget_spent": 5, "qualitrace_budget_remaining": 0},
        good={"qualitrace_budget_spent": 1, "qualitrace_budget_remaining": 4},
        labels={"judge": "*", "window": "day", "unit": "usd"},
    ),
    Check(
        page="reload",
        expr="qualitrace_config_last_reload_successful{JOB} == 0",
        summary="the configuration file is refused",
        bad={"qualitrace_config_last_reload_successful": 0},
        good={"qualitrace_config_last_reload_successful": 1},
    ),
)


def health(job: str, runbooks: str) -> Group:
    """Return the alerts on the servers that Prometheus scrapes as `job`."""
    return Group(name="qualitrace_health", rules=[*_alerts(CHECKS, job, runbooks)])


def _alerts(checks: Iterable[Check], job: str, runbooks: str) -> Iterable[Alert]:
    for check in checks:
        labels = {"instance": "q:9464", "job": job, **check.labels}
        bad, good = (_values(check, values, labels) for values in (check.bad, check.good))
        yield Alert(
            name=f"Qualitrace{check.page.title().replace('-', '')}",
            expr=check.expr.replace("JOB", f"job={quoted(job)}"),
            hold=check.hold,
            labels={"severity": check.severity},
            annotations={
                "summary": check.summary,
                "description": f"{check.summary} ({', '.join(f'{name} {{{{ $labels.{name} }}}}' for name in labels)})",
                "runbook_url": f"{runbooks}/{check.page}.md",
            },
            examples=[Example(series=bad, fires=labels), Example(series=good)],
        )


def _values(check: Check, values: Mapping[str, float], labels: Mapping[str, str]) -> dict[str, str]:
    written = growing if check.counter else steady
    return {series(metric, **labels): written(value, check.hold) for metric, value in values.items()}
