"""Secrets are found by default: every kind in every form of text, without a library, and nothing else is touched."""

import json
import random

import pytest

from qualitrace.redaction.redactor import Redactor
from support.secrets import KEYS, NAMED, PERSONAL, TEXTS, shown

SECRETS = Redactor(["secret"])
ALL = Redactor(["email", "phone", "card", "iban", "ssn", "ip"])


def _is_json(text: str) -> bool:
    try:
        return isinstance(json.loads(text), (dict, list))
    except ValueError:
        return False


@pytest.mark.parametrize("kind", [*KEYS, *PERSONAL])
def test_no_form_of_text_hides_one(kind: str) -> None:
    """As text, in JSON at any depth, in URLs, logs and code; JSON stays JSON."""
    random_ = random.Random(kind)
    draw, redact = (KEYS[kind], SECRETS) if kind in KEYS else (PERSONAL[kind], ALL)
    for form, put in TEXTS.items():
        secret = draw(random_)
        text = put(secret)
        assert shown(text, secret), form  # else the next line would say nothing
        redacted = redact(text)
        assert not shown(redacted, secret), (form, redacted)
        assert _is_json(redacted) == _is_json(text), (form, redacted)


@pytest.mark.parametrize("kind", NAMED)
def test_a_secret_without_a_shape_is_known_by_what_stands_beside_it(kind: str) -> None:
    """Names in JSON, headers, environments, URLs and sentences."""
    random_ = random.Random(kind)
    for _ in range(10):
        text, secret = NAMED[kind](random_)
        redacted = SECRETS(text)
        assert not shown(redacted, secret), redacted
        assert redacted.count("[secret]") == 1


@pytest.mark.parametrize(
    "text",
    [
        "The password is required. Token limit exceeded: max_tokens=4096, input_tokens: 12345678",
        "api_key = os.environ['OPENAI_API_KEY']; client = OpenAI(api_key=settings.openai_key_2)",
        "password: str = Field(min_length=8), token: str | None = None, secret = get_secret('x1')",
        '{"token": "eos", "logprob": -0.12, "next_token": "abcdef0123456789", "usage": {"output_tokens": 12}}',
        "postgresql://${USER}:${PASSWORD}@db/x, http://host:8080/@scope/x, https://{user}:{password}@host",
        "task-0123456789abcdef0123456789abcdef, risk-based, sk-learn, div.sk-fading-circle12",
        "sha256:9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08, 550e8400-e29b-41d4-a716-446655440000",
        "the primary key is 0123456789abcdefgh, Basic instructions follow, Bearer authentication",
        "100%25 of a%20b+c=d%2Be, C:\\new\\table \\u0041\\/",
        "hf_hub_download, ghp_ tokens begin with ghp_, -----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----",
    ],
)
def test_what_is_no_secret_stays(text: str) -> None:
    """Prose, code, digests, placeholders, and what is encoded without need."""
    assert SECRETS(text) == text


@pytest.mark.parametrize(
    "text",
    [
        "see 2026-11-24 08:00, 01-02-2026, 1.6.1.5.5.7.3.2, 02110-1301, std::vector, a[1::2], ::1, 127.0.0.1",
        "order 1700000000000000000, 0.9482758620689657, DE88370400440532013000, 000-12-3456, react@18.2.0",
        "7f 45 4c 46 02 01 01 00 00 10 20 30, pages (2003) 123-1245, ISBN 0-19-852663-6",
    ],
)
def test_what_is_not_personal_stays(text: str) -> None:
    """Dates, versions, code, decimals, and numbers with wrong check digits."""
    assert ALL(text) == text


@pytest.mark.parametrize("before", ["", "é", "语" * 20, "İ", "😀 ", "a/b-c_d.e "])
def test_a_secret_is_found_at_its_place_in_texts_of_any_script(before: str) -> None:
    """The shortest key of the table, keys one after the other, and a name in mixed case."""
    key, other = "xoxb-1234567890", f"ghp_{'a1' * 18}"
    assert SECRETS(f"{before} {key} {other},{key}") == f"{before} [secret] [secret],[secret]"
    assert SECRETS(f"{before} PassWord=hunter2") == f"{before} PassWord=[secret]"


def test_what_stands_around_a_secret_stays() -> None:
    """In an encoded part, in JSON, and in a URL: host and user are not secrets."""
    assert SECRETS("GET https://ada:hunter2@host/a?b=1 failed") == "GET https://ada:[secret]@host/a?b=1 failed"
    assert (
        SECRETS("u=postgres%3A%2F%2Fada%3Ahunter2%40host%2Fa%26b c%20d") == "u=postgres://ada:[secret]@host/a&b c%20d"
    )
    assert SECRETS('{"password": 12345678, "n": 1}') == '{"password": "[secret]", "n": 1}'
    assert SECRETS("[secret] password=[secret]") == "[secret] password=[secret]"


def test_hostile_texts_do_not_hold_it_up() -> None:
    """What expressions begin with, again and again: linear, so the suite's timeout is far away."""
    for part in (
        "sk-",
        "-eyJ",
        "password=",
        'key="',
        "://a:",
        "curl ",
        "%41",
        "%25",
        "\\",
        "-----BEGIN PRIVATE KEY-----",
    ):
        SECRETS(part * (60_000 // len(part)))
