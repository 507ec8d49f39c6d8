"""The dashboard of costs: of the services' models, and of the judges with their budgets."""

from qualitrace_monitors.grafana.board import OF_SERVICES, SERVICES, Place, Row, dashboard
from qualitrace_monitors.grafana.panels import COUNT, PER_SECOND, PERCENT, RATE, USD, Json, Query, lines, or_zero, stat

UID = "qualitrace-cost"
_COST = "qualitrace_cost_usd_total"
_A_DAY = 86_400
_BUDGET, _LIMIT = "{{judge}} {{unit}} a {{window}}", "judge, unit, window"


def cost(web: str) -> Json:
    """Return the dashboard; `web` is the address of the web port."""
    rows = [Row("Models of the services", _models()), Row("Judges, of all services", _judges())]
    about = "What the services' models and the judges cost, by model and direction, and what is left of the budgets."
    return dashboard(UID, "qualitrace: cost", about, [SERVICES], rows, web)


def _models() -> list[Place]:
    tokens = f"sum by (model, type) (rate(qualitrace_tokens_total{{{OF_SERVICES}}}{RATE}))"
    share = (
        f"sum(increase({_COST}{{{OF_SERVICES}}}[24h])) / sum(increase(qualitrace_requests_total{{{OF_SERVICES}}}[24h]))"
    )
    model = "gen_ai_request_model, gen_ai_token_type"
    usage = f"sum by (le, {model}) (rate(gen_ai_client_token_usage_bucket{{{OF_SERVICES}}}{RATE}))"
    return [
        Place(
            stat(
                "Cost, 24 h",
                "As clients state it, or by MLflow's price catalog.",
                Query(f"sum(increase({_COST}{{{OF_SERVICES}}}[24h]))"),
                unit=USD,
                nothing="no price is known",
            ),
            6,
            4,
        ),
        Place(
            stat("Cost of a request, 24 h", "On average.", Query(share), unit=USD, nothing="no price is known"), 6, 4
        ),
        _tokens_of_a_day("input", "With those that came from a cache."),
        _tokens_of_a_day("output", "With reasoning."),
        _cost_by("service"),
        _cost_by("model"),
        Place(
            lines(
                "Tokens",
                "A second, by model and direction; points lead to traces.",
                Query(tokens, "{{model}} {{type}}", exemplars=True),
                unit=PER_SECOND,
                stacked=True,
                min=0,
            ),
            12,
        ),
        Place(
            lines(
                "p95 tokens of a call",
                "By model and direction; points lead to traces.",
                Query(
                    f"histogram_quantile(0.95, {usage})",
                    "{{gen_ai_request_model}} {{gen_ai_token_type}}",
                    exemplars=True,
                ),
                unit=COUNT,
                min=0,
            ),
            12,
        ),
    ]


def _tokens_of_a_day(direction: str, about: str) -> Place:
    query = Query(f'sum(increase(qualitrace_tokens_total{{{OF_SERVICES}, type="{direction}"}}[24h]))')
    return Place(stat(f"{direction.capitalize()} tokens, 24 h", about, query, unit=COUNT), 6, 4)


def _cost_by(label: str) -> Place:
    query = f"sum by ({label}) (rate({_COST}{{{OF_SERVICES}}}{RATE})) * {_A_DAY}"
    return Place(
        lines(
            f"Cost by {label}",
            "US dollars a day, at the rate of the moment; points lead to traces.",
            Query(query, f"{{{{{label}}}}}", exemplars=True),
            unit=USD,
            stacked=True,
            min=0,
        ),
        12,
    )


def _judges() -> list[Place]:
    usd = or_zero(f"sum by (judge, model, type) (rate(qualitrace_judge_cost_usd_total{RATE})) * {_A_DAY}")
    tokens = or_zero(f"sum by (judge, model, type) (rate(qualitrace_judge_tokens_total{RATE}))")
    spent = f"sum by ({_LIMIT}) (qualitrace_budget_spent)"
    whole = f"({spent} + sum by ({_LIMIT}) (qualitrace_budget_remaining))"
    return [
        Place(
            stat(
                "Cost of the judges, 24 h",
                "As far as prices are known.",
                Query(or_zero("sum(increase(qualitrace_judge_cost_usd_total[24h]))")),
                unit=USD,
            ),
            6,
            8,
        ),
        Place(
            lines(
                "Cost by judge and model",
                "US dollars a day, at the rate of the moment.",
                Query(usd, "{{judge}} {{model}} {{type}}"),
                unit=USD,
                stacked=True,
                min=0,
            ),
            9,
        ),
        Place(
            lines(
                "Tokens by judge and model",
                "A second, by direction.",
                Query(tokens, "{{judge}} {{model}} {{type}}"),
                unit=PER_SECOND,
                stacked=True,
                min=0,
            ),
            9,
        ),
        Place(
            lines(
                "Budgets",
                "Share of each limit that is spent in its hour or day; `*` is all judges.",
                Query(f"{spent} / {whole}", _BUDGET),
                unit=PERCENT,
                min=0,
                max=1,
            ),
            12,
        ),
        Place(
            lines(
                "Effective rates",
                "Share of the traffic that each judge scores: as configured, or what its budget pays for.",
                Query("max by (judge) (qualitrace_effective_rate)", "{{judge}}"),
                unit=PERCENT,
                min=0,
                max=1,
            ),
            12,
        ),
    ]
