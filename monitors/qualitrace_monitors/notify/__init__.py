"""Tell the receivers: a durable outbox, signed webhooks with retries, and a heartbeat."""

from qualitrace_monitors.notify.heartbeat import Heartbeat
from qualitrace_monitors.notify.notifier import NotificationOutcome, Notifier
from qualitrace_monitors.notify.outbox import Outbox
from qualitrace_monitors.notify.payload import Alert, Links, webhook_payload

__all__ = [
    "Alert",
    "Heartbeat",
    "Links",
    "NotificationOutcome",
    "Notifier",
    "Outbox",
    "webhook_payload",
]
