"""The configuration file: defaults, the documented example, and every mistake at once with its remedy."""

from itertools import pairwise
from pathlib import Path

import pytest
from click.testing import CliRunner

from qualitrace_collector.config import ConfigError, load_config, parse_config
from qualitrace_collector.config.values import split_address
from qualitrace_monitors.alerts.condition import EXAMPLES
from qualitrace_monitors.config import Config
from qualitrace_monitors.judges.settings import METRICS
from qualitrace_monitors.server.commands import check_config

EXAMPLE = """
listen:   {otlp_http: 127.0.0.1:4318, otlp_grpc: 127.0.0.1:4317, web: 127.0.0.1:9464}
data_dir: ./qualitrace-data
journal:  {kind: sqlite}
mlflow:   {tracking_uri: sqlite:///./qualitrace-data/mlflow.db, experiment: "{service.name}", keep: genai}
sampling: {rate: 0.1, always: [error, negative_feedback]}
judges:
  - groundedness
  - {name: relevance, model: openai:/gpt-5-mini, temperature: 0.0, rate: 0.05}
  - {name: brand_voice, instructions: "On brand? {{ inputs }} {{ outputs }}", model: anthropic:/claude-sonnet-5}
budget:   {usd_per_day: 5}
alerts:
  - {name: groundedness-low, judge: groundedness, when: pass_rate < 0.9, window: 1h, for: 5m, notify: [ops]}
notify:
  ops: {kind: webhook, url: https://hooks.example.com/q, secret_file: SECRET}
"""

TRACKING_URI = (
    "tracking_uri: must begin with sqlite:///, postgresql://, http:// or https://; "
    "other databases are reached through an MLflow server"
)


def mistakes(text: str, tmp_path: Path) -> list[str]:
    path = tmp_path / "qualitrace.yaml"
    path.write_text(text)
    with pytest.raises(ConfigError) as caught:
        load_config(path, Config)
    return caught.value.mistakes


def test_without_a_file_every_default_works():
    """All local judges on a tenth of the traffic, everything on loopback."""
    config = load_config(None, Config)
    assert [judge.name for judge in config.judges] == [
        "relevance",
        "faithfulness",
        "groundedness",
        "safety",
        "toxicity",
    ]
    assert config.sampling.rate == 0.1
    assert config.listen.web == "127.0.0.1:9464"
    assert config.tracking_uri == f"sqlite:///{Path('qualitrace-data').resolve()}/mlflow.db"


def test_links_lead_where_readers_reach_the_web_port():
    """Behind a proxy or in a container the bound address is no use to who reads an alert."""
    assert parse_config({}, Config).listen.web_url == "http://127.0.0.1:9464"
    listen = {"web_external_url": "https://quality.example.com/qualitrace/"}
    assert parse_config({"listen": listen}, Config).listen.web_url == "https://quality.example.com/qualitrace"


def test_a_key_that_stands_twice_is_refused(tmp_path: Path):
    """YAML readers keep the last one silently, and with it half of the judges; a merge key may be overridden."""
    (mistake,) = mistakes("judges: [safety]\nsampling: {rate: 1}\njudges: [toxicity]\n", tmp_path)
    assert "key 'judges' stands twice" in mistake
    assert "line 3" in mistake
    merged = tmp_path / "merged.yaml"
    merged.write_text(
        "budget: &b {usd_per_day: 5}\nsampling: {rate: 1}\njudges: [{name: safety, budget: {<<: *b, usd_per_day: 1}}]\n"
    )
    assert load_config(merged, Config).judges[0].budget.usd_per_day == 1


def test_the_documented_example_is_read(tmp_path: Path):
    """Durations, conditions, bare judge names and secrets from files come out typed."""
    secret = tmp_path / "hook"
    secret.write_text("whsec_c2VjcmV0c2VjcmV0c2VjcmV0\n")
    path = tmp_path / "qualitrace.yaml"
    path.write_text(EXAMPLE.replace("SECRET", str(secret)))
    config = load_config(path, Config)
    (alert,) = config.alerts
    assert (alert.window, alert.hold_for, str(alert.false_alarms)) == (3600.0, 300.0, "5% per 30d")
    assert (alert.when.quantity, alert.when.operator, alert.when.threshold) == ("pass_rate", "<", 0.9)
    assert [judge.kind for judge in config.judges] == ["groundedness", "relevance", "custom"]
    assert [config.sampling.rate_of(judge) for judge in config.judges] == [0.1, 0.05, 0.1]
    key = config.notify["ops"].secret
    assert key is not None
    assert key.get_secret_value() == "whsec_c2VjcmV0c2VjcmV0c2VjcmV0"
    assert "c2VjcmV0" not in repr(config)


ALIASES = "a: &a [1]\n" + "\n".join(
    f"{name}: &{name} [{', '.join([f'*{before}'] * 9)}]" for before, name in pairwise("abcdefghijklm")
)
"""A kilobyte that is 300 billion values."""


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("sampling: {rate: 3}", "sampling.rate: must be at most 1 (got 3)"),
        ("sampling: {rat: 0.1}", "sampling: unknown key 'rat', did you mean 'rate'?"),
        ("samplin: {}", "unknown key 'samplin', did you mean 'sampling'?"),
        ("alerts: [{name: a, judge: relevance, when: pass_rate < 1, fro: 5m}]", "alerts.0: unknown key 'fro', did you mean 'for'?"),
        ("alerts: [{name: a, judge: relevance, when: pass_rate < 1, hold_for: 5m}]", "alerts.0: unknown key 'hold_for', did you mean 'for'?"),
        ("alerts: [{name: a, judge: relevance, when: pass_rate < 1, for: 1m, hold_for: 5m}]", "alerts.0: unknown key 'hold_for', did you mean 'for'?"),
        ("judges: [{name: safety, thresholds: {passing: 0.5}}]", "judges.0.thresholds: unknown key 'passing', did you mean 'pass'?"),
        ("judges: [{name: safety, thresholds: {pass: 0.5, failing: 0.2}}]", "judges.0.thresholds: unknown key 'failing', did you mean 'fail'?"),
        ("listen: {otlp_http: nonsense}", "listen.otlp_http: must be HOST:PORT, for example 127.0.0.1:4318 or [::1]:4318 (got 'nonsense')"),
        ("assembly: {quiet_period: soon}", "assembly.quiet_period: must be a duration such as 30s, 5m, 1h or 1d (got 'soon')"),
        ("assembly: {quiet_period: 5s or 1m}", "assembly.quiet_period: must be a duration such as 30s, 5m, 1h or 1d (got '5s or 1m')"),
        ("assembly: {orphan_period: -2m}", "assembly.orphan_period: must not be negative (got -120 s)"),
        ("assembly: {quiet_period: -1}", "assembly.quiet_period: must not be negative (got -1 s)"),
        ("mlflow: {keep: some}", "mlflow.keep: must be 'genai' or 'all' (got 'some')"),
        ("judges: [{model: openai:/gpt-5-mini}]", "judges.0.name: is required"),
        ("judges: [{name: relevance, model: gpt-5-mini}]", "judges.0: model must be an MLflow model URI such as openai:/gpt-5-mini (got 'gpt-5-mini')"),
        ("judges: [relevance, relevance]", "judges: the name 'relevance' stands twice"),
        ("alerts: [{name: a, judge: tone, when: pass_rate < 1}]", "alerts.0.judge: no judge named 'tone' under judges"),
        (
            "judges: [safety]\nalerts: [{name: a, judge: safety, when: pass_rate < 1, tier: joined}]",
            "alerts.0.tier: the judge 'safety' has no cascade of which the tiers could be joined",
        ),
        (
            "alerts: [{name: a, judge: safety, when: pass_rate < 1, tier: llm}]",
            "alerts.0.tier: the judge 'safety' has no scores of a model: give it a model, or leave the tier out",
        ),
        (
            "judges: [{name: safety, model: 'openai:/m'}]\n"
            "alerts: [{name: a, judge: safety, when: no_scores for 5m, tier: local}]",
            "alerts.0.tier: the judge 'safety' has no local scores: a model or a scorer gives them all",
        ),
        (
            "alerts: [{name: a, judge: safety, when: {quantity: x, operator: <, threshold: 1}}]",
            "alerts.0: when: must read like 'pass_rate < 0.9', 'drop > 0.05 from baseline', 'no_scores for 15m', "
            "'error_rate > 5%', 'p95_duration > 5s', 'cost_per_hour > 3', 'freshness > 5m' or 'slo 95% over 30d' "
            "(got \"{'quantity': 'x', 'operator': '<', 'threshold': 1}\")",
        ),
        ("alerts: [{name: a, judge: safety, when: pass_rate < 1, service: ''}]", "alerts.0.service: string should have at least 1 character (got '')"),
        (
            "judges: [{name: safety, model: 'openai:/m', cascade: true}]\n"
            "alerts: [{name: a, judge: safety, when: unsure_rate > 0.1, tier: joined}]",
            "alerts.0: tier: 'unsure_rate > 0.1' is about one tier, local or llm",
        ),
        ("alerts: [{name: a, judge: relevance, when: pass_rate < 1, notify: [ops]}]", "alerts.0.notify: no receiver named 'ops' under notify"),
        ("heartbeat: {notify: [ops]}", "heartbeat.notify: no receiver named 'ops' under notify"),
        ("data_dir: ${env:QUALITRACE_NO_SUCH}", "data_dir: the environment variable QUALITRACE_NO_SUCH is not set"),
        ("judges: [{name: tone, definition: Kindness}]", f"judges.0: 'tone' is no built-in metric ({', '.join(METRICS)}): a custom judge needs instructions (or a definition) and model"),
        ("judges: [{name: tone, model: 'openai:/m', instructions: 'Is {{ outputs }} kind?', definition: Kindness}]", "judges.0: instructions and definition: give one of them"),
        ("judges: [{name: safety, model: 'openai:/m', grading_prompt: 1 to 5}]", "judges.0: grading_prompt and examples: need a definition"),
        ("judges: [{name: safety, definition: Safety}]", "judges.0: definition: the local judge takes none; set model, for example openai:/gpt-5-mini"),
        ("listen: {web: '0.0.0.0:9464'}", "listen.web: 0.0.0.0 is not loopback: set listen.web_token (or web_token_file), or bind 127.0.0.1"),
        ("listen: {web_token_file: /no/such}", "listen: web_token_file: cannot read /no/such: No such file or directory"),
        ("listen: {web: '0.0.0.0:9464', web_token: null}", "listen.web: 0.0.0.0 is not loopback: set listen.web_token (or web_token_file), or bind 127.0.0.1"),
        ("listen: {web: '0.0.0.0:9464', web_token_file: /dev/null}", "listen: web_token_file: /dev/null is empty"),
        ("listen: {web: '127.0.0.1:0'}", "listen.web: must be HOST:PORT, for example 127.0.0.1:4318 or [::1]:4318 (got '127.0.0.1:0')"),
        ("listen: {web: '127.0.0.1:²'}", "listen.web: must be HOST:PORT, for example 127.0.0.1:4318 or [::1]:4318 (got '127.0.0.1:²')"),
        ("assembly: {max_age: .nan}", "assembly.max_age: must be a duration of less than 100 years"),
        ("assembly: {max_age: .inf}", "assembly.max_age: must be a duration of less than 100 years"),
        ("assembly: {max_age: 1" + "0" * 400 + "}", "assembly.max_age: must be a duration of less than 100 years"),
        ("alerts: [{name: a, judge: relevance, when: pass_rate < 90}]", "alerts.0: when: must be a share from 0 to 1, such as 0.05, or 5% (got '90')"),
        ("alerts: [{name: a, judge: relevance, when: pass_rate < 1, min_samples: 9}]", "alerts.0: min_samples is no longer needed: an alert waits for as many scores as `false_alarms` takes"),
        ("alerts: [{name: a, judge: relevance, when: pass_rate < 1, false_alarms: 5%}]", "alerts.0: false_alarms must read like '5% per 30d' (got '5%')"),
        ("alerts: [{name: a, judge: relevance, when: pass_rate < 1, false_alarms: 5}]", "alerts.0: false_alarms must read like '5% per 30d' (got '5')"),
        ("alerts: [{name: a, when: budget_spent > 80%}]", "alerts.0.when: there is no budget: set one of usd_per_hour, usd_per_day, tokens_per_hour, tokens_per_day under budget"),
        ("budget: {usd_per_day: 5}\nalerts: [{name: a, judge: relevance, when: budget_spent > 80%}]", "alerts.0.when: the judge 'relevance' has no budget of its own: set one of usd_per_hour, usd_per_day, tokens_per_hour, tokens_per_day under its budget"),
        ("alerts: [{name: a, when: pass_rate < 0.9}]", "alerts.0: judge: is required, whose scores does 'pass_rate < 0.9' watch?"),
        ("alerts: [{name: a, judge: relevance, when: error_rate > 5%}]", "alerts.0: judge: error_rate is of every request, judged or not; leave the judge out"),
        ("alerts: [{name: a, when: eror_rate > 5%}]", "alerts.0: when: unknown quantity 'eror_rate', did you mean 'error_rate'?"),
        ("alerts: [{name: a, judge: relevance, when: 0.9}]", f"alerts.0: when: must read like {', '.join(map(repr, EXAMPLES[:-1]))} or 'slo 95% over 30d' (got '0.9')"),
        ("alerts: [{name: a, judge: relevance, when: pass_rate < 1, false_alarms: 90% per 1d}]", "alerts.0.false_alarms.chance: must be at most 0.5 (got 0.9)"),
        ("alerts: [{name: a, judge: relevance, when: pass_rate < 1, window: 0}]", "alerts.0.window: must be more than 0 (got 0.0)"),
        ("judges: [{name: relevance, instructions: 'Polite? {{ outputs }}'}]", "judges.0: instructions: the local judge takes none; set model, for example openai:/gpt-5-mini"),
        ("judges: [{name: relevance, base_url: 'http://127.0.0.1:1'}]", "judges.0: base_url: the local judge takes none; set model, for example openai:/gpt-5-mini"),
        ('judges: [{name: "a\\n", metric: relevance}]', "judges.0.name: must be letters, digits, '_' or '-', starting with a letter (got 'a\\n')"),
        ("judges: &a [*a]", "nested too deeply, or an anchor that contains itself"),
        ("[" * 5000, "nested too deeply, or an anchor that contains itself"),
        (ALIASES, "more than 100,000 values, which aliases of aliases make"),
        ("listen: {web_token_file: /dev/zero}", "listen: web_token_file: cannot read /dev/zero: longer than 1 MiB"),
        ("judges: [" + "relevance, " * 100_000 + "]", "not valid YAML: longer than 1 MiB"),
        ("[]", "must be a mapping of sections, not list"),
        ("notify: {'ops team': {url: 'http://x'}}", "notify.ops team: must be letters, digits, '_' or '-', starting with a letter (got 'ops team')"),
        ("notify: {ops: {url: 'ftp://x'}}", "notify.ops.url: URL scheme should be 'http' or 'https' (got 'ftp://x')"),
        ("mlflow: {tracking_uri: 'mysql://u:pw@db/mlflow'}", f"mlflow.{TRACKING_URI} (got 'mysql://db/mlflow')"),
        ("mlflow: {tracking_uri: 'sqlite://mlflow.db'}", f"mlflow.{TRACKING_URI} (got 'sqlite://mlflow.db')"),
        ("mlflow: {tracking_uri: databricks}", f"mlflow.{TRACKING_URI} (got 'databricks')"),
        ("mlflow: {tracking_uri: 'postgres://db/mlflow'}", f"mlflow.{TRACKING_URI} (got 'postgres://db/mlflow')"),
        ("journal: {kind: kafka}", "journal.kind: must be 'sqlite' (got 'kafka')"),
    ],
)  # fmt: skip
def test_a_mistake_is_reported_with_its_place_and_its_remedy(text: str, message: str, tmp_path: Path):
    """One line, as a person would say it."""
    assert message in mistakes(text, tmp_path)


@pytest.mark.parametrize(
    "uri",
    ["sqlite:///mlflow.db", "sqlite:////data/mlflow.db", "postgresql+psycopg://u:p@db/mlflow", "https://u:p@mlflow"],
)
def test_every_place_that_is_tested_is_taken(uri: str):
    """Databases with or without a driver, and tracking servers with or without a password."""
    assert parse_config({"mlflow": {"tracking_uri": uri}}, Config).tracking_uri == uri


SECRETS = {
    "listen.web_token": "listen: {KEY: VALUE}",
    "otlp.tokens.0.token": "otlp: {tokens: [{KEY: VALUE}]}",
    "mlflow.token": "mlflow: {KEY: VALUE}",
    "judges.0.api_key": "judges: [{name: relevance, model: 'openai:/m', KEY: VALUE}]",
    "notify.ops.secret": "notify: {ops: {url: 'http://127.0.0.1/', KEY: VALUE}}",
}
"""The text of a configuration with the secret of each place."""


@pytest.mark.parametrize("place", SECRETS)
@pytest.mark.parametrize("secret", ["", " ", "two words", "end\\n", "\\tword", "corréct", "a\\u2028b", "\\x00"])
def test_a_secret_that_cannot_be_sent_is_a_mistake(place: str, secret: str, tmp_path: Path):
    """Whatever is not visible ASCII is refused at once, by the name of its setting, and is not shown."""
    text = SECRETS[place].replace("KEY", place.rpartition(".")[2]).replace("VALUE", f'"{secret}"')
    (found,) = mistakes(text, tmp_path)
    assert found.startswith(f"{place}: ")
    assert len(secret) < 2 or secret not in found


@pytest.mark.parametrize("place", SECRETS)
@pytest.mark.parametrize("content", [None, b"", b" \n", b"two words\n", b"\xff"], ids=repr)
def test_a_secret_file_without_a_secret_is_a_mistake(place: str, content: bytes | None, tmp_path: Path):
    """A file that is empty, blank or no text, and no file at all: the setting is named."""
    (path := tmp_path / "secret").write_bytes(content or b"")
    key = place.rpartition(".")[2]
    name = '""' if content is None else str(path)
    found = mistakes(SECRETS[place].replace("KEY", f"{key}_file").replace("VALUE", name), tmp_path)
    assert any(key in mistake for mistake in found)


def test_a_secret_is_given_once(tmp_path: Path):
    """In the file and beside it, it is unclear which holds."""
    (path := tmp_path / "secret").write_text("t0ken")
    (found,) = mistakes(f"listen: {{web_token: other, web_token_file: {path}}}", tmp_path)
    assert found == "listen: web_token_file: web_token is given, too; leave one of them out"


@pytest.mark.parametrize("door", ["otlp_http", "otlp_grpc", "web"])
@pytest.mark.parametrize(
    ("address", "remedy"),
    [
        ("::1:9464", "write [::1]:9464 "),
        ("fe80::1:2:9464", "write [fe80::1:2]:9464 "),
        ("1:2:3:4:5:6:7:8", "write [1:2:3:4:5:6:7:8]:PORT "),
        ("::", "write [::]:PORT "),
        ("[::1]", "must be HOST:PORT"),
        ("[::x]:80", "must be HOST:PORT"),
        ("[127.0.0.1]:80", "must be HOST:PORT"),
        ("::1]:80", "must be HOST:PORT"),
        ("http://127.0.0.1:80", "must be HOST:PORT"),
        ("local host:80", "must be HOST:PORT"),
        ("127.0.0.1:８０", "must be HOST:PORT"),
        ("127.0.0.1:65536", "must be HOST:PORT"),
    ],
)
def test_an_address_that_cannot_be_listened_on_is_a_mistake(door: str, address: str, remedy: str, tmp_path: Path):
    """An IPv6 address without brackets is shown as it must be written; it is never taken for another one."""
    found = mistakes(f"listen: {{{door}: '{address}'}}\notlp: {{allow_unauthenticated: true}}", tmp_path)
    assert any(mistake.startswith(f"listen.{door}: ") and remedy in mistake for mistake in found)


def test_an_unset_variable_is_reported_once(tmp_path: Path):
    """That the empty text in its place is not a secret either would only lead astray."""
    found = mistakes("notify: {ops: {url: 'http://x', secret: '${env:QUALITRACE_UNSET}'}}", tmp_path)
    assert found == ["notify.ops.secret: the environment variable QUALITRACE_UNSET is not set"]


def test_every_mistake_is_reported_at_once(tmp_path: Path):
    """Nobody fixes a file in six rounds; mistakes between sections are among them."""
    text = """
    sampling: {rate: 3, rat: 1}
    judges: [{name: tone}]
    alerts: [{name: a, judge: b, when: nonsense}]
    listen: {web: "0.0.0.0:1"}
    """
    places = [line.split(":")[0] for line in mistakes(text, tmp_path)]
    assert sorted(places) == ["alerts.0", "alerts.0.judge", "judges.0", "listen.web", "sampling", "sampling.rate"]


@pytest.mark.parametrize("text", ["[1, 2]", "just text", "a: [", "\x00"])
def test_a_file_that_is_no_mapping_is_refused_clearly(text: str, tmp_path: Path):
    """Not a traceback."""
    assert len(mistakes(text, tmp_path)) == 1


def test_a_missing_file_is_named(tmp_path: Path):
    """The message has the path and the reason."""
    with pytest.raises(ConfigError, match=r"nothing\.yaml: cannot be read: No such file or directory"):
        load_config(tmp_path / "nothing.yaml", Config)


def test_the_environment_fills_in_secrets(monkeypatch: pytest.MonkeyPatch):
    """`${env:NAME}` is replaced anywhere in a value, and the web port may then leave loopback."""
    monkeypatch.setenv("WEB_TOKEN", "t0ken")
    config = parse_config({"listen": {"web": "0.0.0.0:9464", "web_token": "${env:WEB_TOKEN}"}}, Config)
    assert config.listen.web_token is not None
    assert config.listen.web_token.get_secret_value() == "t0ken"


@pytest.mark.parametrize(
    "text",
    [
        "notify: {ops: {url: 'http://h/', secret: SECRET}}",
        "notify: {ops: {url: 'http://h/', secret: [SECRET]}}",
        "notify: {ops: SECRET}",
        "notify: SECRET",
        "otlp: {tokens: [SECRET]}",
        "otlp: {tokens: SECRET}",
        "otlp: {tokens: [{token: 'SECRET !'}]}",
        "otlp: {tokens: [{token: 'SECRET', tenant: 'a b'}]}",
        "judges: [{name: safety, api_key: SECRET}]",
        "mlflow: {tracking_uri: 'mysql+pymysql://u:SECRET@db/x'}",
        "mlflow: {tracking_uri: 'postgresql://u:p@SECRET@db/x'}",
        "mlflow: {tracking_uri: 'postgres//u:SECRET@db/x'}",
        "mlflow: {tracking_uri: 'u:SECRET@db/x'}",
        "mlflow: {tracking_uri: 'oracle://u/SECRET@db/x'}",
        "mlflow: {tracking_uri: 'mssql+pyodbc:///?odbc_connect=UID%3Du%3BPWD%3DSECRET'}",
        "mlflow: {tracking_uri: 'postgresql://u:SECRET'}",
        "mlflow: {tracking_uri: 'oracle://db/x?password=SECRET'}",
        "notify: {ops: {url: 'ftp://u:SECRET@h/'}}",
        # YAML that cannot be read, or reads the secret as something else
        "notify: {ops: {url: 'http://h/', secret: 'SECRET",
        "notify: {ops: {url: 'http://h/', secret: *SECRET }}",
        "notify: {ops: {url: 'http://h/', secret: !SECRET x}}",
        "listen:\n  web_token: a: SECRET",
        # from the environment, at any key
        "sampling: {rate: '${env:SECRET_VALUE}'}",
        "mlflow: {keep: '${env:SECRET_VALUE}'}",
        "listen: {web: '${env:SECRET_VALUE}'}",
        "judges: [{name: safety, model: '${env:SECRET_VALUE}'}]",
        "judges: ['${env:SECRET_VALUE}']",
        "notify: {ops: {url: 'http://h:${env:SECRET_VALUE}/'}}",
        "alerts: [{name: a, judge: '${env:SECRET_VALUE}', when: pass_rate < 1, notify: ['${env:SECRET_VALUE}']}]",
    ],
)  # fmt: skip
def test_no_mistake_shows_a_secret(text: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Neither a secret's value nor that of a variable, also where the value itself is what is wrong."""
    monkeypatch.setenv("SECRET_VALUE", "hunter-2-geheim")
    found = mistakes(
        text.replace("SECRET_VALUE}", "\0").replace("SECRET", "hunter-2-geheim").replace("\0", "SECRET_VALUE}"),
        tmp_path,
    )
    assert found
    assert "geheim" not in "\n".join(found)


def test_a_secret_that_is_no_text_is_told_so(tmp_path: Path):
    """YAML reads digits as a number, and a leading zero as an octal one."""
    assert mistakes("listen: {web_token: 0123456}", tmp_path) == ["listen.web_token: must be text; put it in quotes"]


def test_a_wrong_value_of_a_variable_is_shown_by_its_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """So that the reader knows which one to correct."""
    monkeypatch.setenv("RATE", "3")
    assert mistakes("sampling: {rate: '${env:RATE}'}", tmp_path) == [
        "sampling.rate: must be at most 1 (got ${env:RATE})"
    ]


@pytest.mark.parametrize("uri", ["postgresql://u:p@ss@db/x", "postgresql://u:p@a:1,b:2/x", "https://u:p/w@mlflow"])
def test_a_uri_that_mlflow_would_misread_is_refused(uri: str, tmp_path: Path):
    """SQLAlchemy would take part of the password for the host, and name it in its error."""
    (found,) = mistakes(f"mlflow: {{tracking_uri: '{uri}'}}", tmp_path)
    assert found.startswith("mlflow.tracking_uri: cannot be read as a URI: write special characters")


@pytest.mark.parametrize(
    ("cascade", "rule", "tier"),
    [
        (True, {"when": "pass_rate < 0.9"}, "joined"),
        (True, {"when": "drop > 0.1 from baseline"}, "joined"),
        (True, {"when": "pass_rate < 0.9", "tier": "local"}, "local"),
        (True, {"when": "unsure_rate > 0.3"}, None),
        (False, {"when": "pass_rate < 0.9"}, "llm"),
        (False, {"when": "unsure_rate > 0.3"}, "llm"),
        (False, {"when": "no_scores for 15m"}, None),
    ],
)
def test_a_rule_on_a_cascade_rests_on_both_of_its_judges(cascade: bool, rule: dict[str, str], tier: str | None):
    """Unless it says otherwise, or is about what one of them is unsure of. Without a cascade there is one."""
    judge = {"name": "safety", "model": "openai:/m", "cascade": cascade}
    config = parse_config({"judges": [judge], "alerts": [{"name": "a", "judge": "safety", **rule}]}, Config)
    assert config.alerts[0].tier == tier


def test_judging_can_be_turned_off():
    """`judges: []` is not a mistake."""
    assert parse_config({"judges": []}, Config).judges == ()


def test_a_config_is_immutable():
    """Parts share it."""
    with pytest.raises(ValueError, match="frozen"):
        Config().data_dir = Path("elsewhere")  # type: ignore[misc]


@pytest.mark.parametrize(("address", "parts"), [("[::1]:80", ("::1", 80)), ("localhost:4318", ("localhost", 4318))])
def test_addresses_are_split(address: str, parts: tuple[str, int]):
    """IPv6 hosts stand in brackets."""
    assert split_address(address) == parts


@pytest.mark.parametrize(
    ("text", "code", "output"),
    [
        ("sampling: {rate: 1}", 0, "<stdin>: ok\n"),
        ("sampling: {rate: 3}", 1, "<stdin>: sampling.rate: must be at most 1 (got 3)\n"),
        ("sampling: [", 1, "<stdin>: not valid YAML: "),
        ("#" * (1 << 20) + "#", 1, "<stdin>: not valid YAML: longer than 1 MiB\n"),
    ],
)
def test_standard_input_is_checked(text: str, code: int, output: str):
    """A file that a template makes need not be written first; its bounds are those of a file."""
    result = CliRunner().invoke(check_config, ["-"], input=text)
    assert result.exit_code == code
    assert result.output.startswith(output)
