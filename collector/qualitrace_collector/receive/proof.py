"""Proves every other second that requests can be acked, for `/readyz`, which another process answers.

The proof is a commit in the journal itself, where `work` sees it: it shows that the disk takes what senders send, that
the journal has room, and that this process's event loop runs.
"""

import asyncio
import logging

from qualitrace_collector.journal import JournalError, SqliteJournal
from qualitrace_collector.receive.intake import Intake

PROOF_SECONDS = 2.0

_log = logging.getLogger(__name__)


async def prove(journal: SqliteJournal, intake: Intake) -> None:
    """Prove it again and again; after a refusal only what is as large as the refused request is a proof."""
    failing = False  # so that the log has one line when it begins and one when it ends
    while True:
        size = intake.refused_bytes
        try:
            await asyncio.to_thread(journal.prove, size)
        except JournalError as error:
            if not failing:
                _log.warning("OTLP cannot be acked: %s", error)
            failing = True
        else:
            if failing:
                _log.warning("OTLP can be acked again")
            failing = False
            if intake.refused_bytes == size:  # else a larger request was refused meanwhile
                intake.refused_bytes = 0
        await asyncio.sleep(PROOF_SECONDS)
