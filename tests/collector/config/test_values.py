"""What configuration values are shown as, and which are refused."""

import pytest

from qualitrace_collector.config.values import amount_text
from qualitrace_collector.mlflow_store.store import StoreUnavailable, TraceStore


def test_an_outage_of_mlflow_does_not_show_its_password():
    """The message, which is logged and shown on /readyz, names the server alone, though MLflow's own error does not."""
    store = TraceStore("http://user:s3cret@127.0.0.1:9", "", "x")
    with pytest.raises(StoreUnavailable) as raised:
        store.check()
    assert "127.0.0.1:9" in str(raised.value)
    assert "s3cret" not in str(raised.value)


@pytest.mark.parametrize(
    ("value", "digits", "text"),
    [
        (0, 4, "0"),
        (0.1, 4, "0.1"),
        (0.000123456, 2, "0.00012"),
        (340.4, 2, "340"),
        (12_345.678, 4, "12,350"),
        (2_500_000, 6, "2,500,000"),
        (1e21, 4, "1,000,000,000,000,000,000,000"),
    ],
)
def test_amounts_have_no_exponent(value: float, digits: int, text: str) -> None:
    """Nobody who is woken at night reads 1.235e+04 USD at once."""
    assert amount_text(value, digits) == text
