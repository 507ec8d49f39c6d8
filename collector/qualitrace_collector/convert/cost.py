"""The cost of a call in US dollars, as its client states it or by the price catalog that comes with MLflow.

Clients state costs under many names. A dialect's own names are in its table; here are those that any service may use,
and those in recorded responses: Claude's SDKs (`total_cost_usd`), OpenRouter's usage accounting (`usage.cost`), the AI
SDK's providerMetadata (Vercel's gateway, OpenRouter).

The catalog has one spelling for a model. A client may use its provider's (`us.anthropic.claude-…-v1:0`,
`models/gemini-…`), a gateway's (`openrouter/anthropic/…`) or an alias (`…-latest`), and OpenTelemetry, LangChain and
the AI SDK name providers differently. The price of a model that is listed without one is unknown, not zero.
"""

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import lru_cache
from itertools import product
from typing import Any

from mlflow.environment_variables import MLFLOW_MODEL_CATALOG_URI
from mlflow.utils.providers import cost_per_token, get_models

from qualitrace_collector.convert.content import at
from qualitrace_collector.convert.span_draft import RESPONDING_TYPES, SpanDraft, number
from qualitrace_collector.convert.usage import CACHE_READ, CACHE_WRITTEN, INPUT, OUTPUT

# US dollars by MLflow's names: `input_cost`, `output_cost`, `total_cost`.
Cost = dict[str, float]

# US dollars for one token of input, of output, read from the cache and written to it.
Prices = tuple[float, float, float, float]

# Providers whose models are kept in memory. The catalog has fewer, but the names come from clients.
MAX_PROVIDERS = 128

# Characters of the longest model's name that is looked up; Amazon's resource names are the longest.
MAX_NAME = 300

# The catalog's name of a provider by others'; OpenTelemetry's are those of `gen_ai.provider.name`.
_PROVIDERS = {
    name: provider
    for provider, names in {
        "bedrock": "aws aws.bedrock aws_bedrock amazon amazon-bedrock amazon_bedrock bedrock_converse",
        "vertex_ai": "gcp.vertex_ai google.vertex google-vertex google_vertexai vertexai vertex",
        "gemini": "gcp.gemini gcp.gen_ai google google.generative-ai google-gla google_genai models",
        "azure": "azure.ai.openai az.ai.openai azure_openai azure-openai",
        "azure_ai": "azure.ai.inference az.ai.inference",
        "cohere_chat": "cohere",
        "fireworks_ai": "fireworks",
        "vercel_ai_gateway": "gateway",
        "mistral": "mistral_ai mistralai",
        "moonshot": "moonshot_ai moonshotai",
        "together_ai": "together togetherai",
        "xai": "x_ai x-ai",
        "zai": "z-ai",
    }.items()
    for name in names.split()
}

# Who made a model, by how its name begins; others sell some of the same names at other prices.
_MAKERS = {
    "anthropic": re.compile(r"claude-"),
    "openai": re.compile(r"gpt-|chatgpt-|o\d(-|$)|text-embedding-|codex-"),
    "gemini": re.compile(r"gemini-"),
    "mistral": re.compile(r"(mi|mini|magi|dev|code)stral|pixtral-"),
    "xai": re.compile(r"grok-"),
    "deepseek": re.compile(r"deepseek-(chat|reasoner)"),
    "cohere_chat": re.compile(r"command-"),
}

# Servers of models on one's own machine: their tokens have no price.
_RUNNERS = ("ollama", "lm_studio", "lmstudio", "llamafile", "llama.cpp", "llamacpp", "hosted_vllm", "vllm", "lemonade")

_INTERNAL = ("gateway:/", "endpoints:/")
_LATEST = "-latest"
_PROVIDER = re.compile(r"[a-z0-9_-]{1,40}")  # it becomes the name of a file of the catalog
_SELLER = re.compile(r"^(?:[a-z-]+\.)+(?=[a-z])")
_VERSION = re.compile(r"-v\d+(:\d+)?$")
_DATE = re.compile(r"-(20\d{2})-?(\d{2})-?(\d{2})$")
_ALIAS = re.compile(r"-latest$|-default$|(?<=^claude-sonnet-4)-0$|(?<=^claude-opus-4)-0$")
_BARING = ((_SELLER, ""), (_VERSION, ""), (re.compile("@"), "-"), (_ALIAS, ""), (_DATE, ""))

# Any service's span may have a price under these names, so they count only at spans that report tokens.
_PLAIN_TOTALS = ("total_cost_usd", "cost_usd", "usage.cost", "total_cost", "cost")

_METADATA = "ai.response.providerMetadata"
_CURRENCIES = ("gen_ai.usage.cost.currency", "gen_ai.cost.currency")
_IN_RESPONSES = (("usage", "cost"), ("total_cost_usd",))
_IN_METADATA = (("gateway", "cost"), ("gateway", "marketCost"), ("openrouter", "usage", "cost"))


class StatedCosts:
    """Reads the cost that the client of a span states.

    Args:
        names: attributes by MLflow's name of what they hold, the preferred name first.
    """

    def __init__(self, names: Mapping[str, Sequence[str]]) -> None:
        self._plain = names["total_cost"], names["input_cost"], names["output_cost"]
        self._with_tokens = (*names["total_cost"], *_PLAIN_TOTALS), *self._plain[1:]
        self._all = frozenset(name for keys in self._with_tokens for name in keys) | {_METADATA}

    def of(self, draft: SpanDraft) -> Cost | None:
        """Return the cost, None if the span states none in US dollars."""
        values, found = draft.values, None
        if not self._all.isdisjoint(values):
            if any(str(values.get(key, "USD")).upper() != "USD" for key in _CURRENCIES):
                return None
            names = self._with_tokens if draft.usage else self._plain
            found = mlflow_cost(*(_first(values[key] for key in keys if key in values) for keys in names))
            if found is None and _METADATA in values:
                metadata = draft.loads(values[_METADATA])
                found = mlflow_cost(_first(at(metadata, *path) for path in _IN_METADATA))
        return found or (_in_response(draft) if draft.type in RESPONDING_TYPES else None)


def mlflow_cost(total: float | None, input_cost: float | None = None, output_cost: float | None = None) -> Cost | None:
    """Return a cost in MLflow's form, None unless the whole is known; an unknown part is 0."""
    if total is None:
        if input_cost is None or output_cost is None:
            return None
        total = input_cost + output_cost
    if input_cost is None and output_cost is not None:
        input_cost = max(total - output_cost, 0.0)
    elif output_cost is None and input_cost is not None:
        output_cost = max(total - input_cost, 0.0)
    return {"input_cost": input_cost or 0.0, "output_cost": output_cost or 0.0, "total_cost": float(total)}


def _first(values: Iterable[Any]) -> float | None:
    """Return the first amount above zero, or else zero if there is one: some libraries state 0 for "unknown"."""
    found = [amount for value in values if (amount := number(value)) is not None]
    return next((amount for amount in found if amount), found[0] if found else None)


def _in_response(draft: SpanDraft) -> Cost | None:
    outputs = draft.outputs
    # A response without the key in its text is not parsed for it.
    if isinstance(outputs, str) and not any(f'"{path[-1]}"' in outputs for path in _IN_RESPONSES):
        return None
    response = draft.loads(outputs)
    return mlflow_cost(_first(at(response, *path) for path in _IN_RESPONSES))


def cost_of(model: str | None, provider: str | None, usage: Mapping[str, int]) -> Cost | None:
    """Return the cost by the catalog, None without a price.

    Cached tokens are part of the input tokens and have prices of their own, as in
    `mlflow.tracing.utils.calculate_cost_by_model_and_token_usage`. That function is not used because it tries to
    import litellm at each call, and looks the model up again.
    """
    input_tokens, output_tokens = usage.get(INPUT, 0), usage.get(OUTPUT, 0)
    if not model or not (input_tokens or output_tokens) or (prices := prices_of(model, provider)) is None:
        return None
    read, written = usage.get(CACHE_READ, 0), usage.get(CACHE_WRITTEN, 0)
    input_cost = max(input_tokens - read - written, 0) * prices[0] + read * prices[2] + written * prices[3]
    output_cost = output_tokens * prices[1]
    return {"input_cost": input_cost, "output_cost": output_cost, "total_cost": input_cost + output_cost}


@lru_cache(maxsize=1024)
def prices_of(model: str, provider: str | None) -> Prices | None:
    """Return the prices of a model, None if the catalog does not have them."""
    if len(model) > MAX_NAME or model.startswith(_INTERNAL):
        return None
    hint = catalog_name(provider or "")
    if hint in _RUNNERS or catalog_name(model.partition("/")[0]) in _RUNNERS:
        return None
    given, bare = _given(model), list(_bared(model.rpartition("/")[2]))
    hints = list(_hints(model, hint, bare[-1] if bare else ""))
    for names, listed in ((given, hints), (given, [None]), (bare, [*hints, None])):
        for name, seller in product(names, listed):
            found = listed_prices(name, seller)
            if found and any(found):
                return found
            if found and seller == hint and not name.endswith(_LATEST):
                return None  # the named provider sells it by another measure: a subscription, or seconds
    return _of_a_dated_version(bare[-1], hints) if bare else None


def catalog_name(provider: str) -> str:
    """Return the catalog's name of a provider; the AI SDK appends an interface (`anthropic.messages`)."""
    name = provider.lower()
    while name not in _PROVIDERS and "." in name:
        name = name.rpartition(".")[0]
    name = _PROVIDERS.get(name, name)
    return name if _PROVIDER.fullmatch(name) else ""


def _hints(model: str, provider: str, name: str) -> Iterator[str]:
    if provider:
        yield provider
    if model.startswith(("databricks-", "databricks/")):
        yield "databricks"
    elif "/" in model:
        yield catalog_name(model.partition("/")[0])
    yield from (maker for maker, names in _MAKERS.items() if names.match(name))


def _given(model: str) -> list[str]:
    """Return the name as it is given, and without the parts before each slash."""
    parts = model.split("/")
    return [name for start in range(len(parts)) if (name := "/".join(parts[start:]))]


def _bared(name: str) -> Iterator[str]:
    """Yield a name with fewer and fewer prefixes and suffixes, the plainest last.

    A model that is tuned or sold apart (`ft:gpt-4o-mini:org::id`, `…:free`) yields nothing: it has a price of its own.
    """
    for pattern, replacement in _BARING:
        name = pattern.sub(replacement, name)
        if name and ":" not in name:
            yield name


def _of_a_dated_version(name: str, hints: Iterable[str]) -> Prices | None:
    """Return the prices of the newest version of a model that the catalog lists under no plain name."""
    for hint in hints:
        if listed := _listed(hint).get(_plainest(name)):
            newest = max((version for version, _ in listed), key=lambda version: (_date(version), -len(version)))
            return listed_prices(newest, hint)
    if MLFLOW_MODEL_CATALOG_URI.get():
        return None  # a search of all providers would fetch all of their lists over the network
    sold = Counter(listed_prices(version, seller) for version, seller in _listed(None).get(_plainest(name), ()))
    price, count = next(iter(sold.most_common(1)), (None, 0))
    return price if count * 2 > sold.total() else None


@lru_cache(maxsize=MAX_PROVIDERS)
def _listed(provider: str | None) -> dict[str, list[tuple[str, str | None]]]:
    """Return the models that have a price, each with its provider, by the plainest form of their names."""
    found: dict[str, list[tuple[str, str | None]]] = {}
    for entry in get_models(provider):
        if entry["input_cost_per_token"]:
            found.setdefault(_plainest(entry["model"]), []).append((entry["model"], entry["provider"]))
    return found


def _plainest(name: str) -> str:
    return next(iter(reversed(list(_bared(name.lower().rpartition("/")[2])))), name).replace(".", "-")


def _date(name: str) -> tuple[str, ...]:
    found = _DATE.search(_VERSION.sub("", name).replace("@", "-"))
    return found.groups() if found else ()


def listed_prices(model: str, provider: str | None) -> Prices | None:
    """Return the prices that the catalog lists for a model, zeros included; None if it lists none.

    Args:
        model: a name of the catalog's.
        provider: likewise (`catalog_name`); None looks for the model at all providers.
    """
    name = f"/{model}"  # cost_per_token drops the part before the first slash
    plain = cost_per_token(name, prompt_tokens=1, completion_tokens=1, custom_llm_provider=provider)
    if plain is None:
        return None
    read = cost_per_token(name, prompt_tokens=1, custom_llm_provider=provider, cache_read_input_tokens=1)
    written = cost_per_token(name, prompt_tokens=1, custom_llm_provider=provider, cache_creation_input_tokens=1)
    return (*plain, (read or plain)[0], (written or plain)[0])
