"""The configuration file: the sections of every part, and the checks between them."""

from collections.abc import Collection, Iterator
from typing import Any

from pydantic import Field, ModelWrapValidatorHandler, model_validator

from qualitrace_collector.config.section import Mistake, validate_with
from qualitrace_collector.config.values import Identifier
from qualitrace_collector.pipeline.settings import DEFAULT_JUDGES
from qualitrace_collector.settings import CollectorConfig
from qualitrace_monitors.alerts.settings import AlertRule, can_be_joined
from qualitrace_monitors.judges.settings import Budget, JudgeConfig
from qualitrace_monitors.notify.heartbeat import HeartbeatConfig
from qualitrace_monitors.notify.receivers import Receiver

MOST_RECEIVERS = 64
"""Each has a thread of its own. Alertmanager routes to any number of others."""


class Config(CollectorConfig):
    """The whole configuration file."""

    judges: tuple[JudgeConfig, ...] = tuple(  # pyright: ignore[reportIncompatibleVariableOverride]  # it is frozen
        JudgeConfig(name=name) for name in DEFAULT_JUDGES
    )
    """The judges. A bare name is the local judge of that metric; `[]` turns judging off."""
    budget: Budget = Budget()
    """What all LLM judges together may cost."""
    alerts: tuple[AlertRule, ...] = ()
    """The rules that notify when quality fell."""
    heartbeat: HeartbeatConfig | None = None
    """A notification at a steady pace: its absence says that the monitor is dead."""
    notify: dict[Identifier, Receiver] = Field(default_factory=dict, max_length=MOST_RECEIVERS)
    """The receivers of notifications, by name."""

    @model_validator(mode="wrap")
    @classmethod
    def _has_consistent_names(cls, data: Any, validate: ModelWrapValidatorHandler["Config"]) -> "Config":
        made = validate_with(_name_mistakes(data), validate, data)
        judges = {judge.name: judge for judge in made.judges}
        alerts = tuple(_with_tier(rule, judges.get(rule.judge or "")) for rule in made.alerts)
        return made if alerts == made.alerts else made.model_copy(update={"alerts": alerts})


def _with_tier(rule: AlertRule, judge: JudgeConfig | None) -> AlertRule:
    """Return a rule on scores that says whose count: of a judge with a cascade those of both tiers together.

    A rule without a tier would wait on for the scores of a model that its judge no longer has.
    """
    if rule.tier is not None or judge is None or rule.when.kind not in ("scores", "control"):
        return rule
    if judge.cascade is None:
        return rule.model_copy(update={"tier": judge.first_tier})
    return rule.model_copy(update={"tier": "joined"}) if can_be_joined(rule.when) else rule


def _name_mistakes(data: Any) -> Iterator[Mistake]:
    """Yield each name of the raw configuration that is used twice, or that refers to nothing."""
    # The raw data is read, because pydantic skips a model's own checks once one field is wrong, and every mistake is
    # to be reported at once.
    if not isinstance(data, dict):
        return
    judges = _names(data.get("judges", list(DEFAULT_JUDGES)))
    for section, names in (("judges", judges), ("alerts", _names(data.get("alerts")))):
        for name in sorted({name for name in names if names.count(name) > 1}):
            yield (section,), f"the name {name!r} stands twice"
    receivers = data.get("notify")
    known_receivers = list(receivers) if isinstance(receivers, dict) else []
    for place, section in _notifying_sections(data):
        yield from _judge_mistakes(place, section, judges, data)
        notify = section.get("notify")
        for receiver in notify if isinstance(notify, list) else []:
            if isinstance(receiver, str) and receiver not in known_receivers:
                yield (*place, "notify"), f"no receiver named {receiver!r} under notify"


def _judge_mistakes(
    place: tuple[int | str, ...], rule: dict[str, Any], judges: Collection[str], data: dict[str, Any]
) -> Iterator[Mistake]:
    """Yield what a rule expects of a judge, and the judge has not."""
    judge = rule.get("judge")
    if isinstance(judge, str) and judge not in judges:
        yield (*place, "judge"), f"no judge named {judge!r} under judges"
    elif isinstance(judge, str) and (tier := str(rule.get("tier"))) in _WITHOUT.keys() - _tiers(judge, data):
        yield (*place, "tier"), f"the judge {judge!r} has {_WITHOUT[tier]}"
    if str(rule.get("when")).lstrip().startswith("budget_spent") and not _has_budget(data, judge):
        limits = ", ".join(Budget.model_fields)
        lacking = f"the judge {judge!r} has no budget of its own" if judge else "there is no budget"
        yield (*place, "when"), f"{lacking}: set one of {limits} under {'its ' if judge else ''}budget"


def _notifying_sections(data: dict[str, Any]) -> Iterator[tuple[tuple[int | str, ...], dict[str, Any]]]:
    alerts = data.get("alerts")
    for index, rule in enumerate(alerts if isinstance(alerts, list) else []):
        if isinstance(rule, dict):
            yield ("alerts", index), rule
    heartbeat = data.get("heartbeat")
    if isinstance(heartbeat, dict):
        yield ("heartbeat",), heartbeat


def _has_budget(data: dict[str, Any], judge: Any) -> bool:
    """Whether the judge has a limit of its own; without a name, whether there is any."""
    entries = data.get("judges")
    judges = [entry for entry in entries if isinstance(entry, dict)] if isinstance(entries, list) else []
    own = [entry.get("budget") for entry in judges if judge in (None, entry.get("name"))]
    budgets = own if judge else [*own, data.get("budget")]
    return any(value is not None for budget in budgets if isinstance(budget, dict) for value in budget.values())


_WITHOUT = {
    "local": "no local scores: a model or a scorer gives them all",
    "llm": "no scores of a model: give it a model, or leave the tier out",
    "scorer": "no scores of an MLflow scorer: give it a scorer, or leave the tier out",
    "joined": "no cascade of which the tiers could be joined",
}
"""What a judge lacks, by the tier that a rule watches."""


def _tiers(judge: str, data: dict[str, Any]) -> set[str]:
    """Return the tiers that a judge of the raw configuration scores with."""
    entries = data.get("judges")
    named = [entry for entry in entries if isinstance(entry, dict)] if isinstance(entries, list) else []
    entry = next((entry for entry in named if entry.get("name") == judge), {})
    if entry.get("scorer") is not None:
        return {"scorer"}
    if entry.get("cascade") not in (None, False):
        return {"local", "llm", "joined"}
    return {"local"} if entry.get("model") is None else {"llm"}


def _names(entries: Any) -> list[str]:
    if not isinstance(entries, list):
        return []
    names = [entry.get("name") if isinstance(entry, dict) else entry for entry in entries]
    return [name for name in names if isinstance(name, str)]
