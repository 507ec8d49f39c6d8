"""What experts say of answers through the feedback door, for the correction of estimates; MLflow has it, too."""

import sqlite3

from qualitrace_collector.person_feedback import PersonFeedback, read_label


class ExpertLabels:
    """Experts' labels, one of each expert for a trace under a name."""

    @staticmethod
    def put(connection: sqlite3.Connection, feedback: PersonFeedback, now: float) -> None:
        """Keep an opinion that is an expert's and says good or bad, in the caller's transaction; the newest holds."""
        good = read_label(feedback.value)
        if feedback.source == "expert" and good is not None:
            row = (feedback.mlflow_trace_id, feedback.name, feedback.user or "", good, now)
            connection.execute("INSERT OR REPLACE INTO expert_label VALUES (?, ?, ?, ?, ?)", row)
