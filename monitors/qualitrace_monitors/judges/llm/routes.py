"""Where a model URI leads: the address, the headers and the form of a call, which `Provider` sends.

MLflow's gateway providers know most of them. Its deployments client and its way to Bedrock do not let a call have a
timeout of its own and lose Retry-After, so these two routes are put together here.
"""

import os
from typing import Any, NamedTuple, Protocol
from urllib.parse import quote

import httpx

from qualitrace_monitors.judges.contract import JudgeError
from qualitrace_monitors.judges.llm.bodies import Reply, read_body


class Call(NamedTuple):
    """One request: where to, and what is sent as JSON; `auth` proves who asks, where `headers` do not."""

    url: str
    headers: dict[str, str]
    body: Any
    auth: httpx.Auth = httpx.Auth()


class Route(Protocol):
    """The way to a model. Thread-safe."""

    def call(self, payload: dict[str, Any]) -> Call:
        """Form a call of a payload in OpenAI's chat form."""
        ...

    def read(self, data: Any) -> Reply | None:
        """Read the JSON that came back; None, or any exception, if it is no chat completion."""
        ...


class GatewayRoute:
    """A provider of MLflow's gateway: from the environment as MLflow does, or with the given key and address."""

    def __init__(self, name: str, model: str, base_url: str | None, api_key: str | None) -> None:
        self._provider = _mlflow_provider(name, model, base_url, api_key)

    def call(self, payload: dict[str, Any]) -> Call:
        """See `Route`."""
        body = self._provider.adapter_class.chat_to_model(payload, self._provider.config)
        return Call(self._provider.get_endpoint_url("llm/v1/chat"), dict(self._provider.headers), body)

    def read(self, data: Any) -> Reply | None:
        """See `Route`; a form that MLflow alone knows, as of a plug-in of its, is translated by it."""
        if reply := read_body(data):
            return reply
        return read_body(self._provider.adapter_class.model_to_chat(data, self._provider.config).model_dump())


class EndpointRoute:
    """An endpoint of MLflow's deployments target, `MLFLOW_DEPLOYMENTS_TARGET`: a gateway's address, or `databricks`."""

    def __init__(self, endpoint: str) -> None:
        from databricks.sdk.core import Config
        from mlflow.deployments import get_deployments_target
        from mlflow.utils.credentials import get_default_host_creds

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

    def call(self, payload: dict[str, Any]) -> Call:
        """See `Route`."""
        return Call(self._url, self._headers(), payload, self._auth)

    def read(self, data: Any) -> Reply | None:
        """See `Route`."""
        return read_body(data)


def _mlflow_provider(name: str, model: str, base_url: str | None, api_key: str | None) -> Any:
    """Make MLflow's provider: from the environment as MLflow does, or with the given key and address."""
    from mlflow.gateway.config import EndpointConfig
    from mlflow.gateway.provider_registry import provider_registry
    from mlflow.metrics.genai.model_utils import (
        _get_provider_instance,  # pyright: ignore[reportPrivateUsage]
    )

    if base_url is None and api_key is None:
        return _get_provider_instance(name, model)
    provider_class = provider_registry.get(name)
    fields = provider_class.CONFIG_TYPE.model_fields
    settings: dict[str, str] = {}
    for ending, value in (("api_key", api_key or _environment_key(name)), ("api_base", base_url)):
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


def _environment_key(name: str) -> str:
    """Read the provider's usual variable; a server of one's own often needs no key, but some text must stand there."""
    return os.environ.get(f"{name.upper()}_API_KEY") or "none"
