"""Commands beside a server need only the secrets that they use."""

from pathlib import Path

import pytest

from qualitrace_collector.config import ConfigError, load_config
from qualitrace_collector.settings import CollectorConfig
from qualitrace_monitors.config import Config

SECRETS = """
data_dir: /data
listen: {otlp_http: 127.0.0.1:5318, web: 0.0.0.0:9464, web_token: "${env:QT_WEB}"}
otlp: {tokens: [{token: "${env:QT_TOKEN}"}]}
mlflow: {tracking_uri: "https://mlflow:5000", token: "${env:QT_MLFLOW}"}
judges: [{name: relevance, model: "openai:/x", api_key: "${env:QT_KEY}"}]
notify: {ops: {kind: webhook, url: "https://example.com/${env:QT_PATH}", secret: "${env:QT_SECRET}"}}
alerts: [{name: low, judge: relevance, when: pass_rate < 0.9, notify: [ops]}]
"""


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "qualitrace.yaml"
    path.write_text(SECRETS)
    return path


def test_a_secret_of_another_section_need_not_be_set(file: Path):
    """What the command uses is read."""
    config = load_config(file, CollectorConfig, needs=("data_dir", "journal"))
    assert config.data_dir == Path("/data")


def test_one_of_its_own_section_must_be_set(file: Path, monkeypatch: pytest.MonkeyPatch):
    """The mistake names the variable; set, it is read."""
    with pytest.raises(ConfigError, match=r"mlflow\.token: the environment variable QT_MLFLOW is not set") as raised:
        load_config(file, CollectorConfig, needs=("data_dir", "mlflow"))
    assert len(raised.value.mistakes) == 1
    monkeypatch.setenv("QT_MLFLOW", "s3cret")
    token = load_config(file, CollectorConfig, needs=("data_dir", "mlflow")).mlflow.token
    assert token is not None
    assert token.get_secret_value() == "s3cret"


def test_the_server_needs_them_all(file: Path):
    """Each is named."""
    with pytest.raises(ConfigError) as raised:
        load_config(file, Config)
    missing = {line.split("variable ")[1].split()[0] for line in raised.value.mistakes if "variable" in line}
    assert missing == {"QT_WEB", "QT_TOKEN", "QT_MLFLOW", "QT_KEY", "QT_PATH", "QT_SECRET"}


def test_what_is_wrong_without_a_variable_is_a_mistake_still(tmp_path: Path):
    """In every section, and for keys that nobody knows."""
    path = tmp_path / "qualitrace.yaml"
    path.write_text("data_dri: /data\nlisten: {web_token: '${env:QT_WEB}'}\nassembly: {quiet_period: soon}")
    with pytest.raises(ConfigError) as raised:
        load_config(path, CollectorConfig, needs=("data_dir",))
    assert {line.partition(":")[0] for line in raised.value.mistakes} == {
        "unknown key 'data_dri', did you mean 'data_dir'?",
        "assembly.quiet_period",
    }
