"""The body of a notification: Alertmanager's webhook payload, version 4, with one alert in it.

The fields are those of https://prometheus.io/docs/alerting/latest/configuration/#webhook_config, so that
whatever understands Alertmanager understands this.
"""

import hashlib
import json
from bisect import bisect_right
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from urllib.parse import quote

NOT_ENDED = "0001-01-01T00:00:00Z"
"""Go's zero time, which Alertmanager sends as `endsAt` while an alert fires."""

GROUP_BY = ("alertname", "service")

MOST_BYTES = 20_000
"""The size of a body: chats and pagers refuse longer ones, or cut them where they please."""
LABEL_BYTES = 500
"""The size of a label's value; names of services, which come from outside, are shorter in any script."""
ALERT_PAGE = "alert_page"
"""The annotation with the address of the alert's own page."""
LINKS = (ALERT_PAGE, "dashboard", "runbook_url")
"""Annotations that are addresses, which are of no use when they are cut; their lengths are bounded."""


@dataclass(frozen=True, slots=True)
class Links:
    """Where a reader finds more: the URL of the web port, and that of MLflow's UI, empty if nobody knows one."""

    web: str
    mlflow_ui: str = ""

    def page(self, service: str, judge: str, since: float) -> str:
        """Return the address of the dashboard's page of a service, or of one of its judges, from `since` on.

        Args:
            service, judge: their names; empty where there is none.
            since: Unix seconds.
        """
        path = "".join(
            f"/{kind}/{quote(name, safe='')}" for kind, name in (("service", service), ("judge", judge)) if name
        )
        return f"{self.web}{path}?from={rfc3339(int(since))}" if path else self.web

    def alert_page(self, event: int) -> str:
        """Return the address of the dashboard's page of one firing of an alert, by its number."""
        return f"{self.web}/alerts/event/{event}"

    def trace_page(self, trace_id: str) -> str:
        """Return the address of the dashboard's page of a trace."""
        return f"{self.web}/trace/{quote(trace_id, safe='')}"

    def trace(self, trace_id: str) -> str:
        """Return the address of a trace in MLflow's UI, or its id alone where there is none.

        The page opens a trace by its id whatever the experiment in the address; 0 is the one that always exists.
        """
        if not self.mlflow_ui:
            return trace_id
        return f"{self.mlflow_ui.rstrip('/')}/#/experiments/0/traces/{quote(trace_id, safe='')}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Alert:
    """An alert that fires or has ended; times are Unix seconds.

    Attributes:
        url: where a reader sees more.
        ends_at: when it ended; None while it fires.
        expires_at: when an alert that fires counts as over unless it is repeated; None for never.
    """

    labels: Mapping[str, str]
    annotations: Mapping[str, str]
    starts_at: float
    url: str = ""
    ends_at: float | None = None
    expires_at: float | None = None

    @property
    def status(self) -> str:
        """Alertmanager's word for it: firing or resolved."""
        return "firing" if self.ends_at is None else "resolved"

    @property
    def fingerprint(self) -> str:
        """Sixteen hex digits, the same for the same labels."""
        return hashlib.blake2b(json.dumps(sorted(self.labels.items())).encode(), digest_size=8).hexdigest()


def webhook_payload(alert: Alert, receiver: str, links: Links) -> str:
    """Return the JSON body that reports `alert` to `receiver`; its annotations are cut where it would be too long."""
    whole = _body(alert, receiver, links, MOST_BYTES)
    if _size(whole) <= MOST_BYTES:
        return whole
    # All annotations are cut at the same length, so that short ones stay whole.
    lengths = range(MOST_BYTES)
    fitting = bisect_right(lengths, MOST_BYTES, key=lambda most: _size(_body(alert, receiver, links, most))) - 1
    return _body(alert, receiver, links, fitting)


def _body(alert: Alert, receiver: str, links: Links, most: int) -> str:
    """Return the body with annotations of at most so many bytes."""
    labels = {name: shortened(value, LABEL_BYTES) for name, value in alert.labels.items()}
    annotations = {
        name: value if name in LINKS else shortened(value, most) for name, value in alert.annotations.items()
    }
    group = {name: labels[name] for name in GROUP_BY if name in labels}
    matchers = ", ".join(f"{name}={_json(value)}" for name, value in group.items())
    return _json(
        {
            "version": "4",
            "groupKey": f"{{}}:{{{matchers}}}",
            "truncatedAlerts": 0,
            "status": alert.status,
            "receiver": receiver,
            "groupLabels": group,
            "commonLabels": labels,
            "commonAnnotations": annotations,
            "externalURL": links.web,
            "alerts": [
                {
                    "status": alert.status,
                    "labels": labels,
                    "annotations": annotations,
                    "startsAt": rfc3339(alert.starts_at),
                    "endsAt": _end(alert),
                    "generatorURL": alert.url or links.web,
                    "fingerprint": alert.fingerprint,
                }
            ],
        }
    )


def _end(alert: Alert) -> str:
    at = alert.expires_at if alert.ends_at is None else alert.ends_at
    return NOT_ENDED if at is None else rfc3339(at)


def shortened(text: str, most: int) -> str:
    """Cut a text with an ellipsis so that as JSON it is at most `most` bytes, but at least the ellipsis."""
    text = text.encode("utf-8", "replace").decode()  # half of a surrogate pair can be neither stored nor sent
    if _size(_json(text)) - 2 <= most:
        return text
    room = most - len("…".encode())
    kept = bisect_right(range(len(text)), room, key=lambda end: _size(_json(text[:end])) - 2) - 1
    return text[: max(0, kept)] + "…"


def _json(value: Any) -> str:
    # Without escapes, which would take up to three times the bytes, and without blanks.
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


def _size(text: str) -> int:
    return len(text.encode())


def rfc3339(at: float) -> str:
    """Format Unix seconds as RFC 3339 in UTC, to the millisecond."""
    return datetime.fromtimestamp(at, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
