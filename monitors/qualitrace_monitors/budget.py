"""What LLM judges have spent today, against the configured limits."""

from qualitrace_collector.config.quality import Budget
from qualitrace_collector.state import Database

DAY_SECONDS = 86_400.0


class Spending:
    """Reads the spend from the score table, so that it outlives restarts."""

    def __init__(self, budget: Budget, database: Database) -> None:
        self._budget = budget
        self._database = database

    def exhausted(self, now: float) -> bool:
        """Whether a limit of the UTC day of `now` (Unix seconds) is reached."""
        budget = self._budget
        if budget.usd_per_day is None and budget.tokens_per_day is None:
            return False
        midnight = now - now % DAY_SECONDS
        row = (
            self._database.connection()
            .execute(
                "SELECT coalesce(sum(cost_usd), 0), coalesce(sum(tokens), 0) FROM score "
                "WHERE tier = 'llm' AND scored_at >= ?",
                (midnight,),
            )
            .fetchone()
        )
        spent_usd, spent_tokens = float(row[0]), int(row[1])
        return (budget.usd_per_day is not None and spent_usd >= budget.usd_per_day) or (
            budget.tokens_per_day is not None and spent_tokens >= budget.tokens_per_day
        )
