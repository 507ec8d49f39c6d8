"""The body of a notification: Alertmanager's webhook payload, version 4, with one alert in it.

The fields are those of https://prometheus.io/docs/alerting/latest/configuration/#webhook_config, so that
whatever understands Alertmanager understands this.
"""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime

NOT_ENDED = "0001-01-01T00:00:00Z"
"""Go's zero time, which Alertmanager sends as `endsAt` while an alert fires."""

GROUP_BY = ("alertname", "service")


@dataclass(frozen=True, slots=True)
class Links:
    """Where a reader finds more: the URL of the web port, and MLflow's tracking URI."""

    web: str
    tracking_uri: str = ""

    def trace(self, trace_id: str) -> str:
        """Return the address of a trace in MLflow's UI, or its id alone when MLflow has no server.

        The page opens a trace by its id whatever the experiment in the address; 0 is the one that always exists.
        """
        if not self.tracking_uri.startswith(("http://", "https://")):
            return trace_id
        return f"{self.tracking_uri.rstrip('/')}/#/experiments/0/traces/{trace_id}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Alert:
    """An alert that fires or has ended; times are Unix seconds, `ends_at` is None while it fires."""

    labels: Mapping[str, str]
    annotations: Mapping[str, str]
    starts_at: float
    ends_at: float | None = None

    @property
    def status(self) -> str:
        """Alertmanager's word for it: firing or resolved."""
        return "firing" if self.ends_at is None else "resolved"

    @property
    def fingerprint(self) -> str:
        """Sixteen hex digits, the same for the same labels."""
        return hashlib.blake2b(json.dumps(sorted(self.labels.items())).encode(), digest_size=8).hexdigest()


def webhook_payload(alert: Alert, receiver: str, links: Links) -> str:
    """Return the JSON body that reports `alert` to `receiver`."""
    group = {name: alert.labels[name] for name in GROUP_BY if name in alert.labels}
    matchers = ", ".join(f"{name}={json.dumps(value, ensure_ascii=False)}" for name, value in group.items())
    body = {
        "version": "4",
        "groupKey": f"{{}}:{{{matchers}}}",
        "truncatedAlerts": 0,
        "status": alert.status,
        "receiver": receiver,
        "groupLabels": group,
        "commonLabels": alert.labels,
        "commonAnnotations": alert.annotations,
        "externalURL": links.web,
        "alerts": [
            {
                "status": alert.status,
                "labels": alert.labels,
                "annotations": alert.annotations,
                "startsAt": rfc3339(alert.starts_at),
                "endsAt": NOT_ENDED if alert.ends_at is None else rfc3339(alert.ends_at),
                "generatorURL": links.web,
                "fingerprint": alert.fingerprint,
            }
        ],
    }
    return json.dumps(body)


def rfc3339(at: float) -> str:
    """Format Unix seconds as RFC 3339 in UTC, to the millisecond."""
    return datetime.fromtimestamp(at, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
