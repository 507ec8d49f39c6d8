"""Where a model URI leads: the address, the headers and the form of the request that `Provider` sends.

MLflow's gateway providers know most of them. Its deployments client and its calls to Bedrock take no timeout for a
single call and lose Retry-After, so these two routes are put together here.
"""

import os
from abc import ABC, abstractmethod
from collections.abc import Generator
from typing import Any, NamedTuple
from urllib.parse import quote

import httpx

from qualitrace_monitors.judges.contract import JudgeError
from qualitrace_monitors.judges.failures import failure_of
from qualitrace_monitors.judges.llm.bodies import Reply, read_body

CREDENTIALS = "AWS credentials (AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, AWS_PROFILE, or a role)"


class ChatRequest(NamedTuple):
    """One request with a JSON body; `auth` proves who asks if the headers do not."""

    url: str
    headers: dict[str, str]
    body: Any
    auth: httpx.Auth = httpx.Auth()


class Route(ABC):
    """The way to a model. Thread-safe."""

    @abstractmethod
    def request(self, payload: dict[str, Any]) -> ChatRequest:
        """Form the request of a payload in OpenAI's chat form."""

    def read(self, data: Any) -> Reply | None:
        """Read the JSON of the answer; None, or any exception, if it is no chat completion."""
        return read_body(data)


def route_to(name: str, model: str, base_url: str | None, api_key: str | None) -> Route:
    """Find the route of a provider.

    Raises:
        JudgeError: it cannot be set up as configured.
    """
    if name == "endpoints":
        if base_url or api_key:
            raise JudgeError("endpoints:/ takes no base_url or api_key: set MLFLOW_DEPLOYMENTS_TARGET")
        return EndpointRoute(model)
    if name in ("bedrock", "amazon-bedrock"):
        return BedrockRoute(model, base_url, api_key)
    return GatewayRoute(name, model, base_url, api_key)


class GatewayRoute(Route):
    """A provider of MLflow's gateway: from the environment as MLflow does, or with the given key and address."""

    def __init__(self, name: str, model: str, base_url: str | None, api_key: str | None) -> None:
        self._provider = _mlflow_provider(name, model, base_url, api_key)

    def request(self, payload: dict[str, Any]) -> ChatRequest:
        """See `Route`."""
        body = self._provider.adapter_class.chat_to_model(payload, self._provider.config)
        return ChatRequest(self._provider.get_endpoint_url("llm/v1/chat"), dict(self._provider.headers), body)

    def read(self, data: Any) -> Reply | None:
        """See `Route`; MLflow translates the forms that only it knows, for example of its plug-ins."""
        if reply := read_body(data):
            return reply
        return read_body(self._provider.adapter_class.model_to_chat(data, self._provider.config).model_dump())


class EndpointRoute(Route):
    """An endpoint of MLflow's deployments target, `MLFLOW_DEPLOYMENTS_TARGET`: a gateway's address, or `databricks`."""

    def __init__(self, endpoint: str) -> None:
        from databricks.sdk.core import Config
        from mlflow.deployments import get_deployments_target
        from mlflow.utils.credentials import get_default_host_creds

        # Of other targets, for which MLflow has plug-ins, none serves chat models.
        self._auth = httpx.Auth()
        target = get_deployments_target().rstrip("/")
        path = f"{quote(endpoint, safe='')}/invocations"
        if target.partition(":")[0] == "databricks":
            config = Config(profile=target.partition("://")[2] or None)
            self._url, self._headers = f"{config.host}/serving-endpoints/{path}", config.authenticate
        else:
            known = get_default_host_creds(target)
            token = {"Authorization": f"Bearer {known.token}"} if known.token else {}
            self._url, self._headers = f"{target}/endpoints/{path}", token.copy
            if known.username and known.password:
                self._auth = httpx.BasicAuth(known.username, known.password)

    def request(self, payload: dict[str, Any]) -> ChatRequest:
        """See `Route`."""
        return ChatRequest(self._url, self._headers(), payload, self._auth)


def _mlflow_provider(name: str, model: str, base_url: str | None, api_key: str | None) -> Any:
    """Make MLflow's provider: from the environment as MLflow does, or with the given key and address."""
    from mlflow.gateway.config import EndpointConfig
    from mlflow.gateway.provider_registry import provider_registry
    from mlflow.metrics.genai.model_utils import (
        _get_provider_instance,  # pyright: ignore[reportPrivateUsage]
    )

    # Each provider reads variables of its own; MLflow's function that knows them all is not public.
    if base_url is None and api_key is None:
        return _get_provider_instance(name, model)
    provider_class = provider_registry.get(name)
    fields = provider_class.CONFIG_TYPE.model_fields
    settings: dict[str, str] = {}
    # Private servers often need no key, but MLflow needs some text.
    key = api_key or os.environ.get(f"{name.upper()}_API_KEY") or "none"
    for ending, value in (("api_key", key), ("api_base", base_url)):
        if value is None:
            continue
        field = next((field for field in fields if field.endswith(ending)), None)
        if field is None:
            wanted = "base_url" if ending == "api_base" else "api_key"
            raise JudgeError(f"MLflow's provider {name!r} takes no {wanted}; an OpenAI-compatible one is openai:/…")
        settings[field] = value.rstrip("/")
    chosen = {"provider": name, "name": model, "config": settings}
    endpoint = {"name": name, "endpoint_type": "llm/v1/chat", "model": chosen}
    return provider_class(EndpointConfig.model_validate(endpoint))


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
