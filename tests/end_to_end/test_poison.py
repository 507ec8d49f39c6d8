"""What kills `work` is found and put aside; what is behind it goes on."""

import json
from collections.abc import Callable

import pytest

from support.commands import journal
from support.killer import out_of_memory_killer
from support.memory import resident
from support.otlp import chat_span, rag_trace, request, span, trace_id
from support.serving import Server
from support.tally import is_settled, ledger
from support.waiting import eventually


def bomb(number: int) -> bytes:
    """Make a request of many spans, which takes many times its size when it is worked on."""
    children = [chat_span(number, child, 1, question=f"{child}?", answer="A." * 40) for child in range(2, 6000)]
    return request([span(number, 1, name="POST /ask"), *children]).SerializeToString()


def good(number: int) -> bytes:
    return request(rag_trace(number, question="Q?", answer="A.", passages=["P."])).SerializeToString()


@pytest.mark.timeout(420)  # `work` starts five times, which takes half a minute each on a busy machine
def test_a_request_that_takes_too_much_memory_is_put_aside(serve: Callable[..., Server]):
    """A killer of all that takes 50 MiB more than usual: five traces behind it are stored, and it can be replayed."""
    server = serve(judges=["toxicity"])
    data = server.folder / "data"
    assert server.send(good(1)).status_code == 200
    eventually(lambda: ledger(data).get(("toxicity", "scored")) == 1, timeout=60)
    usual = resident(server.children()["work"])
    with out_of_memory_killer(server, usual + (50 << 20)) as killed:
        assert server.send(bomb(2)).status_code == 200
        for number in range(3, 8):
            assert server.send(good(number)).status_code == 200
        eventually(lambda: ("", "dead_lettered") in ledger(data) and is_settled(data), timeout=300)
    assert len(killed) == 4
    assert ledger(data) == {("", "dead_lettered"): 1, ("", "stored"): 6, ("toxicity", "scored"): 6}
    (letter,) = map(json.loads, journal(server, "list", "--json").splitlines())
    assert letter["trace_id"] == f"tr-{trace_id(2).hex()}"
    assert letter["error"] == "the process `work` died 3 times while it worked on this request alone"
    assert len(json.loads(journal(server, "show", letter["id"]))["resourceSpans"][0]["scopeSpans"][0]["spans"]) == 5999

    assert journal(server, "replay", "--all") == "1 put back into the journal\n"
    eventually(lambda: ledger(data).get(("", "stored")) == 7 and is_settled(data), timeout=60)
