"""The command `qualitrace alerts delay`."""

import json
import math
import re
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import click

from qualitrace_collector.cli import config_option, load_or_exit
from qualitrace_collector.pipeline.match import is_glob
from qualitrace_monitors.alert_commands.backtest import chosen
from qualitrace_monitors.alerts.quantities import PROMISING
from qualitrace_monitors.alerts.settings import AlertRule
from qualitrace_monitors.backtest.falls import Delay, Simulation, Stream
from qualitrace_monitors.backtest.report import time_text
from qualitrace_monitors.config import Config
from qualitrace_monitors.judges.settings import JudgeConfig
from qualitrace_monitors.progress import Progress, quiet_option

FALLS = (0.05, 0.1, 0.2)

_TRAFFIC = re.compile(r"([0-9]*\.?[0-9]+)\s*/\s*([smhd])")
_UNITS = {"s": 1.0, "m": 60.0, "h": 3600.0, "d": 86_400.0}


def _requests_per_second(_context: click.Context, _parameter: click.Parameter, text: str) -> float:
    found = _TRAFFIC.fullmatch(text.strip())
    if not found or not float(found[1]) > 0:
        raise click.BadParameter(f"must be requests in a second, minute, hour or day, such as 10/m (got {text!r})")
    return float(found[1]) / _UNITS[found[2]]


@click.command("delay")
@config_option
@click.option("--rate", type=click.FloatRange(0, 1), required=True, help="Share of good values before the fall.")
@click.option("--traffic", callback=_requests_per_second, required=True, metavar="10/m", help="Requests of a service.")
@click.option("--sessions", type=click.IntRange(1, 1000), default=1, help="Answers of a session, if they have ids.")
@click.option("--rule", "names", multiple=True, metavar="NAME", help="This rule alone; any number of them.")
@click.option("--json", "in_json", is_flag=True, help="JSON instead of text.")
@quiet_option
def delay(
    path: Path | None,
    rate: float,
    traffic: float,
    sessions: int,
    names: tuple[str, ...],
    in_json: bool,
    quiet: bool,
) -> None:
    """Say how long falls of 5, 10 and 20 points would take to be noticed, by simulation.

    The rate is that of good values: the pass rate of a rule with <, what is left of the error rate of one with >.
    Scores are the traffic times the sampling rate of the rule's judge: the least one, where rates differ by match.
    """
    config = load_or_exit(path, Config, needs=("judges", "alerts", "sampling"))
    found: list[dict[str, Any]] = []
    for rule in chosen(config.alerts, names):
        scores = _scores_per_request(config, rule)
        if rule.when.kind not in PROMISING:
            found.append(_named(rule) | {"cannot_be_simulated": "it compares a fact with a limit, at once"})
        elif not scores:
            found.append(_named(rule) | {"cannot_be_simulated": f"the sampling rate of {rule.judge} is 0"})
        else:
            found.append(_simulated(config, rule, rate, traffic, scores, sessions, quiet=quiet))
    click.echo(json.dumps(found, indent=2) if in_json else "\n\n".join("\n".join(_lines(each)) for each in found))


def _judge_of(config: Config, rule: AlertRule) -> JudgeConfig | None:
    return next((judge for judge in config.judges if judge.name == rule.judge), None)


def _service_of(rule: AlertRule) -> str:
    """Return the one service that a rule is about; empty if it names none, or a glob."""
    return rule.service if rule.service and not is_glob(rule.service) else ""


def _scores_per_request(config: Config, rule: AlertRule) -> float:
    """Return how many scores, or requests, a rule gets to see of a request, on average and at least."""
    judge = _judge_of(config, rule)
    if judge is None:
        return 1.0
    audited = judge.cascade.audit_rate if judge.cascade and rule.tier not in ("local", "joined") else 1.0
    return config.sampling.least_rate(judge, _service_of(rule)) * audited


def _sampling_text(config: Config, rule: AlertRule) -> str:
    """Say which of several sampling rates the delays are for; empty where there is one."""
    judge = _judge_of(config, rule)
    if judge is None or not (strata := config.sampling.strata_of(judge)):
        return ""
    service = _service_of(rule)
    rate = config.sampling.least_rate(judge, service)
    named = not service and any("service" in stratum.match.root for stratum in strata)
    where = "of a service that no rate names " if named else ""
    return (
        f"sampling rates differ: {rate:g} of the traffic {where}is scored at least; what is scored more often weighs "
        "less, so falls are noticed no later"
    )


def _audited(config: Config, rule: AlertRule) -> float:
    judge = _judge_of(config, rule)
    return judge.cascade.audit_rate if judge and judge.cascade and rule.tier == "joined" else 1.0


def _simulated(
    config: Config, rule: AlertRule, rate: float, traffic: float, scores: float, sessions: int, *, quiet: bool
) -> dict[str, Any]:
    stream = Stream(
        scores_per_second=traffic * scores, sessions=sessions, judged=scores, audited=_audited(config, rule)
    )
    simulation = Simulation(rule, stream, rate)
    if simulation.is_noticeable(0):
        return _named(rule) | {"cannot_be_simulated": f"with {rate:g} of the values good its condition holds already"}
    falls = [fall for fall in FALLS if fall <= rate]
    with Progress(f"simulating values of {rule.name}", quiet=quiet) as progress:
        results = simulation.run(falls, progress)
    seconds = partial(_seconds, stream, rule.session_silence if sessions > 1 else 0.0)
    return _named(rule) | {
        "false_alarms": str(rule.false_alarms),
        "scores_per_hour": stream.scores_per_second * 3600,
        "missed_is_exact": simulation.is_whole_month,
        "sampling": _sampling_text(config, rule),
        "falls": [
            {
                "from": round(each.before, 6),
                "to": round(each.after, 6),
                "known_service": _delay_json(each.known, seconds),
                "new_service": _delay_json(each.new, seconds),
            }
            for each in results
        ],
    }


def _seconds(stream: Stream, silence: float, scores: float) -> float:
    """Return how long that many scores take to come; a session also waits for its end."""
    return scores / stream.scores_per_second + silence


def _named(rule: AlertRule) -> dict[str, Any]:
    return {"name": rule.name, "judge": rule.judge, "when": str(rule.when)}


def _delay_json(found: Delay | None, seconds: Callable[[float], float]) -> dict[str, Any] | None:
    """Return a delay for JSON, in scores and in seconds; None where the rule cannot notice the fall."""
    if found is None:
        return None
    values: dict[str, Any] = {"missed": found.missed}
    for name, scores in (("median", found.median), ("ninetieth", found.ninetieth)):
        noticed = math.isfinite(scores)
        values[f"{name}_scores"] = round(scores) if noticed else None
        values[f"{name}_seconds"] = round(seconds(scores)) if noticed else None
    return values


def _lines(found: dict[str, Any]) -> Iterator[str]:
    judge = f"{found['judge']} " if found["judge"] else ""
    if "cannot_be_simulated" in found:
        yield f"{found['name']}: {judge}{found['when']}"
        yield f"  cannot be simulated: {found['cannot_be_simulated']}"
        return
    per_hour = f"{found['scores_per_hour']:,.4g} {'scores' if judge else 'requests'} an hour"
    yield f"{found['name']}: {judge}{found['when']} (false alarms at most {found['false_alarms']}), {per_hour}"
    if found["sampling"]:
        yield f"  {found['sampling']}"
    for fall in found["falls"]:
        yield f"  {fall['from']:.2f} to {fall['to']:.2f}"
        for name in ("known_service", "new_service"):
            shown = _delay_text(fall[name], exact=found["missed_is_exact"])
            yield f"    {name.replace('_', ' '):13}  {shown}"


def _delay_text(found: dict[str, Any] | None, *, exact: bool) -> str:
    if found is None:
        return "not noticed: the rule allows it, or has nothing to compare with"
    missed = f"{'' if exact or not found['missed'] else 'at most '}{found['missed']:.1%}"
    return f"median {_amount(found, 'median')}, 90% within {_amount(found, 'ninetieth')}, missed {missed}"


def _amount(found: dict[str, Any], name: str) -> str:
    scores, seconds = found[f"{name}_scores"], found[f"{name}_seconds"]
    return "more than was simulated" if scores is None else f"{scores:,} scores ({time_text(seconds)})"
