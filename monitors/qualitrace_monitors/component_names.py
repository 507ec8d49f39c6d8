"""The names of the server's components, as `/readyz` and `qualitrace_up` have them.

Most are those of the threads that do the work. Where there are several of a kind, a colon and the name of one follow.
"""

OTLP = "otlp"
"""The component without which senders must go elsewhere. What the others cannot do now is done later."""
STATE = "state_database"
"""The component that all but receiving needs: the state database."""
MLFLOW = "mlflow"

STORING, FEEDBACK, RETENTION = "storing", "feedback", "retention"
JUDGING = "judging"
"""The work of judges; `JUDGE` is the answers of one."""
JUDGE = "judge"
DELIVERY = "delivery"
"""The work of notifying; `RECEIVER` is the answers of one receiver."""
RECEIVER = "receiver"
ALERTS, HEARTBEAT, PRUNE, TEXTS = "alerts", "heartbeat", "prune", "texts"
