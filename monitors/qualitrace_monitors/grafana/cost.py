"""The dashboard of costs: of the services' models, and of the judges with their budgets."""

from qualitrace_monitors.grafana.board import SERVICES, Place, Row, dashboard
from qualitrace_monitors.grafana.panels import COUNT, PER_SECOND, PERCENT, USD, Json, Query, lines, or_zero, stat

UID = "qualitrace-cost"
_OF = 'service=~"$service"'
_RATE = "[$__rate_interval]"
_A_DAY = 86_400
_BUDGET, _LIMIT = "{{judge}} {{unit}} a {{window}}", "judge, unit, window"


def cost(web: str) -> Json:
    """Return the dashboard; `web` is the address of the web port."""
    rows = [Row("Models of the services", _models()), Row("Judges, of all services", _judges())]
    about = "What the services' models and the judges cost, by model and direction, and what is left of the budgets."
    return dashboard(UID, "qualitrace: cost", about, [SERVICES], rows, web)


def _models() -> list[Place]:
    day = "qualitrace_cost_usd_total"
    tokens = f"sum by (model, type) (rate(qualitrace_tokens_total{{{_OF}}}{_RATE}))"
    share = f"sum(increase({day}{{{_OF}}}[24h])) / sum(increase(qualitrace_requests_total{{{_OF}}}[24h]))"
    model = "gen_ai_request_model, gen_ai_token_type"
    usage = f"sum by (le, {model}) (rate(gen_ai_client_token_usage_bucket{{{_OF}}}{_RATE}))"
    return [
        Place(
            stat(
                "Cost, 24 h",
                "As clients state it, or by MLflow's price catalog.",
                Query(f"sum(increase({day}{{{_OF}}}[24h]))"),
                unit=USD,
                nothing="no price is known",
            ),
            6,
            4,
        ),
        Place(
            stat("Cost of a request, 24 h", "On average.", Query(share), unit=USD, nothing="no price is known"), 6, 4
        ),
        Place(
            stat(
                "Input tokens, 24 h",
                "With those that came from a cache.",
                Query(f'sum(increase(qualitrace_tokens_total{{{_OF}, type="input"}}[24h]))'),
                unit=COUNT,
            ),
            6,
            4,
        ),
        Place(
            stat(
                "Output tokens, 24 h",
                "With reasoning.",
                Query(f'sum(increase(qualitrace_tokens_total{{{_OF}, type="output"}}[24h]))'),
                unit=COUNT,
            ),
            6,
            4,
        ),
        Place(
            lines(
                "Cost by service",
                "US dollars a day, at the rate of the moment; points lead to traces.",
                Query(f"sum by (service) (rate({day}{{{_OF}}}{_RATE})) * {_A_DAY}", "{{service}}", exemplars=True),
                unit=USD,
                stacked=True,
                min=0,
            ),
            12,
        ),
        Place(
            lines(
                "Cost by model",
                "US dollars a day, at the rate of the moment; points lead to traces.",
                Query(f"sum by (model) (rate({day}{{{_OF}}}{_RATE})) * {_A_DAY}", "{{model}}", exemplars=True),
                unit=USD,
                stacked=True,
                min=0,
            ),
            12,
        ),
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


def _judges() -> list[Place]:
    usd = or_zero(f"sum by (judge, model, type) (rate(qualitrace_judge_cost_usd_total{_RATE})) * {_A_DAY}")
    tokens = or_zero(f"sum by (judge, model, type) (rate(qualitrace_judge_tokens_total{_RATE}))")
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
