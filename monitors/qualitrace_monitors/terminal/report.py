"""What `qualitrace status` shows of a server's `/status.json`, as tables of texts."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from qualitrace_collector.config.values import amount_text, duration_text
from qualitrace_monitors.moments import instant
from qualitrace_monitors.terminal.output import printable

HEADLINES = {
    "problems": "something is wrong",
    "ok": "nothing is wrong",
    "no_scores": "nothing is wrong, and there is no score yet",
    "no_traces": "nothing is wrong, and no trace came yet",
}

_Fields = Mapping[str, Any]


class Section(NamedTuple):
    """A table with a title; `left_out` counts rows that the server left out."""

    title: str
    columns: Sequence[str]
    rows: Sequence[Sequence[str]]
    left_out: int = 0


def headline(status: _Fields) -> str:
    """Return what the reader should know first."""
    return HEADLINES.get(status["status"], printable(str(status["status"])))


def sections(status: _Fields) -> list[Section]:
    """Return the tables, those without rows left out."""
    at = float(status["at"])
    found = [
        Section("problems", ("severity", "what", "since", "text"), [_problem(each, at) for each in status["problems"]]),
        Section(
            "alerts",
            ("state", "severity", "rule", "service", "value", "condition", "since"),
            [_alert(each, at) for each in status["alerts"]],
            status["alerts_left_out"],
        ),
        Section(
            f"services, the last {duration_text(status['window_seconds'])}",
            ("service", "judge", "state", "pass rate", "scores", "before", "requests", "errors", "p95", "cost"),
            [row for each in status["services"] for row in _service(each)],
            status["services_left_out"],
        ),
        Section(
            "deliveries", ("receiver", "last", "at", "waiting", "why"), [_receiver(r, at) for r in status["receivers"]]
        ),
        Section("lag", ("what", "waiting", "oldest", "last"), _lag(status, at)),
        Section("budgets", ("judge", "window", "spent", "limit"), [_budget(each) for each in status["budgets"]]),
        Section("sampling", ("judge", "rate", "configured"), [_rate(each) for each in status["rates"]]),
    ]
    return [section for section in found if section.rows]


def _problem(problem: _Fields, at: float) -> list[str]:
    what = f"{problem['kind']} {problem['subject']}".strip()
    return _printable(problem["severity"], what, _since(problem["since"], at), problem["text"])


def _alert(alert: _Fields, at: float) -> list[str]:
    value = alert["shown"] or "no data"
    if alert["value"] is not None and alert["interval"]:
        value += " ({:.3g} – {:.3g})".format(*alert["interval"])
    about = f"{alert['judge']} {alert['condition']}".strip()
    since = _since(alert["since"], at)
    return _printable(alert["state"], alert["severity"], alert["rule"], alert["service"], value, about, since)


def _service(service: _Fields) -> Iterator[list[str]]:
    """Yield a line for each judge; the traffic stands in the first."""
    traffic = [
        f"{service['requests']:,}",
        f"{service['errors']:,}",
        "-" if service["p95_seconds"] is None else f"{amount_text(service['p95_seconds'], 3)} s",
        f"{amount_text(service['usd'])} USD",
    ]
    for judge in service["judges"] or [None]:
        if judge is None:
            yield _printable(service["service"], "-", service["state"] or "-", "-", "0", "-", *traffic)
            return
        now = judge["now"]
        samples = "0" if now is None else f"{now['samples']:,}"
        name = f"{judge['judge']} ({judge['tier']})" if judge["tier"] else judge["judge"]
        state = judge["state"] or "-"
        yield _printable(
            service["service"], name, state, _rate_text(now), samples, _rate_text(judge["before"]), *traffic
        )
        traffic = [""] * len(traffic)


def _rate_text(estimate: _Fields | None) -> str:
    if estimate is None:
        return "-"
    low, high = estimate["pass_rate_interval"]
    point = "unsure" if estimate["pass_rate"] is None else f"{estimate['pass_rate']:.1%}"
    return f"{point} ({low:.1%} – {high:.1%})"


def _receiver(receiver: _Fields, at: float) -> list[str]:
    last, reason = receiver["outcome"] or "none yet", receiver["reason"]
    waiting = f"{receiver['waiting']:,}"
    return _printable(receiver["receiver"], last, _since(receiver["last_attempt_at"], at), waiting, reason or "-")


def _lag(status: _Fields, at: float) -> list[list[str]]:
    journal, rows = status["journal"], list[list[str]]()
    if journal is not None:
        waiting = f"{journal['requests']:,} requests, {journal['bytes'] / (1 << 20):,.1f} MiB"
        rows.append(
            ["traces to be stored", waiting, _since(journal["oldest_at"], at), _since(status["traces"]["last_at"], at)]
        )
    scores = status["scores"]
    rows.append(["samples to be judged", f"{scores['waiting']:,}", "-", _since(scores["last_at"], at)])
    return rows


def _budget(budget: _Fields) -> list[str]:
    judge = "all" if budget["judge"] == "*" else budget["judge"]
    unit = str(budget["unit"])
    return _printable(
        judge,
        budget["window"],
        f"{amount_text(budget['spent'], 6)} {unit}",
        f"{amount_text(budget['limit'], 6)} {unit}",
    )


def _rate(rate: _Fields) -> list[str]:
    return _printable(rate["judge"], f"{rate['effective']:.3g}", f"{rate['configured']:.3g}")


def _since(at: float | None, now: float) -> str:
    """Write a moment, and how long ago it was."""
    if at is None:
        return "-"
    return f"{instant(at)} ({duration_text(max(0, round(now - at)))} ago)"


def _printable(*cells: Any) -> list[str]:
    return [printable(str(cell)) for cell in cells]
