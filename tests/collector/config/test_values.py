"""What configuration values are shown as, and which are refused."""

import pytest

from qualitrace_collector.config.values import without_credentials
from qualitrace_collector.mlflow_store.store import StoreUnavailable, TraceStore


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("http://user:pass@mlflow:5000/x", "http://mlflow:5000/x"),
        ("postgresql://u:p@ss@db/mlflow", "postgresql://db/mlflow"),
        ("GET http://u:p@a/ failed: https://v:q@b:1?c@d", "GET http://a/ failed: https://b:1?c@d"),
        ("sqlite:////data/a@b/mlflow.db", "sqlite:////data/a@b/mlflow.db"),
        ("http://mlflow/users/a@b", "http://mlflow/users/a@b"),
    ],
)
def test_no_uri_shows_its_password(text: str, shown: str):
    """User and password go, wherever in a text the URI stands; an @ elsewhere stays."""
    assert without_credentials(text) == shown


def test_an_outage_of_mlflow_does_not_show_its_password():
    """The message, which is logged and shown on /readyz, names the server alone, though MLflow's own error does not."""
    store = TraceStore("http://user:s3cret@127.0.0.1:9", "", "x")
    with pytest.raises(StoreUnavailable) as raised:
        store.check()
    assert "127.0.0.1:9" in str(raised.value)
    assert "s3cret" not in str(raised.value)
