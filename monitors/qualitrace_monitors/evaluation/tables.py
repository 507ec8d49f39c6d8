"""The tables and lines that `qualitrace evaluate` prints."""

from collections.abc import Iterator, Sequence
from statistics import mode
from typing import TYPE_CHECKING

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table

if TYPE_CHECKING:  # MLflow, which these import, takes seconds and reads the settings that the command makes first
    from qualitrace_monitors.estimate.interval import Interval
    from qualitrace_monitors.evaluation.result import Evaluation, Gate, ScoredRow
    from qualitrace_monitors.evaluation.summary import MetricSummary

WORST = 5
SHOWN_KEYS = 10  # missing rows whose keys are shown; `qualitrace/scores.json` names all
_WORDS = {
    "below": "below: the whole interval is under the threshold",
    "undecided": "not shown to be below: the interval holds the threshold; more rows would decide",
    "incomplete": "not passed: rows are missing",
    "met": "met: the whole interval is at or over the threshold",
}


def show(evaluation: "Evaluation", console: Console) -> None:
    """Print the summaries, the comparison, the gate and the worst rows."""
    console.print(_metrics_table(evaluation))
    for gap in _gaps(evaluation):
        console.print(gap, highlight=False, markup=False)
    for line in missing_lines(evaluation):
        console.print(line, style="red", markup=False)
    if failures := evaluation.failures:
        console.print(f"{len(failures)} rows have no answer: {mode(failures)}", style="red", markup=False)
    if evaluation.comparisons:
        console.print(_comparison_table(evaluation))
    for gate in evaluation.gates:
        style = "red" if gate.verdict in ("below", "incomplete") else None
        console.print(gate_line(gate), style=style, highlight=False)
    if worst := evaluation.worst_rows(WORST):
        console.print(_worst_table(worst))
    spent = sum(summary.tokens for summary in evaluation.metrics.values())
    if spent:
        cost = sum(summary.cost_usd for summary in evaluation.metrics.values())
        console.print(f"models took {spent} tokens, {cost:.4f} USD where the price is known", highlight=False)
    console.print(f"run {evaluation.run_id} in experiment {evaluation.experiment!r}", highlight=False)


def gate_line(gate: "Gate") -> str:
    """Return one condition of the gate with what the interval says of it."""
    found = f"{_number(gate.point)} ({_interval(gate.interval)})"
    unknown = gate.point is None and not gate.missing
    words = "nothing is known: no row was scored" if unknown else _WORDS[gate.verdict]
    return f"fail-under {gate.name}={gate.threshold:g}: {found}: {words}"


def _metrics_table(evaluation: "Evaluation") -> Table:
    title = f"{len(evaluation.rows)} rows, intervals at {evaluation.confidence:.0%}"
    table = _table(title, "metric", "mean", "pass rate", "unsure", "scored", no_wrap=True)
    for summary in evaluation.metrics.values():
        tier = "" if summary.tier == "local" else f" ({summary.tier})"
        table.add_row(f"{summary.metric}{tier}", *_cells(summary))
    return table


def _table(title: str, name: str, *numbers: str, no_wrap: bool = False) -> Table:
    table = Table(title=title, box=SIMPLE_HEAD)
    table.add_column(name, no_wrap=no_wrap)
    for number in numbers:
        table.add_column(number, justify="right", no_wrap=no_wrap)
    return table


def _cells(summary: "MetricSummary") -> list[str]:
    scored = str(summary.scored) if summary.scored == summary.read else f"{summary.scored} of {summary.read}"
    if not summary.scored:
        return ["-", "-", "-", scored]
    mean = f"{_number(summary.mean)} ({_interval(summary.mean_interval)})"
    pass_rate = f"{_number(summary.pass_rate)} ({_interval(summary.pass_rate_interval)})"
    return [mean, pass_rate, f"{summary.unsure_share:.0%}", scored]


def _gaps(evaluation: "Evaluation") -> Iterator[str]:
    """Yield a line for each metric that did not score all rows: how many, and the most frequent reason."""
    for summary in evaluation.metrics.values():
        counts = {"not applicable": summary.not_applicable, "failed": summary.failed, "missing": summary.missing}
        if lacking := ", ".join(f"{count} {word}" for word, count in counts.items() if count):
            yield f"{summary.metric}: {lacking}" + (f": {summary.reason}" if summary.reason else "")


def missing_lines(evaluation: "Evaluation") -> Iterator[str]:
    """Yield which rows have no score in MLflow, metrics of the same rows together, and what else the run lacks."""
    metrics_of: dict[tuple[str, ...], list[str]] = {}
    for metric, keys in evaluation.missing.items():
        metrics_of.setdefault(tuple(keys), []).append(metric)
    for keys, metrics in metrics_of.items():
        named = ", ".join(keys[:SHOWN_KEYS]) + (f" and {len(keys) - SHOWN_KEYS} more" if keys[SHOWN_KEYS:] else "")
        why = next(row.missing[metrics[0]] for row in evaluation.rows if row.key == keys[0])
        rows = f"{len(keys)} of {len(evaluation.rows)} rows are missing in MLflow ({named})"
        yield f"{', '.join(metrics)}: {rows}: {why}"
    if evaluation.unlogged:
        reasons = "; ".join(dict.fromkeys(evaluation.unlogged.values()))
        yield f"run {evaluation.run_id} lacks {', '.join(evaluation.unlogged)}: {reasons}"


def _comparison_table(evaluation: "Evaluation") -> Table:
    interval = f"{evaluation.confidence:.0%} interval"
    table = _table(f"against run {evaluation.baseline}", "metric", "pairs", "difference", interval, "p")
    for comparison in evaluation.comparisons:
        if comparison.difference is None:
            table.add_row(comparison.metric, str(comparison.pairs), comparison.reason, "", "")
            continue
        lower, upper = comparison.interval
        difference, p_value = f"{comparison.difference:+.2f}", _p_value(comparison.p_value)
        table.add_row(comparison.metric, str(comparison.pairs), difference, f"{lower:+.2f} – {upper:+.2f}", p_value)
    return table


def _worst_table(rows: "Sequence[ScoredRow]") -> Table:
    table = Table(title="worst rows", box=SIMPLE_HEAD)
    for name in ("question", "answer", "failed", "why"):
        table.add_column(name, overflow="fold", no_wrap=name == "failed")
    for row in rows:
        metric, score = row.worst
        table.add_row(_short(row.question), _short(row.answer), f"{metric} {score.value:.2f}", _short(score.rationale))
    return table


def _p_value(value: float | None) -> str:
    """Write a p-value as journals do: three digits, and no 0, which no test finds."""
    return "-" if value is None else "< 0.001" if value < 0.001 else f"{value:.3f}"


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.2f}"


def _interval(interval: "Interval") -> str:
    return f"{interval[0]:.2f}–{interval[1]:.2f}"


def _short(text: str) -> str:
    return text if len(text) <= 120 else f"{text[:119]}…"
