"""A notification that is marked as a test, for a receiver that somebody wants to try."""

from qualitrace_monitors.notify.payload import Alert, Links, webhook_payload
from qualitrace_monitors.notify.receiver import Answer, Notification, Receiver, attempt, new_id

TEST_SECONDS = 300
"""How long a test stays active where alerts are kept: long enough to be seen."""


def send_test(name: str, receiver: Receiver, links: Links, now: float) -> Answer:
    """Send a test at once, past the outbox, as it would be sent from there; `now` is in Unix seconds.

    Raises:
        DeliveryFailed: the receiver did not take it.
    """
    text = f"This is a test of the receiver {name!r} by qualitrace. Nothing is wrong."
    alert = Alert(
        labels={"alertname": "QualitraceTest", "severity": "none"},
        annotations={"summary": text},
        starts_at=now,
        expires_at=now + TEST_SECONDS,
    )
    body = webhook_payload(alert, name, links)
    notification = Notification(id=new_id(), receiver=name, body=body, created_at=now, due_at=now, attempts=0)
    return attempt(receiver, notification, now)
