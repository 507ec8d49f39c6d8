"""Finds the experiment that a trace is stored in: `mlflow.experiment` with its service and tenant filled in."""

import logging
import re
from collections.abc import Callable
from typing import Any, NamedTuple

from mlflow.entities import Experiment, ExperimentTag, LifecycleStage, ViewType
from mlflow.exceptions import MlflowException
from mlflow.store.tracking.abstract_store import AbstractStore
from mlflow.utils import get_results_from_paginated_fn

from qualitrace_collector.convert import ConvertedTrace
from qualitrace_collector.names import clean

DEFAULT_TENANT = "default"

WRITTEN_BY = "qualitrace_collector"
"""Tag of the experiments that a collector has stored traces in; retention deletes from no other."""

PAGE = 1000

_log = logging.getLogger(__name__)
_PLACEHOLDER = re.compile(r"\{service\.name\}|\{tenant\}")


class ExperimentPlace(NamedTuple):
    """An experiment: its id, and the URI of its artifacts."""

    experiment_id: str
    artifact_location: str


PlacedTrace = tuple[ExperimentPlace, ConvertedTrace]
"""A trace, and the experiment that it belongs to."""


class Experiments:
    """Finds or creates experiments, and remembers them.

    Args:
        store: returns MLflow's store.
        name: of the experiments; `{service.name}` stands for the trace's service, `{tenant}` for its tenant, which
            is `default` for traces without one.
    """

    def __init__(self, store: Callable[[], AbstractStore], name: str) -> None:
        self._store = store
        self._name = name
        self._places: dict[tuple[str, str], ExperimentPlace] = {}
        self._deleted: set[str] = set()

    def place(self, trace: ConvertedTrace) -> ExperimentPlace:
        """Return the experiment of a trace.

        Raises:
            MlflowException: it can be neither found nor created.
        """
        service, tenant = trace.service, trace.piece.tenant or DEFAULT_TENANT
        if (service, tenant) not in self._places:
            values = {"{service.name}": service, "{tenant}": tenant}
            name = clean(_PLACEHOLDER.sub(lambda match: values[match[0]], self._name))
            self._places[service, tenant] = self._marked(name)
        return self._places[service, tenant]

    def forget(self) -> None:
        """Look for all of them again, as one may have been deleted."""
        self._places.clear()

    def _marked(self, name: str) -> ExperimentPlace:
        found = find_or_create(self._store(), name)
        if found.lifecycle_stage == LifecycleStage.DELETED:
            # It still takes traces: MLflow refuses a new experiment of its name, and refused traces would be lost.
            self._warn_deleted(found)
        else:
            self._deleted.discard(name)
            if WRITTEN_BY not in found.tags:
                self._store().set_experiment_tag(found.experiment_id, ExperimentTag(WRITTEN_BY, "true"))
        return ExperimentPlace(str(found.experiment_id), found.artifact_location)

    def _warn_deleted(self, experiment: Experiment) -> None:
        if experiment.name not in self._deleted:
            _log.warning(
                "experiment %r is deleted in MLflow: what comes for it is stored, but not shown; restore it (mlflow "
                "experiments restore --experiment-id %s), or delete it for good (mlflow gc), and it is made anew",
                experiment.name,
                experiment.experiment_id,
            )
        self._deleted.add(experiment.name)


def find_or_create(mlflow: AbstractStore, name: str) -> Experiment:
    """Return the experiment of that name; create it if there is none."""
    store: Any = mlflow  # some of its methods declare no result
    found = store.get_experiment_by_name(name)
    if found is not None:
        return found
    try:
        return store.get_experiment(store.create_experiment(name, None, []))
    except MlflowException:
        found = store.get_experiment_by_name(name)  # another process may have created it meanwhile
        if found is None:
            raise
        return found


def written_experiments(mlflow: AbstractStore) -> list[str]:
    """Return the ids of the experiments that a collector has ever stored traces in, deleted ones too."""

    def page(size: int, token: str | None) -> Any:
        ours = f"tags.{WRITTEN_BY} = 'true'"
        return mlflow.search_experiments(ViewType.ALL, size, filter_string=ours, page_token=token)

    return [str(experiment.experiment_id) for experiment in get_results_from_paginated_fn(page, PAGE)]
