"""What a call cost, by the price catalog that MLflow brings along; no network.

MLflow's own function tries to import litellm at each call, and looks the model up again.
"""

from collections.abc import Mapping
from functools import lru_cache

from mlflow.utils.providers import cost_per_token

_INTERNAL = ("gateway:/", "endpoints:/")


def cost_of(model: str | None, provider: str | None, usage: Mapping[str, int]) -> dict[str, float] | None:
    """Return US dollars as MLflow names them, None without a price.

    Cached tokens are part of the input tokens and have prices of their own, as in
    `mlflow.tracing.utils.calculate_cost_by_model_and_token_usage`.
    """
    tokens, answer = usage.get("input_tokens", 0), usage.get("output_tokens", 0)
    if not model or model.startswith(_INTERNAL) or not (tokens or answer):
        return None
    prices = _prices(model, (provider or "").lower() or None)
    if prices is None:
        return None
    read, written = usage.get("cache_read_input_tokens", 0), usage.get("cache_creation_input_tokens", 0)
    input_cost = max(tokens - read - written, 0) * prices[0] + read * prices[2] + written * prices[3]
    output_cost = answer * prices[1]
    return {"input_cost": input_cost, "output_cost": output_cost, "total_cost": input_cost + output_cost}


@lru_cache(maxsize=1024)
def _prices(model: str, provider: str | None) -> tuple[float, float, float, float] | None:
    """Return the price of one token of input, output, read from and written to the cache."""
    if provider is None and model.startswith(("databricks-", "databricks/")):
        provider = "databricks"
    for hint in dict.fromkeys((provider, None)):
        plain = cost_per_token(model, prompt_tokens=1, completion_tokens=1, custom_llm_provider=hint)
        if plain is not None:
            read = cost_per_token(model, prompt_tokens=1, custom_llm_provider=hint, cache_read_input_tokens=1)
            written = cost_per_token(model, prompt_tokens=1, custom_llm_provider=hint, cache_creation_input_tokens=1)
            return (*plain, (read or plain)[0], (written or plain)[0])
    return None
