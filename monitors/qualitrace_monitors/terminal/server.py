"""Asks a server that runs how it is doing, on its web port."""

import json
from typing import Any

import httpx

from qualitrace_collector.config.values import connect_address
from qualitrace_collector.receive.settings import Listen
from qualitrace_monitors.http_client.deadline import DeadlineClient
from qualitrace_monitors.terminal.output import printable

ASK_SECONDS = 10.0
"""How long an answer may take: the server reads what is shown from its database, which may be busy."""
MOST_CHARACTERS = 300
"""How much is shown of an answer that is not a status."""
FORMAT = 1
"""The version of `/status.json` that is read."""


class Away(Exception):
    """No server answers as it should; the message says where and why."""


def ask(listen: Listen) -> dict[str, Any]:
    """Return what `/status.json` says.

    Raises:
        Away: there is no server, or none that says it.
    """
    address = address_of(listen)
    token = listen.web_read_token or listen.web_token
    headers = {} if token is None else {"Authorization": f"Bearer {token.get_secret_value()}"}
    try:
        with DeadlineClient(ASK_SECONDS, None) as client:
            answer = client.get(f"{address}/status.json", headers=headers)
        found = answer.json() if answer.is_success else None
    except httpx.ConnectError:
        raise Away(f"no server listens at {address}") from None
    except httpx.HTTPError as error:
        raise Away(f"the server at {address} does not answer: {error or type(error).__name__}") from None
    except (json.JSONDecodeError, UnicodeDecodeError):
        raise Away(f"what listens at {address} is no server of qualitrace") from None
    if answer.status_code in (httpx.codes.UNAUTHORIZED, httpx.codes.FORBIDDEN):
        raise Away(f"the server at {address} wants another token: name its own configuration with --config")
    if answer.status_code in (httpx.codes.SERVICE_UNAVAILABLE,):
        raise Away(f"the server at {address} cannot say how it is: {printable(answer.text.strip()[:MOST_CHARACTERS])}")
    if not isinstance(found, dict):
        raise Away(f"what listens at {address} does not say how it is: it answers {answer.status_code}")
    if found.get("format") != FORMAT:
        raise Away(f"the server at {address} is of another version: use the command that was installed with it")
    return found


def address_of(listen: Listen) -> str:
    """Return the URL of a server's web port, as this host reaches it."""
    host, port = connect_address(listen.web)
    return f"http://{f'[{host}]' if ':' in host else host}:{port}"
