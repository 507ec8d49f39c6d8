"""One chat call to the model of an MLflow model URI, and its price: a route forms the request, httpx sends it.

MLflow's own call (`invoke_judge_model`) takes keys and the timeout from the process's environment alone and loses
`Retry-After`, so MLflow only forms requests here. It is imported at the first call: its import takes seconds.
"""

import json
import os
import threading
from typing import Any

import httpx
from pydantic import BaseModel

from qualitrace_monitors.judges.contract import JudgeError, TransientJudgeError
from qualitrace_monitors.judges.failures import failure_in_body, failure_of, http_failure, quoted
from qualitrace_monitors.judges.llm.bodies import Reply, error_in
from qualitrace_monitors.judges.llm.routes import ChatRequest, Route, route_to

# Without an address, MLflow reads the price list in its package, and does not wait for the one on the network.
os.environ.setdefault("MLFLOW_MODEL_CATALOG_URI", "")

LARGEST_BODY = 8 * 1024 * 1024
"""Bytes of the longest answer that is read."""


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
        timeout: seconds to wait for a connection, and between the bytes of the answer.
    """

    def __init__(self, model_uri: str, base_url: str | None, api_key: str | None, timeout: float) -> None:
        self._name, _, model = model_uri.partition(":/")
        self._model = model.lstrip("/")
        self._base_url, self._api_key = base_url, api_key
        self._client = httpx.Client(timeout=timeout)
        self._lock = threading.Lock()
        self._known_route: Route | None = None

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
        route = self._route()
        try:
            request = route.request(payload)
        except Exception as error:
            raise failure_of(f"{self._name}: cannot form the request", error) from error
        reply = self._read(route, *self._post(request))
        return reply._replace(cost_usd=price(self._name, self._model, reply.input_tokens, reply.output_tokens))

    def _post(self, request: ChatRequest) -> tuple[bytes, httpx.Headers]:
        """Send a request; return the body and the headers of an answer that means success."""
        url, headers, content, auth = request
        try:
            with self._client.stream("POST", url, headers=headers, json=content, auth=auth) as response:
                body = self._body(response)
        except (httpx.UnsupportedProtocol, httpx.InvalidURL, UnicodeError, ValueError) as error:
            raise JudgeError(f"{self._name}: cannot ask {url}: {error}") from error
        except httpx.RequestError as error:
            raise TransientJudgeError(f"{self._name}: {url} is out of reach: {error!r}") from error
        if response.is_success:
            return body, response.headers
        text = body.decode(errors="replace")
        message = f"{self._name}: HTTP {response.status_code}: {' '.join(text[:500].split())}"
        error = http_failure(message, response.status_code, response.headers)
        raise _about_parameter(error, text) if response.status_code in (400, 422) else error

    def _body(self, response: httpx.Response) -> bytes:
        body = bytearray()
        for part in response.iter_bytes():
            body += part
            if len(body) > LARGEST_BODY:
                raise JudgeError(f"{self._name}: the response is larger than {LARGEST_BODY >> 20} MiB")
        return bytes(body)

    def _read(self, route: Route, body: bytes, headers: httpx.Headers) -> Reply:
        """Read the body of an answer whose status means success; it may report an error nevertheless."""
        shown = quoted(body[:1000].decode(errors="replace"))
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
            reply = route.read(data)
        except Exception:
            reply = None
        if reply is None:
            raise JudgeError(f"{self._name}: the response is no chat completion: {shown}")
        return reply

    def _route(self) -> Route:
        with self._lock:
            if self._known_route is None:
                try:
                    self._known_route = route_to(self._name, self._model, self._base_url, self._api_key)
                except JudgeError:
                    raise
                except Exception as error:
                    raise JudgeError(f"{self._name}:/{self._model} cannot be set up: {error}") from error
            return self._known_route


def _response_format(schema: type[BaseModel]) -> dict[str, Any]:
    from mlflow.genai.utils.message_utils import pydantic_to_response_format

    return pydantic_to_response_format(schema)


def _about_parameter(error: JudgeError, text: str) -> JudgeError:
    """Return the error as one about the parameter that the provider refuses, if it names one."""
    lower = text.lower()
    if "temperature" in lower:
        return RefusedParameter("temperature", str(error))
    if any(word in lower for word in ("response_format", "json_schema", "output_config", "structured output")):
        return RefusedParameter("response_format", str(error))
    return error


def price(provider: str, model: str, input_tokens: int, output_tokens: int) -> float | None:
    """Return the price in US dollars; None where MLflow knows none.

    Args:
        provider: as in the model URI, for example `openai`.
    """
    from qualitrace_collector.convert.cost import catalog_name, listed_prices

    listed = catalog_name(provider)
    prices = listed_prices(model, listed) if listed else None
    return None if prices is None else input_tokens * prices[0] + output_tokens * prices[1]
