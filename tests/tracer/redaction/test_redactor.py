"""Redaction: what is replaced, that nothing else is, and that nothing leaves when it cannot be done."""

import json
import subprocess
import sys
from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

import qualitrace
from qualitrace.redaction.personal import PATTERNS
from qualitrace.redaction.redactor import FAILED, Redactor, redaction

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(st.characters(exclude_categories=["Cs"])),
    lambda items: st.lists(items) | st.dictionaries(st.text(st.characters(exclude_categories=["Cs"])), items),
    max_leaves=10,
)


@pytest.mark.parametrize(
    ("text", "redacted"),
    [
        ("write to ada.l+x@mail.example.com, please", "write to [email], please"),
        ("call +49 30 1234567 or (212) 555-1234", "call [phone] or [phone]"),
        ("pay with 4111 1111 1111 1111.", "pay with [card]."),
        (
            "at 1700000000000000000 ns, order 4111 1111 1111 1112",
            "at 1700000000000000000 ns, order 4111 1111 1111 1112",
        ),
        ("to DE89 3704 0044 0532 0130 00 or DE88370400440532013000", "to [iban] or DE88370400440532013000"),
        ("ssn 123-45-6789, from 10.1.2.3", "ssn [ssn], from [ip]"),
        ("order-17 of 2026-11-24 costs 24.50", "[custom] of 2026-11-24 costs 24.50"),
    ],
)
def test_each_pattern_finds_its_kind(text: str, redacted: str) -> None:
    """By name, with check digits where there are any, and nothing beside."""
    redactor = Redactor([*(name for name in PATTERNS if name != "phone" or "call" in text), r"/order-\d+/"])
    assert redactor(text) == redacted
    assert sum(redactor.counts.values()) == redacted.count("[")


def test_json_stays_json() -> None:
    """Escaped addresses are found, numbers too, in keys, lists and JSON within JSON."""
    text = r'{"a\u0040b.de": ["x\nada@b.de", 4111111111111111, 17, null], "inner": "{\"to\": \"eve@b.de\"}"}'
    assert json.loads(Redactor(["email", "card"])(text)) == {
        "[email]": ["x\n[email]", "[card]", 17, None],
        "inner": '{"to": "[email]"}',
    }


@pytest.mark.parametrize(
    ("text", "redacted"),
    [
        ('{"to": "ada@b.de", "to": "eve"}', '{"to": "[email]", "to": "eve"}'),
        (r'"pay with\n4111111111111111"', r'"pay with\n[card]"'),
    ],
)
def test_no_form_of_json_hides_personal_data(text: str, redacted: str) -> None:
    """Not a doubled key, nor a mere string whose escapes touch what is sought."""
    assert Redactor(["email", "card"])(text) == redacted


@given(JSON)
def test_what_holds_no_personal_data_is_left_as_it_is(value: Any) -> None:
    """To the byte, JSON or not."""
    text = json.dumps(value)
    assert Redactor(["/never-in-there-\\d+x/"])(text) == text


@given(JSON, st.sampled_from(["ada@b.de", "4111111111111111"]))
def test_personal_data_is_found_wherever_it_stands(value: Any, datum: str) -> None:
    """Beside any value, at any depth."""
    redacted = Redactor(["email", "card"])(json.dumps({"a": [value, {"b": f"- {datum} -"}]}))
    assert datum not in redacted
    assert json.loads(redacted)["a"][1]["b"] in ("- [email] -", "- [card] -")


PERSONAL = st.sampled_from(
    [
        "ada@b.de",
        "4111111111111111",
        "4111 1111 1111 1111",
        "+49 30 1234567",
        "10.1.2.3",
        "2001:db8::17",
        "123-45-6789",
        "DE89370400440532013000",
        "ada%40b.de",
        r"ada\u0040b.de",
        "to=ada%40b.de+x",
        "127.0.0.1",
        "12:30:15",
        "01-15 10:30",
    ]
)
BESIDE = st.sampled_from(["", " ", "\n", "\\", "\\n", '"', "n", "1,", "1.", "7", "[", "é", "\t", "/"])


@given(JSON, st.lists(st.tuples(BESIDE, PERSONAL, BESIDE).map("".join), max_size=3), st.integers(0, 2), st.booleans())
def test_the_quick_look_misses_nothing(value: Any, data: list[str], nested: int, secret: bool) -> None:
    """Texts that one search finds harmless are those that redaction leaves as they are, each by itself."""
    texts = [*data, json.dumps([value, data, {"a": [1, *data, 4111111111111111]}] if data else value)]
    for _ in range(nested):
        texts.append(json.dumps({"inner": texts[-1]}))
    redactor = Redactor([*PATTERNS, *(["secret"] if secret else [])])
    if redactor.keeps(texts):
        assert [redactor(text) for text in texts] == texts
    for text in texts:
        if redactor.keeps([text]):
            slow = Redactor([*PATTERNS, "/never-in-there-[0-9]+x/"])  # an expression of the user's: no quick look
            assert slow(text) == text


def test_the_quick_look_is_used() -> None:
    """Messages with line breaks and quotes, short texts with what only looks like personal data, and numbers."""
    messages = json.dumps([{"role": "user", "content": 'How "long"\n\tdoes 1 tent last, at 30 % off?'}])
    assert Redactor(["secret", *PATTERNS]).keeps([messages, "127.0.0.1", "gpt-5-mini", "2026-11-24T12:30:15"])
    assert not Redactor(["secret", *PATTERNS]).keeps([messages, "10.1.2.3"])


@pytest.mark.parametrize("rule", [*PATTERNS, "/(a+)+$/", "/(x*)*y/"])
def test_hostile_texts_do_not_hold_it_up(rule: str) -> None:
    """Texts that a backtracking engine would need years for; the suite's timeout is the limit."""
    for text in ("a" * 60_000 + "!", "a." * 30_000 + "@", "1 " * 30_000, "DE12" + " ABCD" * 12_000, "[" * 60_000):
        Redactor([rule])(text)


@pytest.mark.parametrize("value", ["emial", ["/(/"], 7, [None], "email,nonsense", lambda text: 1 / 0])
def test_what_cannot_redact_lets_nothing_through(value: Any) -> None:
    """An unknown name, a broken expression, no list, a function that fails."""
    assert redaction(value)("ada@b.de") == FAILED


def test_without_the_libraries_nothing_is_let_through(monkeypatch: pytest.MonkeyPatch, caplog: Any) -> None:
    """The warning says what to install."""
    monkeypatch.setitem(sys.modules, "re2", None)
    monkeypatch.delitem(sys.modules, "qualitrace.redaction.expressions", raising=False)
    assert redaction("email")("harmless") == FAILED
    assert "pip install 'qualitrace[redact]'" in caplog.text


@pytest.mark.parametrize("redact", [["email"], "email", lambda text: text.replace("ada@b.de", "[email]")])
def test_spans_leave_redacted(collector: Any, redact: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Names, attributes, errors and events; the app's own objects are not changed."""
    question = {"question": "I am ada@b.de"}
    monkeypatch.setenv("OTEL_INSTRUMENTATION_GENAI_CAPTURE_MESSAGE_CONTENT", "span_only")
    qualitrace.init(endpoint=collector.endpoint, redact=redact, instrument=())
    try:
        with suppress(ValueError), qualitrace.span("ask ada@b.de") as span:
            span.set_inputs(question)
            span.set_attribute("list", ["ada@b.de"])
            raise ValueError("no ada@b.de")
        assert qualitrace.flush(20)
    finally:
        qualitrace.shutdown()
    (sent,) = collector.received
    assert "ada@b.de" not in repr(sent)
    assert (sent.name, sent.json("input.value")) == ("ask [email]", {"question": "I am [email]"})
    assert sent.events == ["exception"]
    assert question == {"question": "I am ada@b.de"}


def test_the_libraries_are_not_loaded_without_need() -> None:
    """`import qualitrace` stays light."""
    code = "import sys, qualitrace; sys.exit('re2' in sys.modules or 'stdnum' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
