"""What a route is: how the request of a chat call is formed, and its answer read."""

from typing import Any, Protocol

from qualitrace_monitors.judges.llm.bodies import Reply, read_body
from qualitrace_monitors.judges.llm.sender import ChatRequest


class Route(Protocol):
    """The way to a model. Thread-safe."""

    address_setting: str = "base_url (or the provider's address in the environment)"
    """What sets the provider's address, for errors."""

    def request(self, payload: dict[str, Any]) -> ChatRequest:
        """Form the request of a payload in OpenAI's chat form."""
        ...

    def read(self, data: Any) -> Reply | None:
        """Read the JSON of the answer; None, or any exception, if it is not a chat completion."""
        return read_body(data)
