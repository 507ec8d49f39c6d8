"""The TracerProvider for apps that have none."""

import importlib.metadata

from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace._sampling_experimental import (
    composable_traceid_ratio_based,
    composite_sampler,
)
from opentelemetry.sdk.trace.sampling import DEFAULT_ON, ParentBased, Sampler

from qualitrace.settings import Settings


def make_provider(settings: Settings) -> TracerProvider:
    """Make a provider whose end is ours: it does not wait at exit by itself."""
    return TracerProvider(sampler=_sampler(settings.sample_ratio), resource=_resource(settings), shutdown_on_exit=False)


def _sampler(ratio: float) -> Sampler:
    """Sample consistently, and tell the ratio in the trace state (`ot=th:`), so that it can be weighed.

    `ParentBased` hands the state on to children; `composable_parent_threshold` gets none from the SDK to
    hand on.
    """
    if ratio == 1:
        return DEFAULT_ON
    return ParentBased(composite_sampler(composable_traceid_ratio_based(ratio)))


def _resource(settings: Settings) -> Resource:
    attributes = {
        "service.name": settings.service_name,
        "telemetry.distro.name": "qualitrace",
        "telemetry.distro.version": importlib.metadata.version("qualitrace"),
    }
    if settings.environment:
        attributes["deployment.environment.name"] = settings.environment
    return Resource.create(attributes)
