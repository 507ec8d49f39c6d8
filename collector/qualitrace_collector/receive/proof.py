"""Proves every other second that requests can be acked, for `/readyz`, which another process answers.

The proof is a commit in the journal itself, where `work` sees it: it tells that the disk takes what senders send, that
the journal has room, and that this process's event loop runs.
"""

import asyncio
from contextlib import suppress

from qualitrace_collector.journal import JournalError, SqliteJournal
from qualitrace_collector.receive.intake import Intake

PROOF_SECONDS = 2.0


async def prove(journal: SqliteJournal, intake: Intake) -> None:
    """Prove it again and again; after a refusal only what is as large as the refused request is a proof."""
    while True:
        with suppress(JournalError):
            await asyncio.to_thread(journal.prove, intake.refused_bytes)
            intake.refused_bytes = 0
        await asyncio.sleep(PROOF_SECONDS)
