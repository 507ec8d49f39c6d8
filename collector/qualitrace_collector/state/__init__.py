"""The state database: what happened to each trace, what waits to be judged, what was given up."""

from qualitrace_collector.state.counted import Count, Counted, Spent
from qualitrace_collector.state.coverage import CoverageTotals
from qualitrace_collector.state.database import Database, StateError
from qualitrace_collector.state.dead_letters import DeadLetter, DeadLetters
from qualitrace_collector.state.early_logs import EarlyLogs
from qualitrace_collector.state.ledger import Ledger, TraceRecord
from qualitrace_collector.state.queue import JudgeQueue, JudgeTask
from qualitrace_collector.state.unfinished import Unfinished, UnfinishedTrace

__all__ = [
    "Count",
    "Counted",
    "CoverageTotals",
    "Database",
    "DeadLetter",
    "DeadLetters",
    "EarlyLogs",
    "JudgeQueue",
    "JudgeTask",
    "Ledger",
    "Spent",
    "StateError",
    "TraceRecord",
    "Unfinished",
    "UnfinishedTrace",
]
