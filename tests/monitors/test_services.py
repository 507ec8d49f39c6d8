"""How the parts of the `work` process are put together."""

from pathlib import Path

from qualitrace_collector.config.load import parse_config
from qualitrace_monitors.services import Services


def test_alerts_do_not_carry_mlflows_password(tmp_path: Path):
    """The addresses of traces in notifications are those of MLflow without the credentials of the tracking URI."""
    config = parse_config(
        {"data_dir": str(tmp_path), "mlflow": {"tracking_uri": "http://user:s3cret@mlflow:5000"}, "judges": []}
    )
    services = Services(config, collect=False, monitor=True)
    assert services._links.trace("tr-1") == "http://mlflow:5000/#/experiments/0/traces/tr-1"
