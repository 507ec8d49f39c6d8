"""One chat call by MLflow model URI: a route shapes it, httpx sends it, and what goes wrong is told in one place.

MLflow, for most routes, is imported at the first call only: its import takes seconds.
"""

import json
import threading
from typing import Any

import httpx
from pydantic import BaseModel

from qualitrace_monitors.judges.contract import JudgeError, TransientJudgeError
from qualitrace_monitors.judges.failures import failure, quoted, refusal, reported_failure
from qualitrace_monitors.judges.llm.bedrock import BedrockRoute
from qualitrace_monitors.judges.llm.bodies import Reply, error_in
from qualitrace_monitors.judges.llm.prices import price
from qualitrace_monitors.judges.llm.routes import Call, EndpointRoute, GatewayRoute, Route

LARGEST_BODY = 8 * 1024 * 1024
"""Bytes of an answer that are read."""


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
        reply = self._read(route, *self._post(self._formed(route, payload)))
        return reply._replace(cost_usd=price(self._name, self._model, reply.input_tokens, reply.output_tokens))

    def _formed(self, route: Route, payload: dict[str, Any]) -> Call:
        try:
            return route.call(payload)
        except Exception as error:
            raise failure(f"{self._name}: cannot form the request", error) from error

    def _post(self, call: Call) -> tuple[bytes, httpx.Headers]:
        """Send a call; the body and the headers of an answer that means success."""
        try:
            with self._client.stream(
                "POST", call.url, headers=call.headers, json=call.body, auth=call.auth
            ) as response:
                body = self._body(response)
        except (httpx.UnsupportedProtocol, httpx.InvalidURL, UnicodeError, ValueError) as error:
            raise JudgeError(f"{self._name}: cannot ask {call.url}: {error}") from error
        except httpx.RequestError as error:
            raise TransientJudgeError(f"{self._name}: {call.url} is out of reach: {error!r}") from error
        if response.is_success:
            return body, response.headers
        raise _error(self._name, response, body.decode(errors="replace"))

    def _body(self, response: httpx.Response) -> bytes:
        body = bytearray()
        for part in response.iter_bytes():
            body += part
            if len(body) > LARGEST_BODY:
                raise JudgeError(f"{self._name}: the response is larger than {LARGEST_BODY >> 20} MiB")
        return bytes(body)

    def _read(self, route: Route, body: bytes, headers: httpx.Headers) -> Reply:
        """Read the body of an answer that means success, which may report an error all the same."""
        shown = quoted(body[:1000].decode(errors="replace"))
        try:
            data = json.loads(body)
        except (ValueError, RecursionError) as error:  # a proxy's page, or an answer that broke off
            raise TransientJudgeError(f"{self._name}: the response is no JSON: {shown}") from error
        if (reported := error_in(data)) is not None:
            error = reported_failure(self._name, reported, headers)
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
                    self._known_route = _route_to(self._name, self._model, self._base_url, self._api_key)
                except JudgeError:
                    raise
                except Exception as error:
                    raise JudgeError(f"{self._name}:/{self._model} cannot be set up: {error}") from error
            return self._known_route


def _response_format(schema: type[BaseModel]) -> dict[str, Any]:
    from mlflow.genai.utils.message_utils import pydantic_to_response_format

    return pydantic_to_response_format(schema)


def _route_to(name: str, model: str, base_url: str | None, api_key: str | None) -> Route:
    if name == "endpoints":
        if base_url or api_key:
            raise JudgeError("endpoints:/ takes no base_url or api_key: set MLFLOW_DEPLOYMENTS_TARGET")
        return EndpointRoute(model)
    if name in ("bedrock", "amazon-bedrock"):
        return BedrockRoute(model, base_url, api_key)
    return GatewayRoute(name, model, base_url, api_key)


def _error(name: str, response: httpx.Response, text: str) -> JudgeError:
    """Turn an HTTP error into the error that says whether to try again, and how."""
    message = f"{name}: HTTP {response.status_code}: {' '.join(text[:500].split())}"
    error = refusal(message, response.status_code, response.headers)
    return _about_parameter(error, text) if response.status_code in (400, 422) else error


def _about_parameter(error: JudgeError, text: str) -> JudgeError:
    """Name the parameter that a refusal is about, if it is about one."""
    lower = text.lower()
    if "temperature" in lower:
        return RefusedParameter("temperature", str(error))
    if any(word in lower for word in ("response_format", "json_schema", "output_config", "structured output")):
        return RefusedParameter("response_format", str(error))
    return error
