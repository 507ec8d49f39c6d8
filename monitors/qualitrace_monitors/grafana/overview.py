"""The dashboard of all services: what fires, how good the answers are, the traffic, the calls of models."""

from qualitrace_monitors.grafana.board import OF_SERVICES, SERVICES, Place, Row, dashboard
from qualitrace_monitors.grafana.panels import (
    COUNT,
    PER_SECOND,
    PERCENT,
    RATE,
    SECONDS,
    USD,
    Json,
    Query,
    alert_list,
    lines,
    link,
    or_zero,
    stat,
    steps,
)
from qualitrace_monitors.grafana.table import Column, table

UID = "qualitrace-overview"
_QUALITY = f'{OF_SERVICES}, window="1h"'
_ERRORS = steps((0.01, "orange"), (0.05, "red"))
_TO_JUDGE = "/d/qualitrace-judge?${datasource:queryparam}&" + "&".join(
    f"var-{name.lower()}=${{__data.fields.{name}:percentencode}}" for name in ("Service", "Judge", "Tier")
)


def overview(web: str) -> Json:
    """Return the dashboard; `web` is the address of the web port."""
    rows = [Row("Now", _now()), Row("Quality, over the last hour", _quality())]
    rows += [Row("Requests", _requests()), Row("Calls of models", _calls())]
    about = "What is wrong, how good the answers of each service are, and what they cost."
    return dashboard(UID, "qualitrace: overview", about, [SERVICES], rows, web)


def _total(counter: str, by: str = "", function: str = "rate", window: str = RATE, more: str = "") -> str:
    return f"sum{f' by ({by}) ' if by else ''}({function}({counter}{{{OF_SERVICES}{more}}}{window}))"


def _percentile(share: float, histogram: str, by: str = "") -> str:
    return f"histogram_quantile({share:g}, {_total(f'{histogram}_bucket', f'{by}, le' if by else 'le')})"


def _now() -> list[Place]:
    firing = Query(f'sum(qualitrace_alert_state{{state="firing", {OF_SERVICES}}})')
    problems = Query(or_zero("count(qualitrace_up == 0)"))
    errors = f"{_total('qualitrace_request_errors_total')} / {_total('qualitrace_requests_total')}"
    day = _total("qualitrace_cost_usd_total", function="increase", window="[24h]")
    some = steps((1, "red"))
    return [
        Place(
            stat(
                "Alerts firing",
                "Of the server's own rules; none is no promise where there are no rules.",
                firing,
                unit=COUNT,
                limits=some,
                nothing="no alert is watched",
            ),
            4,
            4,
        ),
        Place(
            stat(
                "Broken components",
                "Components that do not do their work; the dashboard of the service says which.",
                problems,
                unit=COUNT,
                limits=some,
            ),
            4,
            4,
        ),
        Place(
            stat(
                "Requests",
                "Complete traces a second.",
                Query(_total("qualitrace_requests_total")),
                unit=PER_SECOND,
                nothing="no requests",
            ),
            4,
            4,
        ),
        Place(
            stat(
                "Failed requests",
                "Share of the traces whose root span failed.",
                Query(errors),
                unit=PERCENT,
                limits=_ERRORS,
                nothing="no requests",
            ),
            4,
            4,
        ),
        Place(
            stat(
                "p95 duration",
                "Of the root span.",
                Query(_percentile(0.95, "qualitrace_request_duration_seconds")),
                unit=SECONDS,
                nothing="no requests",
            ),
            4,
            4,
        ),
        Place(
            stat(
                "Cost of the models, 24 h",
                "Of the services' own calls; judges are on the dashboard of costs.",
                Query(day),
                unit=USD,
                nothing="no price is known",
            ),
            4,
            4,
        ),
    ]


def _quality() -> list[Place]:
    by = "service, judge, tier"
    rate = steps((0.8, "orange"), (0.9, "green"), first="red")

    def column(title: str, metric: str, unit: str = PERCENT, limits: Json | None = None) -> Column:
        return Column(title, Query(f"avg by ({by}) ({metric}{{{_QUALITY}}})"), unit, limits)

    age = f"time() - max by ({by}) (qualitrace_last_score_timestamp_seconds{{{OF_SERVICES}}})"
    columns = [
        column("Lower end", "qualitrace_pass_rate_lower", limits=rate),
        column("Pass rate", "qualitrace_pass_rate"),
        column("Upper end", "qualitrace_pass_rate_upper"),
        column("Scores", "qualitrace_pass_rate_samples", COUNT),
        column("Unsure", "qualitrace_unsure_share"),
        Column("Since the last score", Query(age), SECONDS),
    ]
    labels = {"service": "Service", "judge": "Judge", "tier": "Tier"}
    state = f"qualitrace_alert_state{{{OF_SERVICES}}}"
    active = f"max by (alert, service, judge, severity, state) ({state} and max_over_time({state}[$__range]) == 1)"
    is_so = Column("Is so", Query(active), COUNT, texts={1: ("now", "red"), 0: ("no longer", "green")})
    return [
        Place(
            table(
                "Services and judges",
                "The service with the lowest lower end of the 95 % interval first: a low pass "
                "rate of few scores is no bad service.",
                columns,
                labels=labels,
                links=[link("The judge's dashboard", _TO_JUDGE)],
            ),
            15,
            9,
        ),
        Place(
            table(
                "Alerts of the server",
                "What is pending or fires by the rules in qualitrace's configuration, or did in the time shown.",
                [is_so],
                labels={
                    "alert": "Alert",
                    "state": "State",
                    "service": "Service",
                    "judge": "Judge",
                    "severity": "Severity",
                },
                links=[link("Alerts", "${web}/alerts")],
                highest_first=True,
                nothing="nothing fired",
            ),
            9,
            9,
        ),
        Place(
            lines(
                "Lower end of the pass rate",
                "Of the 95 % interval at one look, by service and judge.",
                Query(f"min by (service, judge) (qualitrace_pass_rate_lower{{{_QUALITY}}})", "{{service}} {{judge}}"),
                unit=PERCENT,
                min=0,
                max=1,
            ),
            15,
        ),
        Place(
            alert_list(
                "Alerts of Prometheus and Grafana",
                "What fires by the rules of `qualitrace rules`, and by any other that Grafana knows.",
            ),
            9,
        ),
    ]


def _requests() -> list[Place]:
    errors = (
        f"{_total('qualitrace_request_errors_total', 'service')} / {_total('qualitrace_requests_total', 'service')}"
    )
    durations = [
        Query(_percentile(share, "qualitrace_request_duration_seconds"), f"p{share * 100:g}", exemplars=True)
        for share in (0.5, 0.95, 0.99)
    ]
    return [
        Place(
            lines(
                "Requests",
                "Complete traces a second.",
                Query(_total("qualitrace_requests_total", "service"), "{{service}}", exemplars=True),
                unit=PER_SECOND,
                stacked=True,
                min=0,
            ),
            8,
        ),
        Place(
            lines(
                "Failed requests",
                "Share of the traces whose root span failed.",
                Query(errors, "{{service}}"),
                unit=PERCENT,
                limits=_ERRORS,
                min=0,
            ),
            8,
        ),
        Place(lines("Duration", "Of the root span; points lead to traces.", *durations, unit=SECONDS, min=0), 8),
    ]


def _calls() -> list[Place]:
    model, duration = "gen_ai_provider_name, gen_ai_request_model", "gen_ai_client_operation_duration_seconds"
    named = "{{gen_ai_provider_name}} {{gen_ai_request_model}}"
    failed = or_zero(_total(f"{duration}_count", f"{model}, error_type", more=', error_type!=""'))
    first = _percentile(0.95, "gen_ai_client_operation_time_to_first_chunk_seconds", model)
    tokens = _total("gen_ai_client_token_usage_sum", f"{model}, gen_ai_token_type")
    return [
        Place(
            lines(
                "Calls",
                "Calls of models a second, embeddings among them.",
                Query(_total(f"{duration}_count", model), named),
                unit=PER_SECOND,
                stacked=True,
                min=0,
            ),
            8,
        ),
        Place(
            lines(
                "Failed calls",
                "A second, by the kind of error.",
                Query(failed, f"{named} {{{{error_type}}}}"),
                unit=PER_SECOND,
                min=0,
            ),
            8,
        ),
        Place(
            lines(
                "p95 duration of calls",
                "Points lead to traces.",
                Query(_percentile(0.95, duration, model), named, exemplars=True),
                unit=SECONDS,
                min=0,
            ),
            8,
        ),
        Place(
            lines(
                "p95 time to the first chunk",
                "Of streamed calls; points lead to traces.",
                Query(first, named, exemplars=True),
                unit=SECONDS,
                min=0,
            ),
            12,
        ),
        Place(
            lines(
                "Tokens",
                "A second, by direction.",
                Query(tokens, f"{named} {{{{gen_ai_token_type}}}}"),
                unit=PER_SECOND,
                stacked=True,
                min=0,
            ),
            12,
        ),
    ]
