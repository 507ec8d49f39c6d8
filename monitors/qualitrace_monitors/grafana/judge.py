"""The dashboard of one judge on one service: quality with its doubt, volume, and how the judge does."""

from qualitrace_monitors.grafana.board import Place, Row, dashboard, query_variable
from qualitrace_monitors.grafana.panels import (
    COUNT,
    PER_SECOND,
    PERCENT,
    RATE,
    SECONDS,
    Json,
    Query,
    band,
    heatmap,
    lines,
    or_zero,
    stat,
    steps,
)

UID = "qualitrace-judge"
_JUDGE = 'judge="$judge"'
_SERVICE = f'{_JUDGE}, service="$service"'
_TIER = f'{_SERVICE}, tier="$tier"'
_WINDOW = f'{_TIER}, window="$window"'
_VARIABLES = [
    query_variable("service", "Service", "label_values(qualitrace_pass_rate_lower, service)"),
    query_variable("judge", "Judge", 'label_values(qualitrace_pass_rate_lower{service="$service"}, judge)'),
    query_variable("tier", "Tier", f"label_values(qualitrace_pass_rate_lower{{{_SERVICE}}}, tier)"),
    query_variable("window", "Window", f"label_values(qualitrace_pass_rate_lower{{{_TIER}}}, window)", first="1h"),
]
_LOOK = "With its 95 % interval, which holds for one look."


def judge(web: str) -> Json:
    """Return the dashboard; `web` is the address of the web port."""
    rows = [Row("Quality", _quality()), Row("Scores", _scores()), Row("The judge", _work())]
    about = "How good the answers of a service are by one judge, how sure that is, and how the judge does its work."
    return dashboard(UID, "qualitrace: judge", about, _VARIABLES, rows, web)


def _of(metric: str, labels: str = _WINDOW) -> str:
    return f"avg({metric}{{{labels}}})"


def _interval(title: str, about: str, metric: str, labels: str = _WINDOW, by: str = "") -> Json:
    value = Query(_of(metric, labels), title)
    return band(
        title, about, value, _of(f"{metric}_lower", labels), _of(f"{metric}_upper", labels), unit=PERCENT, min=0, max=1
    )


def _quality() -> list[Place]:
    lowest = steps((0.8, "orange"), (0.9, "green"), first="red")
    age = f"time() - max(qualitrace_last_score_timestamp_seconds{{{_TIER}}})"
    labels = f'{_JUDGE}, service="$service", tier="$tier"'
    evidence = f"max by (alert) (qualitrace_alert_evidence{{{labels}}} / qualitrace_alert_limit{{{labels}}})"
    return [
        Place(
            stat(
                "Lower end of the pass rate",
                "Of its 95 % interval: the pass rate is hardly below.",
                Query(_of("qualitrace_pass_rate_lower")),
                unit=PERCENT,
                limits=lowest,
            ),
            6,
            4,
        ),
        Place(
            stat("Scores", "That the estimate rests on.", Query(_of("qualitrace_pass_rate_samples")), unit=COUNT), 6, 4
        ),
        Place(
            stat(
                "Unsure",
                "Share of the scores where the judge could not decide: they widen the interval.",
                Query(_of("qualitrace_unsure_share")),
                unit=PERCENT,
                limits=steps((0.2, "orange"), (0.5, "red")),
            ),
            6,
            4,
        ),
        Place(
            stat(
                "Since the last score",
                "A judge that stopped shows here.",
                Query(age),
                unit=SECONDS,
                limits=steps((3600, "orange"), (86_400, "red")),
                nothing="no score",
            ),
            6,
            4,
        ),
        Place(
            _interval("Pass rate", f"Passes among passes and fails over the window. {_LOOK}", "qualitrace_pass_rate"),
            12,
            9,
        ),
        Place(_interval("Mean score", f"Over the window. {_LOOK}", "qualitrace_mean_score"), 12, 9),
        Place(
            _interval(
                "Pass rate of the newest release",
                "Since its first score, with the 95 % interval that holds however "
                "often one looks; of the last release with scores.",
                "qualitrace_release_pass_rate",
                _TIER,
            ),
            8,
        ),
        Place(
            _interval(
                "Pass rate corrected by experts' labels",
                "For the judge's own error; empty without a label.",
                "qualitrace_pass_rate_corrected",
            ),
            8,
        ),
        Place(
            lines(
                "Evidence of alerts",
                "An alert fires at 100 %.",
                Query(evidence, "{{alert}}"),
                unit=PERCENT,
                limits=steps((1, "red")),
                min=0,
            ),
            8,
        ),
    ]


def _scores() -> list[Place]:
    results = f"sum by (result) (rate(qualitrace_evaluations_total{{{_TIER}}}{RATE}))"
    outcomes = f"sum by (outcome) (rate(qualitrace_judgements_total{{{_SERVICE}}}{RATE}))"
    values = f"sum by (le) (increase(qualitrace_score_bucket{{{_TIER}}}{RATE}))"
    waits = f"sum by (le) (rate(qualitrace_freshness_seconds_bucket{{{_SERVICE}}}{RATE}))"
    fresh = [
        Query(f"histogram_quantile({share:g}, {waits})", f"p{share * 100:g}", exemplars=True) for share in (0.5, 0.95)
    ]
    return [
        Place(
            lines(
                "Results",
                "Scores a second; points lead to traces.",
                Query(results, "{{result}}", exemplars=True),
                unit=PER_SECOND,
                stacked=True,
                min=0,
            ),
            12,
        ),
        Place(
            heatmap(
                "Distribution of the scores",
                "From 0 (bad) to 1 (good); points lead to traces.",
                Query(values, "{{le}}", exemplars=True),
            ),
            12,
        ),
        Place(
            lines(
                "Outcomes",
                "What became of each trace that the judge could have scored, a second.",
                Query(outcomes, "{{outcome}}"),
                unit=PER_SECOND,
                stacked=True,
                min=0,
            ),
            12,
        ),
        Place(
            lines(
                "Freshness",
                "From the end of the request to its score; points lead to traces.",
                *fresh,
                unit=SECONDS,
                min=0,
            ),
            12,
        ),
    ]


def _work() -> list[Place]:
    duration = f"sum by (le, tier) (rate(qualitrace_judge_duration_seconds_bucket{{{_JUDGE}}}{RATE}))"
    errors = f"sum by (kind) (rate(qualitrace_judge_errors_total{{{_JUDGE}}}{RATE}))"
    return [
        Place(
            lines(
                "p95 duration of a judgement",
                "Of all services.",
                Query(f"histogram_quantile(0.95, {duration})", "{{tier}}"),
                unit=SECONDS,
                min=0,
            ),
            6,
        ),
        Place(
            lines(
                "Calls without a verdict",
                "A second: transient ones are tried again.",
                Query(errors, "{{kind}}"),
                unit=PER_SECOND,
                min=0,
            ),
            6,
        ),
        Place(
            lines(
                "Waiting",
                "Samples of all services that wait for the judge.",
                Query(or_zero(f"sum(qualitrace_judgements_waiting{{{_JUDGE}}})"), "samples"),
                unit=COUNT,
                min=0,
            ),
            6,
        ),
        Place(
            lines(
                "Effective rate",
                "Share of the traffic that it scores: as configured, or what the budget pays for.",
                Query(f"max(qualitrace_effective_rate{{{_JUDGE}}})", "rate"),
                unit=PERCENT,
                min=0,
                max=1,
            ),
            6,
        ),
    ]
