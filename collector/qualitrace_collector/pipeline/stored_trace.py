"""What coverage, sampling and metrics read of a trace that is stored."""

import json
import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from mlflow.entities import Span, SpanType

from qualitrace_collector.convert.build_sample import is_answered, metadata_of, outermost, root_of
from qualitrace_collector.convert.judged_request import judged_request
from qualitrace_collector.convert.mlflow_span import AnySpan
from qualitrace_collector.convert.otlp_values import attribute_values
from qualitrace_collector.convert.prompts import TAG_PREFIX
from qualitrace_collector.convert.root import ORIGIN_KEYS
from qualitrace_collector.convert.span_draft import CALL_TYPES
from qualitrace_collector.convert.spending import SpanUsage, spending
from qualitrace_collector.names import BoundedNames
from qualitrace_collector.piece import SpanRecord
from qualitrace_collector.sample import ROOT_METADATA
from qualitrace_collector.state import Spent
from qualitrace_collector.state.coverage import INPUT, OUTPUT, USD

_log = logging.getLogger(__name__)

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
        came: those of the spans that came now, as received.
        read: spans of the trace as MLflow had them before.
    """

    trace_id: str
    service: str
    spans: Sequence[AnySpan]
    tenant: str = ""
    tracestate: str = ""
    known: bool = False
    came: Sequence[SpanRecord] = ()
    read: Sequence[Span] = ()

    @cached_property
    def root(self) -> AnySpan:
        """The local root."""
        return root_of(self.spans)

    @cached_property
    def calls(self) -> Sequence[AnySpan]:
        """The model calls that no other call contains, in order of their start."""
        return outermost(self.spans, CALL_TYPES)

    @cached_property
    def model_calls(self) -> Sequence[AnySpan]:
        """The same with the calls of embedding models."""
        return outermost(self.spans, (*CALL_TYPES, SpanType.EMBEDDING))

    @cached_property
    def metadata(self) -> Mapping[str, str]:
        """Where the answer comes from, as in its `Sample`; the service alone if a client's content cannot be read."""
        try:
            ordered = sorted(self.spans, key=lambda span: (span.start_time_ns, span.span_id))
            root, judged = judged_request(ordered, is_answered)
            return metadata_of(root, judged, outermost(judged, CALL_TYPES), self.service)
        except Exception:
            _log.exception("the content of trace %s cannot be read", self.trace_id)
            return {"service": self.service}

    @cached_property
    def resource(self) -> Mapping[str, Any]:
        """The attributes of the local root's resource."""
        root_id = bytes.fromhex(self.root.span_id)
        own = next((record.resource for record in self.came if record.span.span_id == root_id), None)
        if own is not None:
            return attribute_values(own.attributes)
        return self.read[0]._span.resource.attributes if self.read else {}  # pyright: ignore[reportPrivateUsage]

    def find(self, name: str) -> str | None:
        """Return a field of the metadata, or an attribute of the local root, a tag, or an attribute of the resource."""
        if name == "service":  # most ask for nothing else, which needs no walk over the spans
            return self.service
        if found := self.metadata.get(name):
            return found
        attribute = self.root.get_attribute
        # A trace whose root did not come has its release and environment in the resource alone.
        keys = [key for key in ORIGIN_KEYS if ROOT_METADATA[key] == name] or [name]
        values = (attribute(name), attribute(TAG_PREFIX + name), *map(self.resource.get, keys))
        value = next((value for value in values if value is not None), None)
        return value if value is None or isinstance(value, str) else json.dumps(value, default=str)

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
