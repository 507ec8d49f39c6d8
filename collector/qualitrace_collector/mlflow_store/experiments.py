"""The experiment that a trace is stored in: `mlflow.experiment` with its service and tenant filled in."""

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
"""Tag of the experiments that a collector stores traces in: retention looks at no other."""

PAGE = 1000

_log = logging.getLogger(__name__)
_PLACEHOLDER = re.compile(r"\{service\.name\}|\{tenant\}")


class Place(NamedTuple):
    """An experiment's id, and where its artifacts are."""

    experiment_id: str
    artifact_location: str


PlacedTrace = tuple[Place, ConvertedTrace]
"""A trace and where it belongs."""


class Experiments:
    """Finds or makes experiments, and remembers them.

    A deleted one goes on taking traces. MLflow would refuse a new one of its name, and refusing the traces would lose
    them; so they are stored, where they are seen once the experiment is restored, and a warning says so.

    Args:
        store: returns MLflow's store.
        name: of the experiments; `{service.name}` is replaced by the trace's service, `{tenant}` by its tenant, which
            is `default` for traces without one.
    """

    def __init__(self, store: Callable[[], AbstractStore], name: str) -> None:
        self._store = store
        self._name = name
        self._places: dict[tuple[str, str], Place] = {}
        self._deleted: set[str] = set()

    def place(self, trace: ConvertedTrace) -> Place:
        """Return where a trace belongs.

        Raises:
            MlflowException: the experiment cannot be found or made.
        """
        service, tenant = trace.service, trace.tenant or DEFAULT_TENANT
        if (service, tenant) not in self._places:
            values = {"{service.name}": service, "{tenant}": tenant}
            name = clean(_PLACEHOLDER.sub(lambda match: values[match[0]], self._name))
            self._places[service, tenant] = self._marked(name)
        return self._places[service, tenant]

    def forget(self) -> None:
        """Look for all of them again: one may have been deleted, also for good."""
        self._places.clear()

    def _marked(self, name: str) -> Place:
        found = find_or_create(self._store(), name)
        if found.lifecycle_stage == LifecycleStage.DELETED:
            self._tell_deleted(found)
        else:
            self._deleted.discard(name)
            if WRITTEN_BY not in found.tags:
                self._store().set_experiment_tag(found.experiment_id, ExperimentTag(WRITTEN_BY, "true"))
        return Place(str(found.experiment_id), found.artifact_location)

    def _tell_deleted(self, experiment: Experiment) -> None:
        if experiment.name not in self._deleted:
            _log.warning(
                "experiment %r is deleted in MLflow: what comes for it is stored, but not shown; restore it (mlflow "
                "experiments restore --experiment-id %s), or delete it for good (mlflow gc), and it is made anew",
                experiment.name,
                experiment.experiment_id,
            )
        self._deleted.add(experiment.name)


def find_or_create(mlflow: AbstractStore, name: str) -> Experiment:
    """Return the experiment of that name, which is made if need be."""
    store: Any = mlflow  # some of its methods declare no result
    found = store.get_experiment_by_name(name)
    if found is not None:
        return found
    try:
        return store.get_experiment(store.create_experiment(name, None, []))
    except MlflowException:
        found = store.get_experiment_by_name(name)  # another process was faster
        if found is None:
            raise
        return found


def written_experiments(mlflow: AbstractStore) -> list[str]:
    """Return the ids of the experiments that a collector ever stored traces in, also of those deleted since."""

    def page(size: int, token: str | None) -> Any:
        ours = f"tags.{WRITTEN_BY} = 'true'"
        return mlflow.search_experiments(ViewType.ALL, size, filter_string=ours, page_token=token)

    return [str(experiment.experiment_id) for experiment in get_results_from_paginated_fn(page, PAGE)]
