"""Head sampling: which traces are exported (OpenTelemetry's consistent probability sampling)."""

from typing import Any

from opentelemetry.context import Context
from opentelemetry.sdk.trace._sampling_experimental import (
    composable_always_on,
    composable_traceid_ratio_based,
    composite_sampler,
)
from opentelemetry.sdk.trace._sampling_experimental._trace_state import OtelTraceState
from opentelemetry.sdk.trace._sampling_experimental._util import is_valid_threshold
from opentelemetry.sdk.trace.sampling import ALWAYS_ON, ParentBased, Sampler, SamplingResult
from opentelemetry.trace import get_current_span


def sampler(ratio: float, *, follows_caller: bool) -> Sampler:
    """Return a consistent sampler that writes its ratio into the trace state (`ot=th:`), so that it can be weighed.

    It decides once in each process. The same trace is in every sample of a higher ratio, whichever service decides.

    Args:
        ratio: share of the traces that are sampled.
        follows_caller: whether the `sampled` flag of a calling service decides instead, where there is one.
    """
    # Not composable_parent_threshold: the SDK does not give it the parent's trace state, which children would lose.
    own = _Own(composite_sampler(composable_always_on() if ratio == 1 else composable_traceid_ratio_based(ratio)))
    root = ALWAYS_ON if ratio == 1 else own  # a trace that is in any case there needs no `ot=th:0`
    if follows_caller:
        return ParentBased(root)
    remote = _OfRemote(own)
    return ParentBased(root, remote_parent_sampled=remote, remote_parent_not_sampled=remote)


class _Own(Sampler):
    """A consistent sampler that keeps what the SDK's loses: the span's attributes, and the caller's trace state."""

    def __init__(self, sampler: Sampler) -> None:
        self._sampler = sampler

    def should_sample(
        self, parent_context: Context | None, trace_id: int, name: str, *args: Any, **kwargs: Any
    ) -> SamplingResult:
        """Return the decision, by the caller's randomness where there is one."""
        kwargs["trace_state"] = get_current_span(parent_context).get_span_context().trace_state
        result = self._sampler.should_sample(parent_context, trace_id, name, *args, **kwargs)
        attributes = kwargs.get("attributes", args[1] if len(args) > 1 else None)
        return SamplingResult(result.decision, attributes, result.trace_state)

    def get_description(self) -> str:
        """Return what the sampler is called."""
        return self._sampler.get_description()


class _OfRemote(Sampler):
    """Decides on a call from another service.

    Tracers of other vendors leave most traces out by default, and their flag says nothing about answers of models. A
    caller that has sampled the trace with a known probability is followed, so that such traces are whole.
    """

    def __init__(self, own: Sampler) -> None:
        self._own = own

    def should_sample(self, parent_context: Context | None, *args: Any, **kwargs: Any) -> SamplingResult:
        """Return the caller's decision if it is to be followed, else our own."""
        caller = get_current_span(parent_context).get_span_context()
        weighed = is_valid_threshold(OtelTraceState.parse(caller.trace_state).threshold)
        chosen = ALWAYS_ON if caller.trace_flags.sampled and weighed else self._own
        return chosen.should_sample(parent_context, *args, **kwargs)

    def get_description(self) -> str:
        """Return what the sampler is called."""
        return self._own.get_description()
