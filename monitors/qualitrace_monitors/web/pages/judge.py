"""What the page of one judge of a service shows."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any
from urllib.parse import urlencode

from qualitrace_collector.state.schema import BINS
from qualitrace_monitors.alerts.rule_watch import RuleWatch
from qualitrace_monitors.alerts.settings import AlertRule
from qualitrace_monitors.estimate.corrected import correct
from qualitrace_monitors.estimate.difference import difference
from qualitrace_monitors.estimate.distribution import distribution
from qualitrace_monitors.estimate.estimator import JOINED, Quantity
from qualitrace_monitors.estimate.releases import Release, releases
from qualitrace_monitors.estimate.scores import KEEP_SECONDS
from qualitrace_monitors.estimate.sequence import Sequence as SinceRelease
from qualitrace_monitors.estimate.series import Series, step_for
from qualitrace_monitors.estimate.sums import HOUR, MINUTE, SLICED
from qualitrace_monitors.notify import history
from qualitrace_monitors.notify.history import Event
from qualitrace_monitors.overview.trusted import most_trusted
from qualitrace_monitors.web.charting import chart, line
from qualitrace_monitors.web.page import BadQuery, PageRequest, Sources
from qualitrace_monitors.web.pages.answers import shown
from qualitrace_monitors.web.part_names import PartNames
from qualitrace_monitors.web.period import LONGEST, Period

EVENTS = 20
"""Alerts that are marked, the newest ones."""
KEPT = ("tier", "by")
"""Parameters that stay when another period is chosen: the values that are compared may have no scores in it."""
QUANTITIES: tuple[Quantity, ...] = ("pass_rate", "mean_score")


@dataclass(frozen=True, slots=True, kw_only=True)
class _Asked:
    """What the reader chose: whose scores, by what they are told apart, and which two values are compared."""

    tier: str
    by: str
    a: str
    b: str

    @classmethod
    def read(cls, query: Mapping[str, str], tiers: Sequence[str]) -> "_Asked":
        tier, by = query.get("tier", ""), query.get("by", "") or "release"
        if tier and tier not in tiers:
            raise BadQuery(f"tier must be one of {', '.join(tiers) or 'those that have scores'} (got {tier[:40]!r})")
        if by not in SLICED:
            raise BadQuery(f"by must be one of {', '.join(SLICED)} (got {by[:40]!r})")
        return cls(tier=tier, by=by, a=query.get("a", ""), b=query.get("b", ""))


def thresholds(sources: Sources, service: str, name: str, quantity: Quantity) -> list[tuple[float, str]]:
    """Return the thresholds of the rules on a quantity of the judge's scores of a service, each with its rule's name.

    That of a drop from the baseline is known once the baseline is.
    """
    found = ((_threshold(sources, service, rule), rule) for rule in rules(sources, service, name))
    return sorted(
        (threshold, rule.name) for threshold, rule in found if threshold is not None and rule.when.quantity == quantity
    )


def _threshold(sources: Sources, service: str, rule: AlertRule) -> float | None:
    if rule.when.kind != "scores":
        return None
    if not rule.when.reference:
        return rule.when.threshold
    watch = RuleWatch.load(sources.database.connection(), rule, service, sources.clock())
    return None if watch is None else watch.fallen_below


def rules(sources: Sources, service: str, name: str) -> list[AlertRule]:
    """Return the rules about the judge's scores of a service."""
    return [rule for rule in sources.alerts.rules if rule.judge == name and rule.covers(service)]


def context(sources: Sources, request: PageRequest, service: str, name: str, period: Period) -> Mapping[str, Any]:
    """Return what the template shows.

    Raises:
        BadQuery: a parameter cannot be read.
    """
    estimator, end = sources.estimator, period.end
    estimates = estimator.estimates(end, period.seconds, judge=name, service=service)
    asked = _Asked.read(request.query, [each.tier for each in estimates])
    names = PartNames(shown(sources, request), sources.names_key)
    trusted = most_trusted(estimates).get((service, name))
    main = next((each for each in estimates if each.tier == asked.tier), trusted)
    scored = "llm" if main is not None and main.tier == JOINED else main.tier if main is not None else ""
    charted = _charted(period)
    step = step_for(charted.seconds, main.samples if main is not None else 0)
    series = _series(sources, charted, step, service, name, "" if main is None else main.tier)
    is_before_kept = period.start - period.seconds >= sources.clock() - KEEP_SECONDS
    # Estimates are by whole minutes: that of the start belongs to the period itself.
    at = period.start - MINUTE
    before = estimator.estimates(at, period.seconds, judge=name, service=service) if is_before_kept else []
    events = _events(sources, service, name, charted)
    sequences = estimator.sequences(judge=name, service=service)
    found = _release_times(sources, service, name, charted, sequences)
    marks = _marks([replace(each, name=names.shown(each.name)) for each in found], events, charted)
    return {
        "asked": asked,
        "main": main,
        "scored": scored,
        "before": next((each for each in before if main is not None and each.tier == main.tier), None),
        "is_before_kept": is_before_kept,
        "estimates": estimates,
        "corrected": {each.of.tier: each for each in correct(sources.database, estimates)},
        "rules": [(rule, _threshold(sources, service, rule)) for rule in rules(sources, service, name)],
        "series": series,
        "charted": charted,
        "charts_shown": [] if series is None else _charts(sources, service, name, charted, series, marks),
        "events": events,
        "sequences": sequences,
        "bins": _bins(distribution(sources.database, name, service, scored, period.start, end)),
        "last_score": _last_seen(sources, name, service),
        "last_trace": _last_seen(sources, "", service),
        "slices": SLICED,
        "fields": {**period.fields, **{key: request.query[key] for key in KEPT if request.query.get(key)}},
        "answers": urlencode({"service": service, "judge": name, **period.fields, "verdict": "fail"}),
        "shown_name": names.shown,
        **_slices(sources, service, name, period, scored, asked, names),
    }


def _charted(period: Period) -> Period:
    """Return what the charts cover: before an open `from`, which is where a notification saw the change, as much again.

    Without that the charts of a notification's link begin after the fall.
    """
    if "from" not in period.fields or "to" in period.fields:
        return period
    return replace(period, start=max(period.start - max(period.seconds, HOUR), period.end - LONGEST))


def _series(sources: Sources, period: Period, step: float, service: str, name: str, tier: str) -> Series | None:
    """Return the estimates in steps of the tier that the page is about."""
    if tier == JOINED:
        return sources.estimator.joined_series(period.end, period.seconds, step, judge=name, service=service)
    found = sources.estimator.series(period.end, period.seconds, step, judge=name, service=service)
    return next((each for each in found if each.tier == tier), None)


def _events(sources: Sources, service: str, name: str, period: Period) -> list[Event]:
    """Return the alerts on the judge, or the whole service, that fired or ended in the period."""
    found = history.events(sources.database, 5 * EVENTS, service=service, since=period.start)
    return [each for each in found if each.judge in ("", name) and each.fired_at <= period.end][:EVENTS]


def _charts(
    sources: Sources, service: str, name: str, period: Period, series: Series, marks: list[dict[str, Any]]
) -> list[tuple[str, str, dict[str, Any]]]:
    """Return the name of each chart, what it shows, and the chart."""
    at, step = series.at, series.step
    limits = {
        quantity: [
            {"value": value, "label": label[:40]} for value, label in thresholds(sources, service, name, quantity)
        ]
        for quantity in QUANTITIES
    }
    return [
        (
            "pass-rate",
            "Pass rate, with the 95 % interval of each step",
            chart(period, step, [line("pass rate", at, series.pass_rate, series.pass_rate_ends)], "percent",
                  range=[0, 1], thresholds=limits["pass_rate"], marks=marks),
        ),
        (
            "mean-score",
            "Mean score, with the 95 % interval of each step",
            chart(period, step, [line("mean score", at, series.mean_score, series.mean_score_ends)], "number",
                  range=[0, 1], thresholds=limits["mean_score"], marks=marks),
        ),
        ("volume", "Scores", chart(period, step, [line("scores", at, series.samples)], "number")),
        (
            "shares",
            "Share of traces that were scored, and of scores that are unsure",
            chart(period, step, [line("sampled", at, series.sampling_rate), line("unsure", at, series.unsure_share)],
                  "percent", range=[0, 1]),
        ),
    ]  # fmt: skip


def _release_times(
    sources: Sources, service: str, name: str, period: Period, sequences: Sequence[SinceRelease]
) -> list[Release]:
    """Return the releases of a period: known by the hour, and the newest one by its first score in that hour."""
    began = {each.release: each.began_at for each in reversed(sequences)}
    found = releases(sources.database, name, service, period.start // HOUR * HOUR)
    return [
        replace(each, first_seen=at)
        if (at := began.get(each.name, 0.0)) and each.first_seen <= at < each.first_seen + HOUR
        else each
        for each in found
    ]


def _marks(found: Sequence[Release], events: Sequence[Event], period: Period) -> list[dict[str, Any]]:
    marks = [(release.first_seen, f"release {release.name}", "release") for release in found]
    for event in events:
        marks.append((event.fired_at, event.rule, "alert"))
        if event.resolved_at is not None:
            marks.append((event.resolved_at, f"{event.rule} resolved", "resolved"))
    return [
        {"at": round(at), "label": label[:40], "kind": kind}
        for at, label, kind in sorted(marks)
        if period.start <= at <= period.end
    ]


def _slices(
    sources: Sources, service: str, name: str, period: Period, scored: str, asked: _Asked, names: PartNames
) -> Mapping[str, Any]:
    """Return the estimates by the values of a slice, most scores first, and how the chosen two differ."""
    slices = sources.estimator.slices(asked.by, period.end, period.seconds, judge=name, service=service)
    found = {value: estimate for value, estimate in slices if estimate.tier == scored}
    by_count = sorted(found.items(), key=lambda item: (-item[1].samples, item[0]))
    chosen = tuple(names.find(text, found) for text in (asked.a, asked.b))
    a, b = (found.get(value) for value in chosen)
    compared: list[tuple[Quantity, Any]] = []
    if a is not None and b is not None and a is not b:
        compared = [(quantity, difference(a, b, quantity)) for quantity in QUANTITIES]
    return {
        "by_value": [(value, names.address(value), estimate) for value, estimate in by_count],
        "chosen": chosen,
        "compared": compared,
        "missing": [value[:80] for value in chosen if value and value not in found],
    }


def _bins(shares: Sequence[float]) -> list[tuple[float, float, float]]:
    """Return from which value to which one each bin goes, and its share."""
    return [(place / BINS, (place + 1) / BINS, share) for place, share in enumerate(shares)]


def _last_seen(sources: Sources, name: str, service: str) -> float | None:
    query = "SELECT max(at) FROM last_seen WHERE judge = ? AND service = ?"
    return sources.database.rows(query, (name, service))[0][0]
