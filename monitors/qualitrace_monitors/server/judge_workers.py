"""The judges of the `work` process, by the threads in which they run."""

from collections.abc import Sequence

from opentelemetry.trace import Tracer

from qualitrace_collector.mlflow_store.store import TraceStore
from qualitrace_collector.process.in_work import GROUPS, InWork
from qualitrace_collector.state import Database
from qualitrace_monitors.budget.spending import Spending
from qualitrace_monitors.component_names import JUDGING
from qualitrace_monitors.config import Config
from qualitrace_monitors.judges.build import JudgeStage, build_stages
from qualitrace_monitors.judging.calls import Calls, CallsInTurn, ConcurrentCalls
from qualitrace_monitors.judging.judgement import Judgement
from qualitrace_monitors.judging.metrics import JudgeMetrics
from qualitrace_monitors.judging.worker import JudgeWorker

LOCAL_BATCH = 256
SLOW_GROUPS = 8
"""Into how many groups the calls are divided that were in flight when the process died: each group takes seconds."""


def build_judge_workers(
    config: Config,
    key: bytes,
    parts: tuple[Database, TraceStore, JudgeMetrics, Spending],
    earlier: Sequence[InWork],
    tracer: Tracer,
) -> dict[str, tuple[JudgeWorker, InWork]]:
    """Make one worker for the local judges, and one for the judges of each provider, by their threads' names.

    Args:
        key: the secret of the data folder.
        earlier: what is in work in front of the judges.
        tracer: for the server's own spans.

    Returns:
        Each worker with what it has in work.
    """
    lanes: dict[str, list[JudgeStage]] = {"local": []}
    for stage in build_stages(config.judges, key):
        lanes.setdefault(stage.lane, []).append(stage)
    before = [*earlier]
    workers: dict[str, tuple[JudgeWorker, InWork]] = {}
    for number, (lane, stages) in enumerate(lanes.items()):
        is_local = lane == "local"
        calls: Calls[Judgement] = CallsInTurn(LOCAL_BATCH) if is_local else ConcurrentCalls()
        in_work = InWork(config.data_dir / f"judge-{number}.in-work", GROUPS if is_local else SLOW_GROUPS)
        workers[f"{JUDGING}:{number}"] = (
            JudgeWorker(stages, *parts, calls, in_work, earlier=[*before], tracer=tracer),
            in_work,
        )
        if is_local:  # what computes is acquitted in seconds; calls over the network hold up nothing else
            before.append(in_work)
    return workers
