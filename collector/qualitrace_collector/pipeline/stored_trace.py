"""What coverage, sampling and metrics read of a trace that is stored."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

from qualitrace_collector.convert.build_sample import outermost, root_of
from qualitrace_collector.convert.mlflow_span import AnySpan
from qualitrace_collector.convert.span_draft import CALL_TYPES
from qualitrace_collector.convert.spending import SpanUsage, spending
from qualitrace_collector.names import BoundedNames
from qualitrace_collector.state import Spent
from qualitrace_collector.state.coverage import INPUT, OUTPUT, USD

# A client that makes up names of models must not make the state of one trace, or Prometheus, grow with them.
MAX_MODELS = 100


@dataclass(frozen=True, kw_only=True)
class StoredTrace:
    """A trace with all the spans that MLflow has of it once its batch is stored.

    Coverage, sampling and metrics read the same things of it, each of which takes a walk over its spans.

    Attributes:
        trace_id: MLflow's.
        tenant: whose it is; empty without tenants, and for a trace whose root is not waited for any more.
        tracestate: of the local root; empty if it does not matter.
        known: it was complete before: a late span came, or the journal was replayed.
    """

    trace_id: str
    service: str
    spans: Sequence[AnySpan]
    tenant: str = ""
    tracestate: str = ""
    known: bool = False

    @cached_property
    def root(self) -> AnySpan:
        """The local root."""
        return root_of(self.spans)

    @cached_property
    def calls(self) -> Sequence[AnySpan]:
        """The model calls that no other call contains, in order of their start."""
        return outermost(self.spans, CALL_TYPES)

    @cached_property
    def spending(self) -> Sequence[SpanUsage]:
        """The tokens and US dollars, at the spans where they count."""
        return spending(self.spans)

    @cached_property
    def spent(self) -> Spent:
        """The sums of `spending` by model; models beyond `MAX_MODELS` are called `other`."""
        totals: dict[str, dict[str, float]] = {}
        models = BoundedNames(MAX_MODELS, MAX_MODELS)
        for item in self.spending:
            for kind, amount in ((INPUT, item.input), (OUTPUT, item.output), (USD, item.cost_usd)):
                if amount:
                    of_model = totals.setdefault(models.bound(item.model or "unknown", "", 0.0), {})
                    of_model[kind] = of_model.get(kind, 0) + amount
        return totals
