"""The HTTP sessions of the exporters, which send what the configuration says, and read no answers."""

from collections.abc import Mapping
from typing import Any

import requests

_OF_REQUESTS = frozenset(
    {"accept", "accept-encoding", "connection", "content-encoding", "content-length", "content-type", "user-agent"}
)


class EndpointSession(requests.Session):
    """Requests to `telemetry.endpoint`.

    Args:
        headers: those of the configuration. The exporters would add `OTEL_EXPORTER_OTLP_HEADERS` of the environment,
            and requests the user's `.netrc`: both may hold a token that is meant for somebody else.
    """

    def __init__(self, headers: Mapping[str, str]) -> None:
        super().__init__()
        self._given = dict(headers)
        self.hooks["response"].append(_refuse_redirect)  # pyright: ignore[reportArgumentType, reportUnknownMemberType]

    def send(self, request: requests.PreparedRequest, **options: Any) -> requests.Response:
        """Send a request, and return the status and headers of its answer; a body may be of any length."""
        for name in [name for name in request.headers if name.lower() not in _OF_REQUESTS]:
            del request.headers[name]
        request.headers.update(self._given)
        response = super().send(request, **options | {"stream": True})
        response.close()
        return response


def _refuse_redirect(response: requests.Response, **_: Any) -> None:
    """Raise if nobody took the request, although OpenTelemetry's exporters take such an answer for a success."""
    if 300 <= response.status_code < 400:
        response.close()
        target = response.headers.get("Location", "")[:200]
        raise requests.RequestException(f"it answers {response.status_code} and redirects to {target!r}: name that one")
