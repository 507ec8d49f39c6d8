"""The kind `apprise`: chats, pagers and e-mail through the library Apprise, which knows each by a URL.

Each notification is sent by a process of its own (`apprise_process`). It can be ended in time, whatever Apprise's
plugins wait for, and it can be kept from connecting to where receivers may not be.
"""

import json
import re
import subprocess
import sys
from typing import Any, Literal

from pydantic import Field, SecretStr, model_validator

from qualitrace_collector.config.values import Duration
from qualitrace_monitors.http_client.address_guard import refused_literal
from qualitrace_monitors.notify.apprise_process import hosts_of
from qualitrace_monitors.notify.http_receiver import is_refusal
from qualitrace_monitors.notify.payload import ALERT_PAGE
from qualitrace_monitors.notify.receiver import Answer, DeliveryFailed, Notification, Receiver, one_line

COMMAND = (sys.executable, "-P", "-m", "qualitrace_monitors.notify.apprise_process")
HEARTBEAT_SEVERITY = "none"

# How Apprise's plugins write an HTTP status into the log.
_STATUS = re.compile(r"\berror=(\d{3})\b")


class AppriseUrl(Receiver):
    """Slack, PagerDuty, Teams, e-mail and a hundred others, by an [Apprise URL](https://appriseit.com/services/)."""

    kind: Literal["apprise"]
    """Text is sent by the library Apprise."""
    url: SecretStr
    """Where to, with its keys, such as `slack://…`, `pagerduty://…` or `mailtos://user:password@example.com`."""
    timeout: Duration = Field(default=30.0, ge=5, le=60)
    """How long one attempt may take."""
    allow_local: bool = False
    """Whether it may connect to link-local and metadata addresses, and from a name to loopback."""

    @model_validator(mode="after")
    def _is_known_to_apprise(self) -> "AppriseUrl":
        hosts = hosts_of(self.url.get_secret_value())
        if hosts is None:
            raise ValueError("url: is no Apprise URL; https://appriseit.com/services/ has the form for each service")
        for host in () if self.allow_local else hosts:
            if why := refused_literal(host):
                raise ValueError(f"url: {host} is {why}; set allow_local: true if that is meant")
        return self

    def deliver(self, notification: Notification, now: float) -> Answer:
        """Send the notification's text."""
        order = {
            "url": self.url.get_secret_value(),
            "allow_local": self.allow_local,
            "seconds": self.timeout,
            **_message(json.loads(notification.body)),
        }
        try:
            done = subprocess.run(  # noqa: S603  # our own module
                COMMAND, input=json.dumps(order), capture_output=True, text=True, timeout=self.timeout, check=False
            )
        except subprocess.TimeoutExpired:
            reason = f"it was not sent within {self.timeout:g} s"
            raise DeliveryFailed(reason, problem="it does not answer in time") from None
        except OSError as error:
            raise DeliveryFailed(f"cannot start a process: {error}") from None
        try:
            taken, said = json.loads(done.stdout.splitlines()[-1])
        except (ValueError, IndexError):
            last = (done.stderr.splitlines() or [""])[-1]
            raise DeliveryFailed(f"sending ended with code {done.returncode}: {last}") from None
        if taken:
            return Answer(one_line(said))
        status = int(found[1]) if (found := _STATUS.search(said)) else 0
        raise DeliveryFailed(
            said,
            permanent=is_refusal(status),
            problem=f"it answers {status}" if status else "Apprise could not send it: see the log",
        )


def _message(payload: dict[str, Any]) -> dict[str, str]:
    """Return what is sent of a webhook payload: title, text, and Apprise's kind of notification."""
    labels, annotations = payload["commonLabels"], dict(payload["commonAnnotations"])
    summary, description = annotations.pop("summary", ""), annotations.pop("description", "")
    annotations.pop(ALERT_PAGE, None)  # the description has it
    of_service = f" of {labels['service']}" if "service" in labels else ""
    lines = [
        *([] if summary and description.startswith(summary) else [summary]),
        description,
        "",
        *(f"{name}: {value}" for name, value in annotations.items()),
    ]
    kind = "failure" if payload["status"] == "firing" else "success"
    return {
        "title": f"{payload['status']}: {labels.get('alertname', '')}{of_service}",
        "body": "\n".join(lines).strip() or payload["status"],
        "type": "info" if labels.get("severity") == HEARTBEAT_SEVERITY else kind,
    }
