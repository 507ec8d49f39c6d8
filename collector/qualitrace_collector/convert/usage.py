"""Tokens of a call in MLflow's form: input with all cached tokens in it, output with all reasoning in it.

Libraries report cached tokens as a part of the input (OpenAI, Gemini, OpenTelemetry's gen_ai.usage.input_tokens), or
apart from it (Anthropic, Bedrock's Converse), and many pass on what the provider reports. The same goes for reasoning:
Gemini counts thoughts apart from the candidates. A total that only one reading adds up to shows which it is; so does a
part that is larger than the whole.
"""

from collections.abc import Mapping

INPUT, OUTPUT, TOTAL = "input_tokens", "output_tokens", "total_tokens"
CACHE_READ, CACHE_WRITTEN = "cache_read_input_tokens", "cache_creation_input_tokens"
REASONING = "reasoning_tokens"


def with_total(usage: dict[str, int]) -> dict[str, int] | None:
    """Add the total to counts that lack it; None if there is neither input nor output nor total."""
    if INPUT in usage and OUTPUT in usage:
        usage.setdefault(TOTAL, usage[INPUT] + usage[OUTPUT])
    return usage if usage.keys() & {INPUT, OUTPUT, TOTAL} else None


def whole(usage: Mapping[str, int], *, apart: bool = False) -> dict[str, int]:
    """Return the counts with cached tokens in the input and reasoning in the output.

    Args:
        apart: cached tokens are known to be counted apart from the input, whatever the total is: libraries that do so
            often add the total up themselves.
    """
    cached, reasoning = usage.get(CACHE_READ, 0) + usage.get(CACHE_WRITTEN, 0), usage.get(REASONING, 0)
    if not cached and not reasoning:
        return dict(usage)
    asked, answered = usage.get(INPUT, 0), usage.get(OUTPUT, 0)
    total = None if apart else usage.get(TOTAL)
    more_input, more_output = apart_from((asked, answered), (cached, reasoning), total, default=(apart, False))
    found = dict(usage)
    if more_input:
        found[INPUT] = asked + cached
    if more_output:
        found[OUTPUT] = answered + reasoning
    if more_input or more_output:
        found[TOTAL] = found.get(INPUT, 0) + found.get(OUTPUT, 0)
    return found


def apart_from(
    wholes: tuple[int, int], parts: tuple[int, int], total: int | None, default: tuple[bool, bool]
) -> tuple[bool, bool]:
    """Decide for input and output whether their parts are counted apart from them, and are to be added.

    Args:
        total: what all should add up to, if that is known.
        default: the decision where nothing else shows it.
    """
    possible = [
        (add_input, add_output)
        for add_input in dict.fromkeys((default[0], not default[0]))
        for add_output in dict.fromkeys((default[1], not default[1]))
        if (add_input or parts[0] <= wholes[0]) and (add_output or parts[1] <= wholes[1])
    ]
    adding_up = [adds for adds in possible if sum(wholes) + adds[0] * parts[0] + adds[1] * parts[1] == total]
    return (adding_up or possible)[0]
