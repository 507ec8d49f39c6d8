"""The kind `alertmanager`: alerts as Prometheus sends them, which Alertmanager groups, silences and routes.

Alertmanager takes an alert for resolved once its `endsAt` has passed, so an alert that fires is sent again and again,
each time with a later end. If qualitrace falls silent, its alerts end.
"""

import json
from typing import Annotated, Any, Literal

from pydantic import AnyHttpUrl, BeforeValidator, Field, model_validator

from qualitrace_collector.config.values import Duration
from qualitrace_monitors.notify.http_receiver import HttpReceiver
from qualitrace_monitors.notify.payload import NOT_ENDED, rfc3339
from qualitrace_monitors.notify.receiver import Answer, DeliveryFailed, Notification

API = "/api/v2/alerts"
LASTS = 4
"""How many times `resend` an alert lasts that is not sent again: as long as with Prometheus."""
MOST = 8
"""Alertmanagers of a cluster: they are sent to in turn."""


def _as_list(value: Any) -> Any:
    return value if isinstance(value, (list, tuple)) else [value]


_Urls = AnyHttpUrl | Annotated[tuple[AnyHttpUrl, ...], Field(min_length=1, max_length=MOST)]


class Alertmanager(HttpReceiver):
    """One Alertmanager, or all of a cluster. It groups, silences, inhibits and routes."""

    kind: Literal["alertmanager"]
    """Alerts are posted to Alertmanager's API, and again while they fire."""
    url: Annotated[tuple[AnyHttpUrl, ...], BeforeValidator(_as_list, json_schema_input_type=_Urls)] = Field(
        min_length=1, max_length=MOST
    )
    """Where it is, such as `http://alertmanager:9093`, or a list of a cluster's members; one that answers is enough."""
    resend: Duration = Field(default=60.0, ge=1, le=3600)
    """How often an alert that fires is sent again. If that stops for four times as long, Alertmanager resolves it."""

    @model_validator(mode="after")
    def _has_allowed_addresses(self) -> "Alertmanager":
        for url in self.url:
            self.check_address("url", url)
        return self

    @property
    def repeats_every(self) -> float:
        """Seconds between two notifications of an alert that fires."""
        return self.resend

    def deliver(self, notification: Notification, now: float) -> Answer:
        """Post the alert to each Alertmanager; that one of them takes it is enough."""
        body = json.dumps([self._alert(notification.body, now)], ensure_ascii=False)
        answers: list[str] = []
        failures: list[DeliveryFailed] = []
        for url in self.url:
            try:
                answers.append(self.post(_endpoint(url), body, now))
            except DeliveryFailed as failure:
                failures.append(failure)
                answers.append(str(failure))
        if len(failures) == len(self.url):
            raise _together(failures)
        problem = ""
        if failures:
            problem = f"{len(failures)} of {len(self.url)} Alertmanagers do not take it: {failures[0].problem}"
        return Answer("; ".join(answers), problem)

    def _alert(self, body: str, now: float) -> dict[str, Any]:
        """Return the alert of a webhook payload as the API takes it."""
        alert = json.loads(body)["alerts"][0]
        ends_at = rfc3339(now + LASTS * self.resend) if alert["endsAt"] == NOT_ENDED else alert["endsAt"]
        return {
            "labels": {name: value for name, value in alert["labels"].items() if value},
            "annotations": alert["annotations"],
            "startsAt": alert["startsAt"],
            # A clock that was set back: Alertmanager refuses an alert that ends before it starts.
            "endsAt": max(ends_at, alert["startsAt"]),
            "generatorURL": alert["generatorURL"],
        }


def _endpoint(url: AnyHttpUrl) -> str:
    """Return the address of the API below a URL, which may have a path of its own, or name the API itself."""
    text = str(url).rstrip("/")
    return text if text.endswith(API) else text + API


def _together(failures: list[DeliveryFailed]) -> DeliveryFailed:
    """Return one failure for those of all Alertmanagers."""
    return DeliveryFailed(
        "; ".join(map(str, failures)),
        min(failure.retry_after for failure in failures),
        permanent=all(failure.permanent for failure in failures),
        problem=failures[0].problem,
    )
