"""The pages `/service/NAME`, a service with its judges, and `/service/NAME/judge/NAME`, one of them."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from qualitrace_monitors.estimate.estimator import Estimate
from qualitrace_monitors.estimate.series import Series, step_for
from qualitrace_monitors.estimate.sums import DAY, HOUR
from qualitrace_monitors.overview.traffic import TrafficSeries, traffic
from qualitrace_monitors.overview.trends import Trend
from qualitrace_monitors.overview.trusted import most_trusted
from qualitrace_monitors.web.charting import chart, line
from qualitrace_monitors.web.page import NotFound, Page, PageRequest, Sources
from qualitrace_monitors.web.pages import judge
from qualitrace_monitors.web.period import WINDOWS, Period
from qualitrace_monitors.web.sparkline import Sparkline

JUDGES = 100
"""Rows that are shown."""


@dataclass(frozen=True, slots=True, kw_only=True)
class JudgeRow:
    """A judge of the service; without scores in the period there is no estimate, and without any of a day no line."""

    judge: str
    estimate: Estimate | None
    threshold: float | None
    sparkline: Sparkline | None


def _context(sources: Sources, request: PageRequest) -> Mapping[str, Any]:
    match request.parts:
        case ("service", service):
            name = None
        case ("service", service, "judge", name):
            pass
        case _:
            raise NotFound("the address of a service is /service/NAME, with / in its name written %2F")
    period = Period.read(request.query, sources.clock())
    tiers = _tiers(sources, service)
    if not tiers and not _has_requests(sources, service):
        raise NotFound(f"there is no service {service[:200]!r}: nothing came from it within 30 days")
    shared = {
        "service": service,
        "judge": name,
        "period": period,
        "others": {key: request.query[key] for key in judge.KEPT if request.query.get(key)} if name else {},
        "windows": WINDOWS,
    }
    if name is None:
        return {**shared, **_service(sources, service, period, tiers)}
    if name not in tiers and all(name != configured.name for configured in sources.config.judges):
        raise NotFound(f"there is no judge {name[:200]!r} of {service[:200]!r}: it gave no score within 30 days")
    return {**shared, **judge.context(sources, request, service, name, period)}


def _tiers(sources: Sources, service: str) -> dict[str, list[str]]:
    """Return the judges that scored the service, with their tiers."""
    query = "SELECT DISTINCT judge, tier FROM score_day WHERE slice = '' AND service = ?"
    found: dict[str, list[str]] = {}
    for row in sources.database.rows(query, (service,)):
        found.setdefault(row["judge"], []).append(row["tier"])
    return found


def _has_requests(sources: Sources, service: str) -> bool:
    query = "SELECT 1 FROM last_seen WHERE judge = '' AND tier = '' AND service = ?"
    return bool(sources.database.rows(query, (service,)))


def _service(sources: Sources, service: str, period: Period, tiers: Mapping[str, list[str]]) -> Mapping[str, Any]:
    found = most_trusted(sources.estimator.estimates(period.end, period.seconds, service=service))
    hourly = sources.estimator.series(period.end, DAY, HOUR, service=service)
    series = {(each.judge, each.tier): each for each in hourly}
    rows = [_row(sources, service, name, found.get((service, name)), series, period) for name in sorted(tiers)]
    rows.sort(key=lambda row: 1.0 if row.estimate is None else row.estimate.pass_rate_interval[1])
    requests = traffic(sources.database, service, period.start, period.end, sources.clock(), step_for(period.seconds))
    silent = sorted({configured.name for configured in sources.config.judges} - set(tiers))
    return {
        "rows": rows[:JUDGES],
        "more_rows": max(0, len(rows) - JUDGES),
        "silent": silent[:JUDGES],
        "requests": requests,
        "charts_shown": _charts(requests, period) if requests.at else [],
    }


def _row(
    sources: Sources,
    service: str,
    name: str,
    estimate: Estimate | None,
    series: Mapping[tuple[str, str], Series],
    period: Period,
) -> JudgeRow:
    thresholds = judge.thresholds(sources, service, name, "pass_rate")
    threshold = max((value for value, _ in thresholds), default=None)
    drawn = series.get((name, "llm")) or next((each for (of, _), each in series.items() if of == name), None)
    return JudgeRow(
        judge=name,
        estimate=estimate,
        threshold=threshold,
        sparkline=None if drawn is None else Sparkline.of(_trend(drawn), threshold, period.end),
    )


def _trend(series: Series) -> Trend:
    ends = series.pass_rate_ends
    return Trend(step=series.step, window=DAY, at=series.at, rates=series.pass_rate, lower=ends.lower, upper=ends.upper)


def _charts(requests: TrafficSeries, period: Period) -> list[tuple[str, str, dict[str, Any]]]:
    """Return what each chart is called, what it shows, and the chart."""
    shown = (
        ("Requests", "number", requests.requests),
        ("Share of errors", "percent", requests.errors),
        ("Seconds that 95 % of the requests took at most", "seconds", requests.p95_seconds),
        ("Cost in US dollars", "usd", requests.usd),
    )
    return [
        (f"traffic-{number}", caption, chart(period, requests.step, [line(caption, requests.at, values)], unit))
        for number, (caption, unit, values) in enumerate(shown)
    ]


PAGE = Page("/service/{names:path}", "service.html", _context)
