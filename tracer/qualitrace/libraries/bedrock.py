"""When boto3 becomes a client of models: Amazon Bedrock is one of its hundreds of services."""

from collections.abc import Callable
from typing import Any

import wrapt

_SERVICES = ("bedrock-runtime", "bedrock-agent-runtime")


def on_first_client(start: Callable[[], None]) -> None:
    """Call `start` before the first client of Bedrock is made; botocore then loads the service's description.

    Most apps use boto3 for something else. They neither load the instrumentor nor hear that it is missing.
    """
    seen: list[str] = []

    def load(wrapped: Any, loader: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        service = args[0] if args else kwargs.get("service_name")
        if service in _SERVICES and not seen:
            seen.append(service)
            start()
        return wrapped(*args, **kwargs)

    # Clients of aiobotocore pass here, too, unlike by the method that makes a client.
    wrapt.wrap_function_wrapper("botocore.loaders", "Loader.load_service_model", load)
