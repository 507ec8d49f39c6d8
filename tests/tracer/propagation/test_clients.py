"""HTTP clients carry the trace to every host, and the session to those that a setting names, but to no model."""

from typing import Any
from urllib.parse import unquote

import pytest

pytestmark = pytest.mark.slow

# Each function gets a URL by another client, or by another way of the same.
CLIENTS = """
import asyncio, os, sys
import qualitrace
import httpx, urllib.request, urllib3
qualitrace.init()
import aiohttp, httpx2, requests

def by_urllib(url, **headers): urllib.request.urlopen(urllib.request.Request(url, headers=headers)).read()
def by_urllib3(url, **headers): urllib3.PoolManager().request("GET", url, headers=headers)
def by_requests(url, **headers): requests.get(url, headers=headers).raise_for_status()
def by_httpx(url, **headers): httpx.get(url, headers=headers, follow_redirects=True).raise_for_status()
def by_httpx2(url, **headers): httpx2.get(url, headers=headers, follow_redirects=True).raise_for_status()
def by_httpx_async(url, **headers):
    async def get():
        async with httpx.AsyncClient(follow_redirects=True) as client:
            (await client.get(url, headers=headers)).raise_for_status()
    asyncio.run(get())
def by_aiohttp(url, **headers):
    async def get():
        async with aiohttp.ClientSession() as client, client.get(url, headers=headers) as response:
            await response.read()
    asyncio.run(get())
ALL = {name[3:]: function for name, function in globals().items() if name.startswith("by_")}
"""
NAMES = {"urllib", "urllib3", "requests", "httpx", "httpx2", "httpx_async", "aiohttp"}

REDIRECTED = (
    CLIENTS
    + """
first, second = sys.argv[1:]
for name, get in ALL.items():
    with qualitrace.session("s 1", user="Jürgen", prompt_version="v2"), qualitrace.span(name):
        get(f"{first}/{name}?to={second}/{name}")
    get(f"{first}/{name}-outside")
"""
)


def test_trace_and_session(programs: Any, collector: Any, services: Any) -> None:
    """The first service, which is named, gets trace and session; the second, to which it redirects, the trace alone."""
    first, second = services
    done = programs.run(
        REDIRECTED,
        first.address,
        second.address,
        QUALITRACE_ENDPOINT=collector.endpoint,
        QUALITRACE_ENVIRONMENT="staging",
        QUALITRACE_BAGGAGE_HOSTS=first.address.removeprefix("http://"),
    )
    assert (done.code, done.errors) == (0, "")
    spans = {span.name: span for span in collector.wait(len(NAMES))}
    assert set(spans) == NAMES  # the clients make none
    for name, span in spans.items():
        assert first.asked[name]["traceparent"] == f"00-{span.trace_id}-{span.span_id}-03"
        members = dict(member.split("=") for member in first.asked[name]["baggage"].split(","))
        assert {key: unquote(value) for key, value in members.items()} == {
            "session.id": "s 1",
            "user.id": "Jürgen",
            "qualitrace.prompt.version": "v2",
            "deployment.environment.name": "staging",
        }
        assert second.asked[name]["traceparent"] == first.asked[name]["traceparent"]
        assert "baggage" not in second.asked[name]
        outside = first.asked[f"{name}-outside"]
        assert "traceparent" not in outside
        assert outside["baggage"] == "deployment.environment.name=staging"


OWN_HEADERS = (
    CLIENTS
    + """
for name, get in ALL.items():
    with qualitrace.session("s1", user="ada"), qualitrace.span(name):
        get(f"{sys.argv[1]}/{name}", traceparent="00-%032x-%016x-00" % (1, 2), baggage="tenant=a,user.id=theirs")
"""
)


def test_headers_of_the_app(programs: Any, collector: Any, services: Any) -> None:
    """Headers that the app sets itself stay, and baggage is added to its baggage."""
    service, _ = services
    variables = {"QUALITRACE_ENDPOINT": collector.endpoint, "QUALITRACE_BAGGAGE_HOSTS": "127.0.0.1"}
    done = programs.run(OWN_HEADERS, service.address, **variables)
    assert (done.code, done.errors) == (0, "")
    assert set(service.asked) == NAMES
    for headers in service.asked.values():
        assert headers["traceparent"] == f"00-{1:032x}-{2:016x}-00"
        assert headers["baggage"] == "tenant=a,user.id=theirs,session.id=s1"


TWO_SLASHES = """
import http.client, sys
import qualitrace
qualitrace.init(instrument=())
connection = http.client.HTTPConnection(sys.argv[1].removeprefix("http://"))
for path in ("//orders.internal/one", "//[/two"):
    with qualitrace.session("s1"), qualitrace.span("step"):
        connection.request("GET", path)
        connection.getresponse().read()
"""


def test_a_path_is_no_host(programs: Any, collector: Any, services: Any) -> None:
    """A path that begins with two slashes looks like a host; the request goes elsewhere, and gets no baggage."""
    service, _ = services
    variables = {"QUALITRACE_ENDPOINT": collector.endpoint, "QUALITRACE_BAGGAGE_HOSTS": "orders.internal"}
    done = programs.run(TWO_SLASHES, service.address, **variables)
    assert (done.code, done.errors) == (0, "")
    assert service.asked.keys() == {"one", "two"}
    assert all("traceparent" in headers and "baggage" not in headers for headers in service.asked.values())


def test_switched_off(programs: Any, collector: Any, services: Any) -> None:
    """With `propagate` off clients are left alone."""
    service, other = services
    variables = {"QUALITRACE_PROPAGATE": "false", "QUALITRACE_BAGGAGE_HOSTS": "127.0.0.1"}
    done = programs.run(REDIRECTED, service.address, other.address, QUALITRACE_ENDPOINT=collector.endpoint, **variables)
    assert done.code == 0, done.errors
    assert not any({"traceparent", "baggage"} & headers.keys() for headers in service.asked.values())


MODELS = """
import os, sys
import qualitrace
qualitrace.init(sample_ratio=float(os.environ.get("RATIO", 1)))
import anthropic, openai, requests
address = sys.argv[1]
question = dict(model="m", messages=[{"role": "user", "content": "Capital of France?"}])
with qualitrace.session("s1", user="ada"), qualitrace.span("ask"):
    openai.OpenAI(base_url=address + "/v1", api_key="k").chat.completions.create(**question)
    stream = openai.OpenAI(base_url=address + "/v1", api_key="k").chat.completions.create(stream=True, **question)
    list(stream)
    anthropic.Anthropic(base_url=address, api_key="k").messages.create(max_tokens=9, **question)
    requests.get(address + "/own")
"""


@pytest.mark.parametrize("variables", [{}, {"QUALITRACE_INSTRUMENT": "+httpx,+requests"}], ids=["", "with spans"])
def test_models_get_no_session(programs: Any, collector: Any, services: Any, variables: dict[str, str]) -> None:
    """A model on a host that is named gets no baggage, while the app's own service there does."""
    service, _ = services
    hosts = {"QUALITRACE_BAGGAGE_HOSTS": "*.internal,127.0.0.1", "QUALITRACE_ENDPOINT": collector.endpoint}
    done = programs.run(MODELS, service.address, **hosts, **variables)
    assert done.code == 0, done.errors
    assert service.asked["own"]["baggage"] == "session.id=s1,user.id=ada"
    assert "traceparent" in service.asked["completions"]
    for path in ("completions", "messages"):
        assert "baggage" not in service.asked[path]


def test_models_get_no_session_in_a_trace_that_is_left_out(programs: Any, collector: Any, services: Any) -> None:
    """Where the trace is not sampled, and nothing is known of its calls, no host gets baggage."""
    service, _ = services
    hosts = {"QUALITRACE_BAGGAGE_HOSTS": "127.0.0.1", "QUALITRACE_ENDPOINT": collector.endpoint}
    done = programs.run(MODELS, service.address, RATIO="0", **hosts)
    assert done.code == 0, done.errors
    assert service.asked["own"]["traceparent"].endswith("-02")
    assert not any("baggage" in headers for headers in service.asked.values())


FORWARDED = """
import os, sys
import qualitrace
qualitrace.init()
import httpx, requests
from opentelemetry.context import attach
from opentelemetry.propagate import extract
attach(extract({"baggage": "user.id=ada,tenant=a"}))
with qualitrace.span("serve"):
    for address in sys.argv[1:]:
        httpx.get(address + "/httpx")
        requests.get(address + "/requests")
"""


def test_received_baggage_goes_to_named_hosts_only(programs: Any, collector: Any, services: Any) -> None:
    """What a caller sent goes on to hosts that are named, with clients that make spans, too."""
    first, second = services
    done = programs.run(
        FORWARDED,
        first.address,
        second.address,
        QUALITRACE_ENDPOINT=collector.endpoint,
        QUALITRACE_INSTRUMENT="+httpx,+requests",
        QUALITRACE_BAGGAGE_HOSTS=first.address.removeprefix("http://"),
    )
    assert (done.code, done.errors) == (0, "")
    spans = {span.span_id: span for span in collector.wait(5)}
    for name in ("httpx", "requests"):
        assert first.asked[name]["baggage"] == "user.id=ada"
        assert "baggage" not in second.asked[name]
        caller = spans[first.asked[name]["traceparent"].split("-")[2]]
        assert caller.scope == f"opentelemetry.instrumentation.{name}"


def test_redaction(programs: Any, collector: Any, services: Any) -> None:
    """What is replaced in spans is replaced in baggage."""
    service, _ = services
    code = CLIENTS + "with qualitrace.session('s1', user='ada@example.org'): by_httpx(sys.argv[1] + '/a')"
    variables = {"QUALITRACE_BAGGAGE_HOSTS": "127.0.0.1", "QUALITRACE_REDACT": "email"}
    done = programs.run(code, service.address, QUALITRACE_ENDPOINT=collector.endpoint, **variables)
    assert done.code == 0, done.errors
    assert service.asked["a"]["baggage"] == "session.id=s1,user.id=%5Bemail%5D"
