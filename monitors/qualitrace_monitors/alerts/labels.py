"""The labels and annotations that a rule may add to its alerts: what Alertmanager takes, and within bounds."""

import re
from collections.abc import Iterator, Mapping
from typing import Annotated

from pydantic import AfterValidator, AnyHttpUrl

MOST = 10
"""Labels, or annotations, of a rule. With the bounds below every notification fits into its size."""
LONGEST_NAME, LONGEST_VALUE = 60, 120
"""Bytes of a name, and of the value of a label."""
LONGEST_URL = 500
"""Bytes of a link: a notification's other texts can be cut, and a link cannot."""

_NAME = re.compile(r"[a-zA-Z_][a-zA-Z0-9_]*")
_OWN_LABELS = {
    "alertname": "it is the rule's name",
    "service": "it is the service of the alert",
    "judge": "it is the rule's judge",
    "tier": "it is the tier of the scores",
    "severity": "write it as the rule's severity",
}
_OWN_ANNOTATIONS = {
    "summary": "write it as the rule's summary",
    "description": "it has the numbers of the alert",
    "runbook_url": "write it as the rule's runbook_url",
    "dashboard": "it is the address of the service's page",
    "alert_page": "it is the address of the alert's own page",
}


def _is_label_value(value: str) -> str:
    if not value.strip():
        raise ValueError("must not be empty: Alertmanager drops labels without a value")
    if not value.isprintable():
        raise ValueError("must be one line without control characters")
    if len(value.encode("utf-8", "replace")) > LONGEST_VALUE:
        raise ValueError(f"must be at most {LONGEST_VALUE} bytes")
    return value


def _are_labels(labels: dict[str, str]) -> dict[str, str]:
    mistakes = [*_name_mistakes(labels, _OWN_LABELS)]
    for name, value in labels.items():
        try:
            _is_label_value(value)
        except ValueError as error:
            mistakes.append(f"{name}: {error}")
    return _unless(mistakes, labels)


def _are_annotations(annotations: dict[str, str]) -> dict[str, str]:
    return _unless([*_name_mistakes(annotations, _OWN_ANNOTATIONS)], annotations)


def _unless(mistakes: list[str], values: dict[str, str]) -> dict[str, str]:
    if mistakes:
        raise ValueError("; ".join(mistakes))
    return values


def _name_mistakes(values: dict[str, str], own: Mapping[str, str]) -> Iterator[str]:
    if len(values) > MOST:
        yield f"must be at most {MOST} (got {len(values)})"
    for name in values:
        if name in own:
            yield f"{name!r} is taken: {own[name]}"
        elif not _NAME.fullmatch(name):
            yield f"{name!r} is no name that Prometheus takes: letters, digits and '_', and no digit first"
        elif name.startswith("__"):
            yield f"{name!r} is taken: names that begin with '__' are Prometheus' own"
        elif len(name) > LONGEST_NAME:
            yield f"{name[:20]!r}…: a name is at most {LONGEST_NAME} letters"


def _is_short_url(url: AnyHttpUrl) -> AnyHttpUrl:
    if len(str(url).encode()) > LONGEST_URL:
        raise ValueError(f"must be at most {LONGEST_URL} bytes")
    return url


LabelValue = Annotated[str, AfterValidator(_is_label_value)]
Labels = Annotated[dict[str, str], AfterValidator(_are_labels)]
Annotations = Annotated[dict[str, str], AfterValidator(_are_annotations)]
Link = Annotated[AnyHttpUrl, AfterValidator(_is_short_url)]
