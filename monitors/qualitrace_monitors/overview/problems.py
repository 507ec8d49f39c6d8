"""What is wrong with qualitrace itself, each with what that means for the reader and where to go on."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from qualitrace_collector.config.values import amount_text, duration_text
from qualitrace_collector.state import DeadLetters
from qualitrace_monitors.budget.spending import ALL, Balance
from qualitrace_monitors.component_names import JUDGE, MLFLOW, RECEIVER, STATE
from qualitrace_monitors.notify.outbox import LastDelivery, Waiting
from qualitrace_monitors.overview.components import NEEDING_MLFLOW, NEEDING_STATE, UNHEARD, of_component
from qualitrace_monitors.overview.inputs import Inputs, JournalState
from qualitrace_monitors.overview.problem import Problem, Severity
from qualitrace_monitors.overview.silent_judges import SilentJudge
from qualitrace_monitors.reload.channel import ReloadState

_ORDER: Sequence[Severity] = ("critical", "warning", "info")

LAG_SECONDS = 120.0
"""How long a request may wait beyond the assembly of its trace: a batch is stored each second."""
FULL_SHARE, SPENT_SHARE = 0.5, 0.9
"""How full the journal is, and how much of a budget is spent, when it is shown: time is left to do something."""
LEAST_FREE_BYTES = 1 << 29
"""Free space of the disk: the journal, the state and MLflow's own database grow there, each with a write-ahead log."""
SLOWED_SHARE = 0.5
"""A judge is shown if its budgets let it score less than that share of its rate."""


@dataclass(frozen=True, slots=True)
class Receiver:
    """A receiver: what waits for it, and how the last attempt ended; None if there was none."""

    name: str
    waiting: Waiting | None
    last: LastDelivery | None


@dataclass(frozen=True, slots=True)
class Rate:
    """The share of the traces that a judge is to score, and the one that its budgets let it score."""

    judge: str
    configured: float
    effective: float


def find_problems(
    inputs: Inputs,
    now: float,
    *,
    journal: JournalState | None,
    receivers: Sequence[Receiver],
    balances: Sequence[Balance],
    rates: Sequence[Rate],
    silent: Sequence[SilentJudge],
) -> list[Problem]:
    """Return what is wrong, the most urgent first."""
    unheard = {f"{RECEIVER}:{receiver.name}" for receiver in receivers if receiver.last and receiver.last.problem}
    components = {name: text for name, text in inputs.problems().items() if text and name not in unheard}
    for cause, waiting in ((STATE, NEEDING_STATE), (MLFLOW, NEEDING_MLFLOW)):
        if cause in components:
            components = {name: text for name, text in components.items() if name.partition(":")[0] not in waiting}
    failing = {name.partition(":")[2].partition("/")[0] for name in components if name.startswith(f"{JUDGE}:")}
    found = [
        *_of_journal(journal, now, inputs.config.assembly.max_open),  # first: a full disk explains what follows
        *(of_component(name, text, inputs.since(name)) for name, text in components.items()),
        *_of_receivers(receivers),
        *_of_dead_letters(inputs),
        *_of_reload(inputs.reload_state()),
        *(_of_silent(each) for each in silent if each.judge not in failing),
        *_of_budgets(balances),
        *_of_rates(rates),
        *_of_rules(inputs),
    ]
    return sorted(found, key=lambda problem: _ORDER.index(problem.severity))


def _of_receivers(receivers: Sequence[Receiver]) -> Iterator[Problem]:
    for receiver in receivers:
        last, waiting = receiver.last, receiver.waiting
        if last is None or not last.problem:
            continue
        count = waiting.notifications if waiting else 0
        waits = f"{count} wait{'s' if count == 1 else ''}" if count else "none waits"
        yield Problem(
            kind="receiver",
            severity="critical",
            subject=receiver.name,
            text=f"{last.reason or last.problem}; {waits}",
            meaning=UNHEARD,
            since=waiting.oldest_at if waiting else last.at,
            runbook="given-up" if last.outcome == "given_up" else "receivers",
        )


def _of_journal(journal: JournalState | None, now: float, max_open: float) -> Iterator[Problem]:
    if journal is None:
        yield Problem(
            kind="journal",
            severity="critical",
            text="the journal cannot be read",
            meaning="Requests that were acked are not stored until it can.",
            runbook="not-ready",
        )
        return
    oldest = journal.oldest_at
    if oldest is not None and now - oldest > max_open + LAG_SECONDS:
        yield Problem(
            kind="journal",
            severity="warning",
            text=f"{journal.requests:,} requests wait, the oldest for {duration_text(round(now - oldest))}",
            meaning="The figures below are that old: newer traces are safe on disk, but not stored or judged yet.",
            since=oldest,
            runbook="journal-lag",
        )
    if journal.bytes > FULL_SHARE * journal.max_bytes:
        yield Problem(
            kind="journal",
            severity="critical" if journal.bytes > SPENT_SHARE * journal.max_bytes else "warning",
            text=f"the journal is {journal.bytes / journal.max_bytes:.0%} full",
            meaning="When it is full, applications' requests are refused (journal.max_size).",
            runbook="journal-lag",
        )
    if journal.free_bytes < LEAST_FREE_BYTES:
        yield Problem(
            kind="disk",
            severity="critical",
            text=f"{journal.free_bytes / 1e6:,.0f} MB are left on the disk of data_dir",
            meaning="When it is full, applications' requests are refused and nothing is stored.",
            runbook="not-ready",
        )


def _of_dead_letters(inputs: Inputs) -> Iterator[Problem]:
    if count := DeadLetters(inputs.database).count():
        yield Problem(
            kind="dead_letters",
            severity="warning",
            text=f"{count:,} trace{'s' if count != 1 else ''} could not be stored, and wait for somebody to decide",
            meaning="They are missing from every figure. `qualitrace journal` shows why, and can store them again.",
            runbook="dead-letters",
        )


def _of_reload(reload: ReloadState | None) -> Iterator[Problem]:
    if reload and not reload.successful:
        first = reload.mistakes[0] if reload.mistakes else "see the log"
        more = f" and {len(reload.mistakes) - 1} more mistakes" if len(reload.mistakes) > 1 else ""
        yield Problem(
            kind="configuration",
            severity="warning",
            text=f"the file was refused: {first}{more}",
            meaning="The server runs with what the file held before; changes since then are not in force.",
            runbook="reload",
        )


def _of_silent(silent: SilentJudge) -> Problem:
    return Problem(
        kind="no_scores",
        severity="info" if silent.is_meant else "warning",
        subject=silent.judge,
        text=f"no score {'yet' if silent.last_at is None else 'for a while'}, although traces come: {silent.reason}",
        meaning="Its figures say nothing about current answers; alerts on them see nothing new.",
        since=silent.last_at,
        runbook="freshness" if silent.waiting else "",
    )


def _of_budgets(balances: Sequence[Balance]) -> Iterator[Problem]:
    for balance in balances:
        limit = balance.limit
        share = balance.spent / limit.amount if limit.amount else 1.0
        if share < SPENT_SHARE and balance.remaining > 0:
            continue
        unit = "USD" if limit.unit == "usd" else "tokens"
        period = {"hour": "an hour", "day": "a day"}[limit.window]
        spent = balance.remaining <= 0
        yield Problem(
            kind="budget",
            severity="warning",
            subject="" if limit.judge == ALL else limit.judge,
            text=f"{share:.0%} of {amount_text(limit.amount, 6)} {unit} {period} is spent",
            meaning="Its judges make no call until the next one begins: what they would score waits."
            if spent
            else "When it is spent, its judges make no call until the next one begins.",
            runbook="budget",
        )


def _of_rates(rates: Sequence[Rate]) -> Iterator[Problem]:
    for rate in rates:
        if rate.effective < SLOWED_SHARE * rate.configured:
            yield Problem(
                kind="rate",
                severity="info",
                subject=rate.judge,
                text=f"it scores {rate.effective:.1%} of traces, not {rate.configured:.0%}, to stay within its budget",
                meaning="Intervals are wider, and alerts take longer.",
                runbook="budget",
            )


def _of_rules(inputs: Inputs) -> Iterator[Problem]:
    rules = inputs.alerts.rules
    if not rules:
        yield Problem(
            kind="no_alert_rules",
            severity="info",
            text="no alert rules are configured",
            meaning="Nobody is notified when quality falls. Add rules to `alerts` in the configuration file.",
        )
    silent = [rule.name for rule in rules if not rule.notify]
    if silent:
        names = ", ".join(silent[:3]) + (f" and {len(silent) - 3} more" if len(silent) > 3 else "")
        yield Problem(
            kind="nobody_notified",
            severity="info",
            text=f"{len(silent)} of {len(rules)} alert rules notify nobody: {names}",
            meaning="They show only here and in the metrics. Name receivers in `notify` of the rule.",
        )
