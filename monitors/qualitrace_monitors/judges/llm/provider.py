"""One chat call by MLflow model URI: MLflow's gateway providers shape it, httpx sends it.

MLflow is imported here only, at the first call: its import takes seconds. From MLflow come the providers (addresses,
headers, the form of request and response) and the price list; see the decision in `monitors/README.md`.
"""

import os
import threading
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any

import httpx
from pydantic import BaseModel

from qualitrace_monitors.judges.contract import JudgeError, TransientJudgeError
from qualitrace_monitors.judges.llm.routes import BEDROCK, BUSY, ENDPOINTS, ask_bedrock, ask_endpoint

# Prices then come from the catalogue that MLflow brings along, without a call over the network.
os.environ.setdefault("MLFLOW_MODEL_CATALOG_URI", "")


class RefusedParameter(JudgeError):
    """The provider refuses a parameter of the request, named `parameter`."""

    def __init__(self, parameter: str, message: str) -> None:
        super().__init__(message)
        self.parameter = parameter


@dataclass(frozen=True, slots=True)
class Reply:
    """A model's answer, the tokens it took, and their price in US dollars where MLflow's catalogue knows it."""

    text: str
    input_tokens: int
    output_tokens: int
    cost_usd: float | None


class Provider:
    """The model behind an MLflow model URI. Thread-safe.

    Args:
        model_uri: for example `openai:/gpt-5-mini`.
        base_url: the root of the provider's API elsewhere, for example `http://127.0.0.1:8000/v1`.
        api_key: else the provider's environment variable is read, as MLflow does.
        timeout: seconds to wait for a connection, and between the bytes of the answer.
    """

    def __init__(self, model_uri: str, base_url: str | None, api_key: str | None, timeout: float) -> None:
        self._name, _, model = model_uri.partition(":/")
        self._model = model.lstrip("/")
        self._base_url, self._api_key = base_url, api_key
        self._client = httpx.Client(timeout=timeout)
        self._lock = threading.Lock()
        self._mlflow_provider: Any = None

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
            payload["response_format"] = _response_format(schema)
        if self._name == ENDPOINTS:
            return self._reply(ask_endpoint(self._model, payload))
        provider = self._provider()
        if self._name in BEDROCK:
            return self._reply(ask_bedrock(provider, payload))
        adapter = provider.adapter_class
        try:
            body = adapter.chat_to_model(payload, provider.config)
            url, headers = provider.get_endpoint_url("llm/v1/chat"), provider.headers
        except Exception as error:
            raise JudgeError(f"{self._name}: MLflow cannot form the request: {error}") from error
        data = self._post(url, headers, body)
        try:
            return self._reply(adapter.model_to_chat(data, provider.config))
        except Exception as error:
            raise JudgeError(f"{self._name}: the response is no chat completion: {error!r}") from error

    def _reply(self, chat: Any) -> Reply:
        """Read text and usage of a chat response in MLflow's form."""
        tokens = chat.usage.prompt_tokens or 0, chat.usage.completion_tokens or 0
        return Reply(_text(chat.choices[0].message.content), *tokens, self._cost(*tokens))

    def _post(self, url: str, headers: Mapping[str, str], body: Any) -> Any:
        try:
            response = self._client.post(url, headers=dict(headers), json=body)
        except httpx.RequestError as error:
            raise TransientJudgeError(f"{self._name}: {url} is out of reach: {error!r}") from error
        except (httpx.InvalidURL, UnicodeError, ValueError) as error:
            raise JudgeError(f"{self._name}: cannot ask {url}: {error}") from error
        if response.is_success:
            try:
                return response.json()
            except ValueError as error:
                raise JudgeError(f"{self._name}: the response is no JSON: {response.text[:200]!r}") from error
        raise _error(self._name, response)

    def _provider(self) -> Any:
        with self._lock:
            if self._mlflow_provider is None:
                try:
                    self._mlflow_provider = _mlflow_provider(self._name, self._model, self._base_url, self._api_key)
                except JudgeError:
                    raise
                except Exception as error:
                    raise JudgeError(f"{self._name}:/{self._model} cannot be set up: {error}") from error
            return self._mlflow_provider

    def _cost(self, input_tokens: int, output_tokens: int) -> float | None:
        from mlflow.utils.providers import cost_per_token

        cost = cost_per_token(self._model, input_tokens, output_tokens, custom_llm_provider=self._name)
        return None if cost is None else sum(cost)


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


def _response_format(schema: type[BaseModel]) -> dict[str, Any]:
    from mlflow.genai.utils.message_utils import pydantic_to_response_format

    return pydantic_to_response_format(schema)


def _text(content: Any) -> str:
    """Join the text parts of a message (Anthropic answers in parts)."""
    if isinstance(content, list):
        return "\n".join(part.text for part in content if getattr(part, "text", None))
    return content or ""


def _error(name: str, response: httpx.Response) -> JudgeError:
    """Turn an HTTP error into the error that says whether to try again, and how."""
    message = f"{name}: HTTP {response.status_code}: {' '.join(response.text[:500].split())}"
    if response.status_code in BUSY or response.status_code >= 500:
        return TransientJudgeError(message, _retry_after(response.headers.get("retry-after")))
    lower = response.text.lower()
    if response.status_code in (400, 422):
        if "temperature" in lower:
            return RefusedParameter("temperature", message)
        if any(word in lower for word in ("response_format", "json_schema", "output_config", "structured output")):
            return RefusedParameter("response_format", message)
    return JudgeError(message)


def _retry_after(header: str | None) -> float | None:
    """Read Retry-After (RFC 9110, 10.2.3): seconds or a date; None when absent or unreadable."""
    if header is None:
        return None
    try:
        return max(0.0, float(header))
    except ValueError:
        pass
    try:
        return max(0.0, (parsedate_to_datetime(header) - datetime.now(UTC)).total_seconds())
    except (ValueError, TypeError):
        return None
