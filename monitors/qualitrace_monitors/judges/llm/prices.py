"""What a call costs, by the price list that MLflow brings along; its import, at the first question, takes seconds."""

import os

# The list is then not fetched over the network.
os.environ.setdefault("MLFLOW_MODEL_CATALOG_URI", "")


def price(provider: str, model: str, input_tokens: int, output_tokens: int) -> float | None:
    """Return the price in US dollars; None where MLflow knows none.

    Args:
        provider: as in the model URI, for example `openai`.
    """
    from mlflow.utils.providers import cost_per_token

    listed = "bedrock" if provider == "amazon-bedrock" else provider
    cost = cost_per_token(model, input_tokens, output_tokens, custom_llm_provider=listed)
    return None if cost is None else sum(cost)
