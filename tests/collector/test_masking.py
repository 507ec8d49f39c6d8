"""No password, key or token is shown, whatever it looks like and wherever in a text it stands."""

import base64
import io
import json
import logging
import re
import string
from urllib.parse import quote, urlencode

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qualitrace_collector import masking
from qualitrace_collector.masking import MaskedRecord, masked, remember_secret

CHARACTERS = string.ascii_letters + string.digits + "/?#@:%&=+;,'\"()[]{}.!$ ~é"
PASSWORDS = st.text(CHARACTERS, min_size=4, max_size=20).filter(
    lambda text: (
        text.strip() == text
        and any(map(str.isalnum, text))
        and not re.match(r"\d+\W.*\s|\d+\s", text)  # no one can tell it from a port and the words after it
        and text not in "cannot connect to postgresql://db:5432/mlflow?sslmode=on&password=***"
    )
)


@pytest.fixture(autouse=True)
def no_secrets_of_other_tests(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the process know no secret: those of a configuration are remembered to its end."""
    monkeypatch.setattr(masking, "_given", set[str]())


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("http://user:pass@mlflow:5000/x", "http://mlflow:5000/x"),
        ("postgresql://u:p@ss@db/mlflow", "postgresql://db/mlflow"),
        ("postgresql://u:a/b@db/mlflow", "postgresql://db/mlflow"),
        ("postgresql://u:a%2Fb@h1:5432,h2:5432/mlflow", "postgresql://h1:5432,h2:5432/mlflow"),
        ("postgresql:///mlflow?user=u&password=s3&sslmode=on", "postgresql:///mlflow?user=u&password=***&sslmode=on"),
        ("postgresql://u@db/mlflow?pass%77ord=a@b", "postgresql://db/mlflow?pass%77ord=***"),
        ("mysql+pymysql://u:my pass@db/mlflow is no", "mysql+pymysql://db/mlflow is no"),
        ("postgresql://user:password", "postgresql://***"),
        ("https://token@host/x?api_key=k#top", "https://host/x?api_key=***"),
        ("GET http://u:p@a/ failed: https://v:q@b:1/c", "GET http://a/ failed: https://b:1/c"),
        ("https://v:q@b:1?c@d", "https://***"),
        ("sqlite:////data/a@b/mlflow.db", "sqlite:////data/a@b/mlflow.db"),
        ("http://mlflow/users/a@b", "http://mlflow/users/a@b"),
        ("http://127.0.0.1:5000: answered 401", "http://127.0.0.1:5000: answered 401"),
        ("see (http://[::1]:4318/x?n=1), http://h:80.", "see (http://[::1]:4318/x?n=1), http://h:80."),
    ],
)
def test_of_a_uri_the_place_stays(text: str, shown: str):
    """User and password go, wherever in a text the URI stands; an @ elsewhere stays unless it may end a password."""
    assert masked(text) == shown


@given(PASSWORDS)
def test_no_uri_shows_its_password_whatever_it_holds(password: str):
    """Unescaped, which no standard allows, in percent-encoding and in the query; in a driver's words, too."""
    for uri in (
        f"postgresql://user:{password}@db:5432/mlflow",
        f"mysql+pymysql://user:{quote(password, safe='')}@db/mlflow",
        f"postgresql://db/mlflow?{urlencode({'sslmode': 'on', 'password': password})}",
    ):
        for text in (uri, f"cannot connect to {uri}"):
            assert password not in masked(text)
            assert quote(password, safe="") not in masked(text)


@pytest.mark.parametrize(
    "text",
    [
        "Incorrect API key provided: {}. You can find your key at https://platform.example.com.",
        'HTTP 401: {{"error": {{"api_key": "{}"}}}}',
        '{{\\"token\\": \\"{}\\"}}',
        "Authorization: Bearer {}",
        "invalid x-api-key: {}",
        'connection "host=db password={} user=u" failed',
        "the token '{}' is not valid",
        "AccessDenied (secret_access_key={})",
    ],
)
def test_a_secret_is_known_by_its_place(text: str):
    """As providers and drivers repeat what they were sent."""
    assert "0123abcdefghijkl" not in masked(text.format("0123abcdefghijkl"))


@pytest.mark.parametrize(
    "key",
    [
        "sk-proj-abcdefghijklmnop",
        "sk-ant-api03-abcdefghijkl",
        "sk-proj-********wxyz",
        "gsk_abcdefghijklmnopqrst",
        "AIzaSyabcdefghijklmnopqrstuvwxyz0123456",
        "sk-or-v1-****wxyz",
        "sk_0123456789abcdef",
        "npm_abcdefghijklmnopqrstuvwxyz0123456789",
        "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZJQQJ99AbCdEfGhIjKlMnOpQrStUv",
        "123456789:AAabcdefghijklmnopqrstuvwxyz0123456",
        "AKIAIOSFODNN7EXAMPLE",
        "ghp_abcdefghijklmnopqrstuvwxyz",
        "hf_abcdefghijklmnop",
        "xoxb-123456789012-abcdef",
        "dapi0123456789abcdef0123456789abcdef",
        "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.c2lnbmF0dXJl",
        "whsec_c2VjcmV0c2VjcmV0",
    ],
)
def test_a_key_is_known_by_its_shape(key: str):
    """Also where nothing beside it says what it is, and where the provider has hidden its middle."""
    assert masked(f"401 for {key}, try again") == "401 for ***, try again"


@pytest.mark.parametrize("host", ["hooks.slack.com/services/", "discord.com/api/webhooks/"])
def test_of_a_webhooks_address_the_host_stays(host: str):
    """What follows it lets anybody send."""
    assert (
        masked(f"no answer from https://{host}T0123/B0123-x/abc: timeout")
        == f"no answer from https://{host}***: timeout"
    )


@pytest.mark.parametrize(
    "text",
    [
        "token limit exceeded for model gpt-4.1-mini-2025-04-14: max_tokens=4096, input_tokens: 12345678",
        "web_token_file: cannot read /run/secrets/token1: No such file or directory",
        "must be whsec_ followed by base64, for example whsec_$(openssl rand -base64 32)",
        "password authentication failed for user mlflow at db.example.com:5432",
        "judge safety has no verdict on trace tr-0123456789abcdef0123456789abcdef: risk-based-answer",
    ],
)
def test_what_is_no_secret_is_shown(text: str):
    """An operator needs to read it."""
    assert masked(text) == text


def test_a_given_secret_is_hidden_in_every_form():
    """As JSON, Python, URIs and Basic authentication repeat it."""
    secret = "pä+ß/w\\örd=1"
    remember_secret(secret)
    encoded = base64.b64encode(f"user:{secret}".encode()).decode()
    forms = [secret, json.dumps(secret)[1:-1], repr(secret)[1:-1], quote(secret), quote(secret, safe="")]
    assert masked(" | ".join(forms)) == " | ".join(["***"] * len(forms))
    assert encoded[8:-4] not in masked(f"sent {encoded}")


def test_a_plain_or_short_word_is_no_secret_by_its_value():
    """Where `password` is the password, logs must still say what is wrong with a password."""
    for word in ("password", "x1"):
        remember_secret(word)
    remember_secret("hunter2")
    assert masked("password of x1: hunter2, hunter21") == "password of x1: ***, hunter21"


def test_the_environments_keys_are_secrets(monkeypatch: pytest.MonkeyPatch):
    """Those that MLflow's providers read there; a variable with the path of a file is none."""
    monkeypatch.setenv("ACME_API_KEY", "acme key number 1")
    monkeypatch.setenv("ACME_TOKEN_FILE", "/run/secrets/acme")
    assert masked("no acme key number 1 in /run/secrets/acme") == "no *** in /run/secrets/acme"


def test_logs_are_masked_with_arguments_and_tracebacks(monkeypatch: pytest.MonkeyPatch):
    """Whichever logger and handler: libraries bring their own."""
    monkeypatch.setattr(logging, "_logRecordFactory", MaskedRecord)
    logger, stream = logging.Logger("library"), io.StringIO()  # with no handler of the root's
    logger.addHandler(logging.StreamHandler(stream))
    try:
        raise ValueError("postgresql://u:hidden@db/x")
    except ValueError:
        logger.exception("no answer from %s", "https://u:hidden@mlflow/")
    written = stream.getvalue()
    assert "no answer from https://mlflow/" in written
    assert "ValueError: postgresql://db/x" in written
    assert "hidden" not in written


def test_a_record_that_nobody_writes_is_not_masked(monkeypatch: pytest.MonkeyPatch):
    """Else a flood, which a filter drops, would take much time."""
    monkeypatch.setattr(logging, "_logRecordFactory", MaskedRecord)
    asked: list[str] = []
    monkeypatch.setattr(masking, "masked", asked.append)
    logger, handler = logging.Logger("library"), logging.StreamHandler(io.StringIO())
    handler.addFilter(lambda _record: False)
    logger.addHandler(handler)
    try:
        raise ValueError("postgresql://u:hidden@db/x")
    except ValueError:
        logger.exception("no answer from %s", "https://u:hidden@mlflow/")
    assert asked == []
