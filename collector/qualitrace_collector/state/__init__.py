"""The state database: what happened to each trace, what waits to be judged, what was given up.

`schema` has the tables; each other module has all queries of its own.
"""

from qualitrace_collector.state.coverage import Count, Counted, CoverageTotals, Spent
from qualitrace_collector.state.database import Database, StateError, read_only
from qualitrace_collector.state.dead_letters import DeadLetter, DeadLetters
from qualitrace_collector.state.expert_labels import ExpertLabels
from qualitrace_collector.state.ledger import Ledger, TraceOutcome, TraceRecord, UnfinishedTrace
from qualitrace_collector.state.opinions import Opinions
from qualitrace_collector.state.queue import JudgeQueue, JudgeTask
from qualitrace_collector.state.waiting import EarlyLogs

__all__ = [
    "Count",
    "Counted",
    "CoverageTotals",
    "Database",
    "DeadLetter",
    "DeadLetters",
    "EarlyLogs",
    "ExpertLabels",
    "JudgeQueue",
    "JudgeTask",
    "Ledger",
    "Opinions",
    "Spent",
    "StateError",
    "TraceOutcome",
    "TraceRecord",
    "UnfinishedTrace",
    "read_only",
]
