"""What configuration values are shown as, and which are refused."""

import pytest

from qualitrace_collector.mlflow_store.store import StoreUnavailable, TraceStore


def test_an_outage_of_mlflow_does_not_show_its_password():
    """The message, which is logged and shown on /readyz, names the server alone, though MLflow's own error does not."""
    store = TraceStore("http://user:s3cret@127.0.0.1:9", "", "x")
    with pytest.raises(StoreUnavailable) as raised:
        store.check()
    assert "127.0.0.1:9" in str(raised.value)
    assert "s3cret" not in str(raised.value)
