"""The ordered, durable log of acked OTLP requests: `receive` appends, `work` reads and deletes."""

from qualitrace_collector.journal.committer import GroupCommitter
from qualitrace_collector.journal.entry import (
    Counts,
    ForeignTraces,
    JournalEntry,
    JournalError,
    JournalFull,
    JournalUnavailable,
    SignalName,
)
from qualitrace_collector.journal.sqlite import SqliteJournal

__all__ = [
    "Counts",
    "ForeignTraces",
    "GroupCommitter",
    "JournalEntry",
    "JournalError",
    "JournalFull",
    "JournalUnavailable",
    "SignalName",
    "SqliteJournal",
]
