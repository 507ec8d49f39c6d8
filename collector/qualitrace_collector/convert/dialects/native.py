"""MLflow's own clients: fields come in MLflow's form, as JSON text under MLflow's names (mlflow.tracing.constant)."""

from qualitrace_collector.convert.dialects.dialect import Dialect
from qualitrace_collector.convert.span_draft import SpanDraft, amounts, counts
from qualitrace_collector.convert.usage import CACHE_READ, CACHE_WRITTEN, INPUT, OUTPUT, TOTAL


def _read(draft: SpanDraft) -> None:
    draft.native = "mlflow.spanType" in draft.values or "mlflow.traceRequestId" in draft.values
    kind = draft.text(("mlflow.spanType",))
    draft.type = None if kind == "UNKNOWN" else kind
    if draft.native:
        draft.usage = counts(draft.loads(draft.values.get("mlflow.chat.tokenUsage")), _USAGE) or None
        draft.cost = amounts(draft.loads(draft.values.get("mlflow.llm.cost")), _COST) or None


_USAGE = {name: (name,) for name in (INPUT, OUTPUT, TOTAL, CACHE_READ, CACHE_WRITTEN)}
_COST = {name: (name,) for name in ("input_cost", "output_cost", "total_cost")}

MLFLOW = Dialect(
    roots=frozenset({"mlflow"}),
    inputs=("mlflow.spanInputs",),
    outputs=("mlflow.spanOutputs",),
    tools=("mlflow.chat.tools",),
    model=("mlflow.llm.model",),
    provider=("mlflow.llm.provider",),
    before=_read,
)
