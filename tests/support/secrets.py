"""Made-up secrets and personal data of many kinds, and the places in which they turn up. All are drawn, none is real."""

import base64
import json
import random
import string
from collections.abc import Callable, Mapping
from typing import Any
from urllib.parse import quote, urlencode

ALNUM = string.ascii_letters + string.digits
HEX = "0123456789abcdef"
BASE64 = ALNUM + "+/"
URL_SAFE = ALNUM + "-_"


def _drawn(random_: random.Random, characters: str, length: int) -> str:
    # A real key of this length has a digit and a letter.
    return "a1" + "".join(random_.choices(characters, k=length - 2))


def _private_key(random_: random.Random) -> str:
    lines = "\n".join(_drawn(random_, BASE64, 64) for _ in range(12))
    return f"-----BEGIN RSA PRIVATE KEY-----\n{lines}\n{_drawn(random_, BASE64, 30)}==\n-----END RSA PRIVATE KEY-----"


def _jwt(random_: random.Random) -> str:
    def part(value: Any) -> str:
        return base64.urlsafe_b64encode(json.dumps(value).encode()).decode().rstrip("=")

    signature = _drawn(random_, URL_SAFE, 43)
    return f"{part({'alg': 'HS256', 'typ': 'JWT'})}.{part({'sub': random_.randrange(10**9)})}.{signature}"


Draw = Callable[[random.Random], str]

# By kind: the secret, and the text around it where a secret is known by its name only.
KEYS: Mapping[str, Draw] = {
    "AWS id": lambda r: "AKIA" + "".join(r.choices(string.ascii_uppercase + "234567", k=15)) + "7",
    "OpenAI": lambda r: "sk-" + _drawn(r, ALNUM, 48),
    "OpenAI project": lambda r: "sk-proj-" + _drawn(r, URL_SAFE, 120),
    "Anthropic": lambda r: "sk-ant-api03-" + _drawn(r, URL_SAFE, 93) + "AA",
    "GitHub": lambda r: r.choice(["ghp_", "gho_", "ghs_"]) + _drawn(r, ALNUM, 36),
    "GitHub fine-grained": lambda r: f"github_pat_{_drawn(r, ALNUM, 22)}_{_drawn(r, ALNUM, 59)}",
    "Slack": lambda r: f"xoxb-{r.randrange(10**11, 10**12)}-{r.randrange(10**11, 10**12)}-{_drawn(r, ALNUM, 24)}",
    "Google": lambda r: "AIza" + _drawn(r, URL_SAFE, 35),
    "JWT": _jwt,
    "private key": _private_key,
    "Stripe": lambda r: r.choice(["sk_live_", "rk_live_", "sk_test_"]) + _drawn(r, ALNUM, 24),
    "Azure": lambda r: _drawn(r, ALNUM, 52) + "JQQJ99" + _drawn(r, ALNUM, 26),
    "Hugging Face": lambda r: "hf_" + "".join(r.choices(string.ascii_letters, k=34)),
    "GitLab": lambda r: "glpat-" + _drawn(r, URL_SAFE, 20),
    "Groq": lambda r: "gsk_" + _drawn(r, ALNUM, 52),
    "ElevenLabs": lambda r: "sk_" + _drawn(r, HEX, 48),
}


def _card(random_: random.Random, gap: str) -> str:
    from stdnum import luhn

    digits = random_.choice("45") + "".join(random_.choices(string.digits, k=14))
    digits += luhn.calc_check_digit(digits)
    return gap.join(digits[at : at + 4] for at in range(0, 16, 4))


def _iban(random_: random.Random, gap: str) -> str:
    from stdnum import iban

    bban = "37040044" + "".join(random_.choices(string.digits, k=10))
    number = "DE" + iban.calc_check_digits(f"DE00{bban}") + bban
    return gap.join(number[at : at + 4] for at in range(0, 22, 4))


def _digits(random_: random.Random, length: int) -> str:
    return "".join(random_.choices("123456789", k=length))


def _ipv6(random_: random.Random) -> str:
    groups = [f"{random_.randrange(4096, 65535):x}" for _ in range(4)]
    return f"2001:db8:{':'.join(groups[:2])}::{':'.join(groups[2:])}"


PERSONAL: Mapping[str, Draw] = {
    "email": lambda r: f"ada.{_digits(r, 4)}@mail{_digits(r, 2)}.example.org",
    "email in Unicode": lambda r: f"jörg{_digits(r, 4)}@bücher{_digits(r, 2)}.example",
    "email, quoted": lambda r: f'"ada l {_digits(r, 4)}"@mail{_digits(r, 2)}.example.org',
    "phone, German": lambda r: f"+49 (0)30 {_digits(r, 4)} {_digits(r, 4)}",
    "phone, British": lambda r: f"020 {_digits(r, 4)} {_digits(r, 4)}",
    "phone, French": lambda r: f"01 {_digits(r, 2)} {_digits(r, 2)} {_digits(r, 2)} {_digits(r, 2)}",
    "phone, American": lambda r: f"({_digits(r, 3)}) {_digits(r, 3)}-{_digits(r, 4)}",
    "card": lambda r: _card(r, r.choice(["", " ", "-"])),
    "IBAN": lambda r: _iban(r, r.choice(["", " ", "-", "."])),
    "IBAN in small letters": lambda r: _iban(r, " ").lower(),
    "SSN": lambda r: r.choice("-. ").join(("5" + _digits(r, 2), _digits(r, 2), _digits(r, 4))),
    "IPv4": lambda r: f"203.0.{r.randrange(256)}.{r.randrange(256)}",
    "IPv6": _ipv6,
}

TEXTS: Mapping[str, Callable[[str], str]] = {
    "prompt": lambda s: f"Why is this refused?\n{s}\nPlease help.",
    "at the end of a sentence": lambda s: f"Here it is: {s}.",
    "in brackets": lambda s: f"the value ({s}) is wrong",
    "JSON value": lambda s: json.dumps({"messages": [{"role": "user", "content": f"I use {s}, is that right?"}]}),
    "JSON with all escaped": lambda s: json.dumps(["Grüße", s]).replace("/", "\\/").replace("-", "\\u002d"),
    "JSON key": lambda s: json.dumps({"by": {s: 1}}),
    "JSON in JSON": lambda s: json.dumps({"arguments": json.dumps({"q": json.dumps([f"x {s} y"])})}),
    "line of a JSON text": lambda s: json.dumps({"text": f"first\n{s}\nlast"}),
    "Python": lambda s: repr({"config": [s], "n": 1}),
    "query": lambda s: f"GET https://api.example.com/v1/x?{urlencode({'page': 2, 'q': s})} 401",
    "percent-encoded": lambda s: f"redirect=https%3A%2F%2Fexample.com%2F%3Fv%3D{quote(s, safe='')}%26n%3D1",
    "encoded twice": lambda s: f"next={quote(quote('https://example.com/?v=' + s, safe=''), safe='')}",
    "form": lambda s: urlencode({"a": "b c", "value": s, "z": 1}),
    "headers": lambda s: f"> POST /v1 HTTP/1.1\r\n> Host: example.com\r\n> X-Given: {s}\r\n> Accept: */*\r\n",
    "YAML": lambda s: f"service:\n  given: {s}\n  port: 80\n",
    "table": lambda s: f"| name | value |\n|---|---|\n| given | {s} |",
    "stack trace": lambda s: (
        f'Traceback (most recent call last):\n  File "app.py", line 7, in call\n    connect("{s}")\nValueError: bad {s}'
    ),
}

# By kind: text with a secret that has no shape of its own, and the secret.
NAMED: Mapping[str, Callable[[random.Random], tuple[str, str]]] = {
    "AWS secret": lambda r: _of("aws_secret_access_key = {}", _drawn(r, BASE64, 40)),
    "Azure account": lambda r: _of("AccountName=x;AccountKey={};EndpointSuffix=y", _drawn(r, BASE64, 86) + "=="),
    "API key in JSON": lambda r: _of('{{"model": "m", "api_key": "{}"}}', _drawn(r, HEX, 32)),
    "API key in JSON in JSON": lambda r: _of('{{"a": "{{\\"apiKey\\": \\"{}\\"}}"}}', _drawn(r, HEX, 32)),
    "header": lambda r: _of("Accept: */*\r\nX-Api-Key: {}\r\nHost: a", _drawn(r, ALNUM, 32)),
    "list of headers": lambda r: _of("[(b'x-api-key', b'{}'), (b'host', b'a')]", _drawn(r, ALNUM, 32)),
    "Bearer": lambda r: _of("curl -H 'Authorization: Bearer {}' https://a", _drawn(r, URL_SAFE, 30)),
    "Basic": lambda r: _of(
        "authorization: Basic {}", base64.b64encode(b"ada:" + _drawn(r, ALNUM, 9).encode()).decode()
    ),
    "password in a URL": lambda r: _of("cannot reach postgresql://app:{}@db:5432/shop", _drawn(r, ALNUM + "!$*", 14)),
    "password in an encoded URL": lambda r: _of("dsn=postgresql%3A%2F%2Fapp%3A{}%40db%2Fshop", _drawn(r, ALNUM, 14)),
    "password in a DSN": lambda r: _of("host=db user=app password={} sslmode=on", _drawn(r, ALNUM + "!#", 10)),
    "password in JSON": lambda r: _of('{{"user": "ada", "password": "{}"}}', _drawn(r, ALNUM + "!#&<", 10)),
    "environment": lambda r: _of("PORT=80\nDB_PASSWORD={}\nDEBUG=1", _drawn(r, ALNUM, 12)),
    "sentence": lambda r: _of("my password is {}, do not tell", _drawn(r, ALNUM, 10)),
    "signed URL": lambda r: _of("https://x.blob/a?sv=1&sig={}&se=2", quote(_drawn(r, BASE64, 43) + "=", safe="")),
    "token in a query": lambda r: _of("wss://a/b?access_token={}&v=1", _drawn(r, ALNUM, 24)),
    "YAML": lambda r: _of("db:\n  client_secret: {}\n", _drawn(r, ALNUM, 24)),
    "cookie": lambda r: _of("Cookie: session={}; theme=dark", _drawn(r, ALNUM, 32)),
}


def _of(text: str, secret: str) -> tuple[str, str]:
    return text.format(secret), secret


def shown(text: str, secret: str) -> bool:
    """Whether a text still holds a secret, or a good part of it, in any of the encodings of `TEXTS`."""
    from urllib.parse import unquote_plus

    plain = text
    for _ in range(3):
        plain = unquote_plus(plain)
    views = (text, text.replace("\\u002d", "-"), plain, unquote_plus(text))
    views = tuple(view.replace("\\\\", "\\").replace("\\/", "/") for view in views) + views
    forms = {secret, secret.replace("\n", "\\n"), json.dumps(secret)[1:-1]}
    pieces = {form[at : at + 12] for form in forms for at in range(0, max(1, len(form) - 11), 6)}
    return any(piece in view for piece in pieces for view in views)
