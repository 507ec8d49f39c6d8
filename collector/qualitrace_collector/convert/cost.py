"""What a call cost, by the price catalog that MLflow brings along; no network.

MLflow's own function tries to import litellm at each call, and looks the model up again.
"""

from collections.abc import Mapping

from qualitrace_collector.convert.prices import prices_of
from qualitrace_collector.convert.usage import CACHE_READ, CACHE_WRITTEN, INPUT, OUTPUT


def cost_of(model: str | None, provider: str | None, usage: Mapping[str, int]) -> dict[str, float] | None:
    """Return US dollars as MLflow names them, None without a price.

    Cached tokens are part of the input tokens and have prices of their own, as in
    `mlflow.tracing.utils.calculate_cost_by_model_and_token_usage`.
    """
    tokens, answer = usage.get(INPUT, 0), usage.get(OUTPUT, 0)
    if not model or not (tokens or answer) or (prices := prices_of(model, provider)) is None:
        return None
    read, written = usage.get(CACHE_READ, 0), usage.get(CACHE_WRITTEN, 0)
    input_cost = max(tokens - read - written, 0) * prices[0] + read * prices[2] + written * prices[3]
    output_cost = answer * prices[1]
    return {"input_cost": input_cost, "output_cost": output_cost, "total_cost": input_cost + output_cost}
