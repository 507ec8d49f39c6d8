"""What the pipeline keeps of each request: sums, and a row for alert rules that bet on it."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from support.otlp import chat_span, span
from support.pipeline import Collector, rag


@pytest.fixture
def collector(tmp_path: Path) -> Collector:
    """Make a collector with a rule that bets on requests."""
    return Collector(tmp_path, {}, one_by_one=True)


def kept(collector: Collector) -> list[dict[str, Any]]:
    return [dict(row) for row in collector.database.rows("SELECT * FROM new_request ORDER BY sequence")]


def minutes(collector: Collector) -> tuple[int, int, float]:
    return tuple(collector.database.rows("SELECT total(requests), total(errors), total(tokens) FROM request_minute")[0])


def test_a_trace_is_kept_with_what_rules_ask(collector: Collector):
    """Whether it failed, its duration, the first token's, its session, and what it can be told apart by."""
    root = span(1, 1, name="POST /ask", error="boom", seconds=2, http__route="/ask", session__id="s")
    call = chat_span(1, 2, 1, question="Q?", answer="A.", gen_ai__response__time_to_first_chunk=0.25)
    collector.send([root, call], service__version="1.5.0")
    collector.run()
    (row,) = kept(collector)
    assert (row["service"], row["session"], row["error"], row["seconds"], row["first_token"]) == (
        "shop",
        "s",
        1,
        2,
        0.25,
    )
    slices = json.loads(row["slices"])
    assert (slices["release"], slices["route"]) == ("1.5.0", "/ask")
    assert minutes(collector) == (1, 1, 22)


def test_without_a_rule_that_bets_on_requests_sums_are_kept_alone(make: Callable[..., Collector]):
    """Rows that nobody takes would only grow; pages show the sums."""
    collector = make()
    collector.send(rag(1))
    collector.run()
    assert kept(collector) == []
    assert minutes(collector) == (1, 0, 22)


def test_a_trace_counts_once_whatever_comes_again(collector: Collector):
    """Resent spans, a crash and a replayed journal, and late spans, which add what they cost and no request."""
    collector.send(rag(1))
    collector.run()
    collector.send(rag(1))
    collector.run(62)
    collector.restart()
    collector.send([chat_span(1, 9, 1, question="And?", answer="So.", gen_ai__usage__input_tokens=6)])
    collector.run(62)
    assert len(kept(collector)) == 1
    assert minutes(collector) == (1, 0, 22 + 6 + 8)


def test_a_trace_without_its_root_counts_when_it_is_given_up(collector: Collector):
    """Its duration is that of what came."""
    collector.send(rag(1)[1:])
    collector.run(200)
    assert len(kept(collector)) == 1


def test_a_batch_that_cannot_be_written_is_not_counted(collector: Collector, monkeypatch: pytest.MonkeyPatch):
    """Rows and outcomes are one transaction."""

    def fail(*_: Any) -> None:
        raise RuntimeError("no queue")

    with monkeypatch.context() as patch:
        patch.setattr(collector.recorder.sampler, "enqueue", fail)
        collector.send(rag(1))
        with pytest.raises(RuntimeError, match="no queue"):
            collector.run()
    assert kept(collector) == []
