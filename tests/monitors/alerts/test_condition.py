"""What `when` may say, and what a rule must say beside it."""

import pytest
from pydantic import ValidationError

from qualitrace_monitors.alerts.condition import EXAMPLES, Condition
from qualitrace_monitors.alerts.kinds import KINDS
from qualitrace_monitors.alerts.quantities import FORMS
from qualitrace_monitors.alerts.settings import AlertRule

JUDGED, CANARY = {"judge": "relevance"}, {"canary": {"release": "2"}, "control": {"release": "1"}}


@pytest.mark.parametrize(
    ("text", "quantity", "operator", "threshold", "kind"),
    [
        ("pass_rate < 0.9", "pass_rate", "<", 0.9, "scores"),
        ("pass_rate<90%", "pass_rate", "<", 0.9, "scores"),
        ("  mean_score   >  .5 ", "mean_score", ">", 0.5, "scores"),
        ("unsure_rate > 12.5 %", "unsure_rate", ">", 0.125, "scores"),
        ("drop > 0.05 from baseline", "pass_rate", "<", 0.05, "scores"),
        ("mean_score drop > 5% from baseline", "mean_score", "<", 0.05, "scores"),
        ("drop > 5% from control", "pass_rate", "<", 0.05, "control"),
        ("no_scores for 15m", "no_scores", ">", 900, "silence"),
        ("error_rate > 5%", "error_rate", ">", 0.05, "requests"),
        ("p95_duration > 5s", "p95_duration", ">", 5, "requests"),
        ("p50_duration > 1.5", "p50_duration", ">", 1.5, "requests"),
        ("p99_time_to_first_token > 800ms", "p99_time_to_first_token", ">", 0.8, "requests"),
        ("cost_per_hour > 3", "cost_per_hour", ">", 3, "spend"),
        ("cost_per_hour > 2.50 USD", "cost_per_hour", ">", 2.5, "spend"),
        ("tokens_per_hour > 1_000_000", "tokens_per_hour", ">", 1e6, "spend"),
        ("no_requests for 1h30m", "no_requests", ">", 5400, "silence"),
        ("budget_spent > 80%", "budget_spent", ">", 0.8, "own_health"),
        ("judge_error_rate > 20%", "judge_error_rate", ">", 0.2, "own_health"),
        ("freshness > 5m", "freshness", ">", 300, "own_health"),
        ("backlog > 1000", "backlog", ">", 1000, "own_health"),
        ("slo 99.9% over 7d", "slo", "<", 0.999, "slo"),
    ],
)
def test_each_form_is_read_and_written_back(
    text: str, quantity: str, operator: str, threshold: float, kind: str
) -> None:
    """Shares as numbers or percentages, durations with or without a unit; what it writes it reads again."""
    condition = Condition.parse(text)
    assert (condition.quantity, condition.operator, condition.threshold, condition.kind) == (
        quantity,
        operator,
        pytest.approx(threshold),
        kind,
    )
    assert Condition.parse(str(condition).replace(",", "")) == condition


def test_every_example_of_the_errors_is_right() -> None:
    """A person copies them."""
    for text in EXAMPLES:
        assert Condition.parse(text).quantity in FORMS


@pytest.mark.parametrize(
    ("text", "mistake"),
    [
        ("passrate < 0.9", "unknown quantity 'passrate', did you mean 'pass_rate'?"),
        ("p97_duration > 1s", "did you mean 'p99_duration'?"),
        ("Error_Rate > 5%", "did you mean 'error_rate'?"),
        ("zzz > 5", "unknown quantity 'zzz', known: pass_rate,"),
        ("no_spans for 5m", "unknown quantity 'no_spans'"),
        ("", "must read like 'pass_rate < 0.9'"),
        ("0.9", "must read like 'pass_rate < 0.9'"),
        ("< 0.9", "must read like 'pass_rate < 0.9'"),
        ("pass_rate", "pass_rate is written 'pass_rate < 90%' (got 'pass_rate')"),
        ("pass_rate < 90", "must be a share from 0 to 1, such as 0.05, or 5% (got '90')"),
        ("pass_rate < 101%", "must be a share from 0 to 1, such as 0.05, or 5% (got '101%')"),
        ("error_rate > 5s", "must be a share from 0 to 1, such as 0.05, or 5% (got '5s')"),
        ("error_rate > ٥%", "must be a share from 0 to 1"),
        ("pass_rate < nan", "must be a share from 0 to 1"),
        ("pass_rate <= 0.9", "pass_rate is watched with < or > (got 'pass_rate <= 0.9')"),
        ("error_rate < 5%", "error_rate is watched with > (got 'error_rate < 5%')"),
        ("pass_rate < 0", "pass_rate is never < 0"),
        ("error_rate > 100%", "error_rate is never > 100%"),
        ("p95_duration > 5%", "must be a duration such as 30s, 5m, 1h or 1d (got '5%')"),
        ("freshness > soon", "must be a duration such as 30s, 5m, 1h or 1d (got 'soon')"),
        ("freshness for 5m", "freshness is written 'freshness > 5m'"),
        ("no_scores > 5m", "no_scores is written 'no_scores for 15m'"),
        ("no_scores for 0s", "no_scores is written 'no_scores for 15m'"),
        ("no_scores for ever", "must be a duration such as 30s, 5m, 1h or 1d (got 'ever')"),
        ("cost_per_hour > 3 EUR", "must be a number of US dollars such as 3 (got '3 EUR')"),
        ("cost_per_hour > inf", "must be a number of US dollars such as 3 (got 'inf')"),
        ("backlog > -5", "must be a number such as 1000 (got '-5')"),
        ("drop > 0.05", "a drop is written 'drop > 0.05 from baseline' or 'drop > 0.05 from control'"),
        ("drop > 0.05 from yesterday", "a drop is from baseline or from control (got 'yesterday')"),
        ("drop > 5 from baseline", "must be a share from 0 to 1"),
        ("drop > 0 from baseline", "a drop is more than 0 and less than 1"),
        ("unsure_rate drop > 0.1 from baseline", "a drop is of pass_rate or mean_score"),
        ("slo 95%", "slo is written 'slo 95% over 30d' (got 'slo 95%')"),
        ("slo > 95%", "slo is written 'slo 95% over 30d' (got 'slo > 95%')"),
        ("slo 95 over 30d", "must be a share from 0 to 1"),
        ("slo 100% over 30d", "the objective of an SLO lies between 0 and 100%"),
        ("slo 95% over 1h", "the period of an SLO is 7d to 30d"),
    ],
)
def test_each_mistake_says_how_to_write_it(text: str, mistake: str) -> None:
    """Unknown quantities, units, operators, and halves of a form."""
    with pytest.raises(ValueError) as error:  # noqa: PT011  # the text is checked
        Condition.parse(text)
    assert mistake in str(error.value)


@pytest.mark.parametrize(
    ("options", "mistake"),
    [
        ({"when": "pass_rate < 0.9"}, "judge: is required, whose scores does 'pass_rate < 0.9' watch?"),
        ({"when": "no_scores for 5m"}, "judge: is required"),
        ({"when": "error_rate > 5%", **JUDGED}, "judge: error_rate is of every request, judged or not"),
        ({"when": "drop > 5% from control", **JUDGED}, "canary: is required for a drop from control"),
        ({"when": "drop > 5% from control", **JUDGED, "canary": {"release": "2"}}, "control: is required"),
        (
            {"when": "drop > 5% from control", **JUDGED, "canary": {"model": "a"}, "control": {"model": "a"}},
            "canary: is the same traffic as control",
        ),
        ({"when": "pass_rate < 0.9", **JUDGED, **CANARY}, "is of use with 'drop > 0.05 from control' alone"),
        ({"when": "drop > 5% from control", **JUDGED, **CANARY, "canary": {}}, "names nothing"),
        ({"when": "drop > 5% from control", **JUDGED, **CANARY, "canary": {"session": "x"}}, "environment, route, retriever alone (got 'session')"),
        ({"when": "drop > 5% from control", **JUDGED, **CANARY, "control": {"service": "x"}}, "control: 'pass_rate drop > 0.05 from control' is known by model"),
        ({"when": "backlog > 9", "service": "shop"}, "service: backlog is of qualitrace itself"),
        ({"when": "backlog > 9", "false_alarms": "5% per 30d"}, "false_alarms: is of no use with 'backlog > 9'"),
        ({"when": "error_rate > 5%", "tier": "llm"}, "tier: is of no use with 'error_rate > 0.05'"),
        ({"when": "pass_rate < 1", **JUDGED, "slo": "95% over 30d"}, "write when: slo 95% over 30d"),
    ],
)  # fmt: skip
def test_a_rule_names_what_its_condition_needs_and_nothing_else(options: dict[str, object], mistake: str) -> None:
    """A key that nothing reads would look as if it did something."""
    with pytest.raises(ValidationError) as error:
        AlertRule.model_validate({"name": "a", **options})
    assert mistake in str(error.value)


@pytest.mark.parametrize("quantity", FORMS)
def test_every_quantity_makes_a_rule(quantity: str) -> None:
    """With a judge where one is needed, and without where none is."""
    form = FORMS[quantity]
    value = {"share": "5%", "duration": "5m", "USD": "3", "count": "9"}[form.unit]
    when = f"{quantity} {form.operators[:1] or 'for'} {value}" if quantity != "slo" else "slo 95% over 30d"
    judge = JUDGED if form.judge == "needed" else {}
    rule = AlertRule.model_validate({"name": "a", "when": when, **judge})
    assert rule.when.quantity == quantity
    assert sum(rule.when.kind in kind.names for kind in KINDS) == 1
