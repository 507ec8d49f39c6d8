"""For all tests: MLflow as it runs in our processes, patient property tests, a receiver of webhooks."""

from collections.abc import Iterator

import pytest
from hypothesis import HealthCheck, settings

from qualitrace_collector.process.startup import apply_mlflow_settings
from support.webhooks import WebhookReceiver

apply_mlflow_settings()

settings.register_profile("patient", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("patient")


@pytest.fixture
def webhook_receiver() -> Iterator[WebhookReceiver]:
    """Provide a started receiver of webhooks."""
    receiver = WebhookReceiver()
    receiver.start()
    yield receiver
    receiver.stop()
