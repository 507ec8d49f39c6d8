"""The route to Amazon Bedrock, whose requests are signed or carry a key."""

import os
from collections.abc import Generator
from typing import Any
from urllib.parse import quote

import httpx

from qualitrace_monitors.judges.contract import JudgeError
from qualitrace_monitors.judges.failures import failure_of
from qualitrace_monitors.judges.llm.route import Route
from qualitrace_monitors.judges.llm.sender import ChatRequest

CREDENTIALS = "AWS credentials (AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, AWS_PROFILE, or a role)"


class BedrockRoute(Route):
    """A model or an inference profile of Amazon Bedrock, by its id or ARN, through the Converse API.

    It takes a Bedrock key (a bearer token) or AWS credentials. Botocore finds the latter as any AWS tool does
    (environment, profile, role), and signs with them (Signature Version 4). The form of the request:
    https://docs.aws.amazon.com/bedrock/latest/APIReference/API_runtime_Converse.html

    Args:
        model: the id.
        base_url: an endpoint other than the region's public one.
        api_key: a Bedrock key; else `AWS_BEARER_TOKEN_BEDROCK` is read, else AWS credentials are looked for.

    Raises:
        JudgeError: there is no way to prove who asks, or no region.
    """

    def __init__(self, model: str, base_url: str | None, api_key: str | None) -> None:
        token = api_key or os.environ.get("AWS_BEARER_TOKEN_BEDROCK")
        session = None if token else _session()
        region = os.environ.get("AWS_REGION") or os.environ.get("AWS_DEFAULT_REGION")
        region = region or (session and session.get_config_variable("region"))
        if region is None and not (token and base_url):
            raise JudgeError("bedrock: the region is not known: set AWS_REGION")
        root = (base_url or f"https://bedrock-runtime.{region}.amazonaws.com").rstrip("/")
        self._url = f"{root}/model/{quote(model, safe='')}/converse"
        self._headers = {"Authorization": f"Bearer {token}"} if token else {}
        self._auth = httpx.Auth() if session is None else SigV4(session, str(region))

    def request(self, payload: dict[str, Any]) -> ChatRequest:
        """See `Route`; Converse has no form of the answer that every model takes, so the prompt alone asks for it."""
        parts = [(message["role"], [{"text": message["content"]}]) for message in payload["messages"]]
        body: dict[str, Any] = {
            "system": [part for role, content in parts if role == "system" for part in content],
            "messages": [{"role": role, "content": content} for role, content in parts if role != "system"],
        }
        if "temperature" in payload:
            body["inferenceConfig"] = {"temperature": payload["temperature"]}
        return ChatRequest(self._url, dict(self._headers), body, self._auth)


class SigV4(httpx.Auth):
    """Signs requests as they are sent, with credentials that botocore renews in time."""

    requires_request_body = True

    def __init__(self, session: Any, region: str) -> None:
        self._credentials = session.get_credentials()
        self._region = region
        if self._credentials is None:
            raise JudgeError(f"bedrock: set a key in AWS_BEARER_TOKEN_BEDROCK, or {CREDENTIALS}")

    def auth_flow(self, request: httpx.Request) -> Generator[httpx.Request, httpx.Response]:
        """Add the signature's headers; see `httpx.Auth`."""
        from botocore.auth import SigV4Auth
        from botocore.awsrequest import AWSRequest

        to_sign = AWSRequest(request.method, str(request.url), data=request.content)
        to_sign.headers["Content-Type"] = request.headers["Content-Type"]
        try:
            SigV4Auth(self._credentials.get_frozen_credentials(), "bedrock", self._region).add_auth(to_sign)
        except Exception as error:
            raise failure_of("bedrock: cannot sign the request", error) from error
        request.headers.update(dict(to_sign.headers))
        yield request


def _session() -> Any:
    try:
        from botocore.session import get_session
    except ModuleNotFoundError as error:
        remedy = f"set a key in AWS_BEARER_TOKEN_BEDROCK, or pip install 'qualitrace[server,bedrock]' for {CREDENTIALS}"
        raise JudgeError(f"bedrock: {remedy}") from error
    return get_session()
