"""One chat call to the model of an MLflow model URI, and its price: a route forms the request, a sender sends it.

MLflow's gateway providers form most requests. Its own call (`invoke_judge_model`) takes keys and the timeout from the
process's environment alone and loses `Retry-After`; its deployments client and its calls to Bedrock take no timeout for
a single call and lose it, too, so these two routes are qualitrace's own.

MLflow is imported at the first call: its import takes seconds.
"""

import json
import os
from functools import cached_property
from typing import Any
from urllib.parse import quote

import httpx
from pydantic import BaseModel

from qualitrace_monitors.judges.contract import JudgeError, TransientJudgeError
from qualitrace_monitors.judges.failures import (
    LONGEST_READ,
    failure_in_body,
    failure_of,
    http_failure,
    message_of,
    quoted,
)
from qualitrace_monitors.judges.llm.bedrock import BedrockRoute
from qualitrace_monitors.judges.llm.bodies import Reply, error_in, read_body
from qualitrace_monitors.judges.llm.route import Route
from qualitrace_monitors.judges.llm.sender import ChatRequest, Sender

# Without an address, MLflow reads the price list in its package, and does not wait for the one on the network.
os.environ.setdefault("MLFLOW_MODEL_CATALOG_URI", "")


class RefusedParameter(JudgeError):
    """The provider refuses a parameter of the request, named `parameter`."""

    def __init__(self, parameter: str, message: str) -> None:
        super().__init__(message)
        self.parameter = parameter


class Provider:
    """The model behind an MLflow model URI. Thread-safe.

    Args:
        model_uri: for example `openai:/gpt-5-mini`.
        base_url: the root of the provider's API elsewhere, for example `http://127.0.0.1:8000/v1`.
        api_key: else the provider's environment variable is read, as MLflow does.
        timeout: seconds that a call may take.
    """

    def __init__(self, model_uri: str, base_url: str | None, api_key: str | None, timeout: float) -> None:
        self._name, _, model = model_uri.partition(":/")
        self._model = model.lstrip("/")
        self._base_url, self._api_key = base_url, api_key
        self._sender = Sender(self._name, timeout)

    def chat(self, messages: list[dict[str, str]], schema: type[BaseModel] | None, temperature: float | None) -> Reply:
        """Ask once.

        Args:
            messages: in OpenAI's chat form.
            schema: the form of the answer, if the provider may be asked for one.
            temperature: None leaves it to the provider.

        Raises:
            RefusedParameter: the provider does not take `temperature` or `response_format`.
            TransientJudgeError: busy, failing or out of reach.
            JudgeError: refused, misconfigured, or an answer that is none.
        """
        payload: dict[str, Any] = {"messages": messages}
        if temperature is not None:
            payload["temperature"] = temperature
        if schema is not None:
            from mlflow.genai.utils.message_utils import pydantic_to_response_format

            payload["response_format"] = pydantic_to_response_format(schema)
        try:
            request = self._route.request(payload)
        except Exception as error:
            raise failure_of(f"{self._name}: cannot form the request", error) from error
        reply = self._read(*self._post(request))
        prices = price(self._name, self._model, reply.input_tokens, reply.output_tokens)
        return reply if prices is None else reply._replace(cost_usd=sum(prices), input_cost_usd=prices[0])

    def _post(self, request: ChatRequest) -> tuple[bytes, httpx.Headers]:
        """Send a request; return the body and the headers of an answer that means success."""
        answer = self._sender.post(request, self._route.address_setting)
        if httpx.codes.is_success(answer.status):
            return answer.body, answer.headers
        message = message_of(f"{self._name}: HTTP {answer.status}", answer.text)
        error = http_failure(message, answer.status, answer.headers)
        raise _about_parameter(error, answer.text) if answer.status in (400, 422) else error

    def _read(self, body: bytes, headers: httpx.Headers) -> Reply:
        """Read the body of an answer whose status means success; it may report an error nevertheless."""
        shown = quoted(body[:LONGEST_READ].decode(errors="replace"))
        try:
            data = json.loads(body)
        except (ValueError, RecursionError) as error:  # a proxy's page, or an answer that broke off
            raise TransientJudgeError(f"{self._name}: the response is no JSON: {shown}") from error
        if (reported := error_in(data)) is not None:
            error = failure_in_body(self._name, reported, headers)
            if isinstance(error, TransientJudgeError):
                raise error
            raise _about_parameter(error, body.decode(errors="replace"))
        try:
            reply = self._route.read(data)
        except Exception:
            reply = None
        if reply is None:
            raise JudgeError(f"{self._name}: the response is no chat completion: {shown}")
        return reply

    @cached_property  # set up by the first calls, and again by the next call if it fails
    def _route(self) -> Route:
        try:
            return route_to(self._name, self._model, self._base_url, self._api_key)
        except JudgeError:
            raise
        except Exception as error:
            raise JudgeError(f"{self._name}:/{self._model} cannot be set up: {error}") from error


def _about_parameter(error: JudgeError, text: str) -> JudgeError:
    """Return the error as one about the parameter that the provider refuses, if it names one."""
    lower = text.lower()
    if "temperature" in lower:
        return RefusedParameter("temperature", str(error))
    if any(word in lower for word in ("response_format", "json_schema", "output_config", "structured output")):
        return RefusedParameter("response_format", str(error))
    return error


def price(provider: str, model: str, input_tokens: int, output_tokens: int) -> tuple[float, float] | None:
    """Return the price of the input and of the output in US dollars; None where MLflow knows none.

    Args:
        provider: as in the model URI, for example `openai`.
    """
    from qualitrace_collector.convert.cost import catalog_name, listed_prices

    listed = catalog_name(provider)
    prices = listed_prices(model, listed) if listed else None
    return None if prices is None else (input_tokens * prices[0], output_tokens * prices[1])


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

    address_setting = "MLFLOW_DEPLOYMENTS_TARGET"

    def __init__(self, endpoint: str) -> None:
        from databricks.sdk.core import Config
        from mlflow.deployments import get_deployments_target
        from mlflow.utils.credentials import get_default_host_creds

        # MLflow has plug-ins for other targets, but none of them serves chat models.
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
