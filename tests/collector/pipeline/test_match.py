"""`match`: its patterns, and that a judge sees only what it matches, whatever comes late."""

from collections import Counter
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from qualitrace_collector.config import ConfigError, parse_config
from qualitrace_collector.journal import JournalEntry
from qualitrace_collector.person_feedback import PersonFeedback
from qualitrace_collector.pipeline import match
from qualitrace_collector.pipeline.match import Match
from qualitrace_collector.settings import CollectorConfig
from qualitrace_collector.state import Ledger
from support.otlp import chat_span, span, trace_id
from support.pipeline import Collector, rag


def judge(**match: Any) -> dict[str, Any]:
    return {"name": "relevance", "match": match}


def outcomes(collector: Collector, judge: str = "relevance") -> dict[str, int]:
    """Return the totals of a judge over all services, and check that each trace has one outcome."""
    totals: Counter[tuple[str, str]] = Counter()
    for row in Ledger(collector.database).totals():
        totals[row["judge"], row["outcome"]] += row["total"]
    found = {outcome: total for (name, outcome), total in totals.items() if name == judge}
    assert sum(found.values()) == totals["", "stored"]
    return found


@pytest.mark.parametrize(
    ("patterns", "fits"),
    [
        ({"service": "shop"}, True),
        ({"service": "sh*"}, True),
        ({"service": "Shop"}, False),
        ({"service": ["admin", "s?op"]}, True),
        ({"service": "shop", "release": "2.*"}, False),
        ({"service.version": "1.[34]"}, True),
        ({"deployment.environment": "production"}, True),
        ({"deployment.environment.name": "prod*"}, True),
        ({"route": "/ask"}, True),
        ({"http.route": "/answer"}, False),
        ({"tenant": "*"}, False),
        ({"app.beta": True}, True),
        ({"app.beta": [1, "true"]}, True),
    ],
)
def test_all_keys_must_hold_and_any_of_their_values(patterns: dict[str, Any], fits: bool):
    """Names and globs, upper and lower case differ, both names of a field are one, and what is not there fits nothing."""
    fields = {"service": "shop", "release": "1.4", "environment": "production", "route": "/ask", "app.beta": "true"}
    assert Match.model_validate(patterns).holds(fields.get) is fits


@given(st.text(min_size=1, max_size=50))
def test_a_value_fits_its_own_name(value: str):
    """Without the three characters of globs a pattern stands for itself alone."""
    name = value.translate(str.maketrans("*?[", "---"))
    assert Match.model_validate({"model": name}).holds({"model": name}.get)
    assert not Match.model_validate({"model": name}).holds({"model": f"{name}x"}.get)


@pytest.mark.parametrize(
    ("patterns", "mistake"),
    [
        ({}, "names nothing"),
        ({"service": []}, "service: an empty list"),
        ({"service": ""}, "service: a name or a glob has 1 to 200 characters"),
        ({"release": 1.10}, "release: must be a name or a glob.* in quotes"),
        ({"model": {"name": "x"}}, "model: must be a name"),
        ({"enviroment": "production"}, "enviroment: .*did you mean 'environment'"),
        ({"deployment.enviroment.name": "x"}, "did you mean 'deployment.environment.name'"),
        ({"release": "1", "service.version": "2"}, "'release' stands twice"),
        ({"model": ["x"] * (match.MAX_PATTERNS + 1)}, "model: has more than 50 values"),
        ({f"a.{number}": "x" for number in range(match.MAX_KEYS + 1)}, "has more than 10 keys"),
        ({"model": "x" * 201}, "model: a name or a glob has 1 to 200 characters"),
        ("shop", "must be a mapping of keys"),
    ],
)
def test_a_mistake_is_named_with_its_place(patterns: Any, mistake: str):
    """Each key that cannot match what was meant is refused, so that no judge waits in vain."""
    with pytest.raises(ConfigError, match=rf"judges\.0\.match.*{mistake}"):
        parse_config({"judges": [{"name": "relevance", "match": patterns}]}, CollectorConfig)
    with pytest.raises(ValidationError):
        Match.model_validate(patterns)


def test_a_judge_sees_only_what_it_matches(make: Callable[..., Collector]):
    """By service, release, environment, model, an attribute of the root and one of the resource; the rest is accounted for."""
    fits = {"release": "2.*", "environment": "prod*", "model": "gpt-*", "app.plan": "paid", "cloud.region": ["eu-*"]}
    collector = make(judges=[judge(service="shop*", **fits), "toxicity"])
    origin = {"service__version": "2.1", "deployment__environment__name": "production", "cloud__region": "eu-1"}
    for number, (service, plan, resource) in enumerate(
        [
            ("shop-eu", "paid", origin),
            ("bank", "paid", origin),
            ("shop-eu", "free", origin),
            ("shop-eu", "paid", origin | {"cloud__region": "us-1"}),
            ("shop-eu", "paid", origin | {"service__version": "1.9"}),
            ("shop-eu", "paid", {}),
        ],
        1,
    ):
        root = span(number, 1, app__plan=plan)
        collector.send([root, chat_span(number, 2, 1, question="Q?", answer="A.")], service, **resource)
    collector.run()
    assert [task.trace_id[-1] for task in collector.tasks() if task.judge == "relevance"] == ["1"]
    assert outcomes(collector) == {"queued": 1, "not_matched": 5}
    assert outcomes(collector, "toxicity") == {"queued": 6}


def test_what_does_not_match_is_no_part_of_the_sample(make: Callable[..., Collector]):
    """At rate 0 a failed trace that matches is judged, one that does not is not, and neither counts as sampled out."""
    collector = make(judges=[judge(service="shop")], sampling={"rate": 0})
    for service, number in (("shop", 1), ("bank", 3)):
        collector.send([*rag(number, root_error="boom"), *rag(number + 1)], service)
    collector.run()
    assert outcomes(collector) == {"queued": 1, "sampled_out": 1, "not_matched": 2}


@pytest.mark.parametrize(("rate", "outcome"), [(1, "queued"), (0, "sampled_out")])
def test_a_late_span_may_make_a_trace_match(make: Callable[..., Collector], rate: float, outcome: str):
    """Its model came late: it is sampled then, with the probability of any other, and counted once."""
    collector = make(judges=[judge(model="gpt-4o*")], sampling={"rate": rate})
    root, retriever, chat = rag(1)
    collector.send([root, retriever])
    collector.run()
    assert outcomes(collector) == {"not_matched": 1}
    for _ in range(2):
        collector.send([chat])
        collector.run(62)
    assert outcomes(collector) == {outcome: 1}
    assert [task.inclusion_probability for task in collector.tasks()] == [1.0] * rate


def test_a_late_span_may_make_a_trace_match_no_more(make: Callable[..., Collector]):
    """What waits is taken back, and a span after that may bring it there again."""
    collector = make(judges=[judge(model="gpt-4o*")], sampling={"rate": 1})
    collector.send([*rag(1)])
    collector.run()
    other = {"gen_ai__request__model": "other", "start": rag(1)[0].start_time_unix_nano + 10**6}
    collector.send([chat_span(1, 4, 1, question="Q?", answer="B.", **other)])
    collector.run(62)
    assert outcomes(collector) == {"not_matched": 1}
    assert collector.tasks() == []
    collector.send([chat_span(1, 5, 1, question="Q?", answer="C.", start=other["start"] + 10**6)])
    collector.run(62)
    assert outcomes(collector) == {"queued": 1}
    assert [(task.sample.outputs, task.inclusion_probability) for task in collector.tasks()] == [("A.", 1.0)]


def test_the_resource_is_known_when_more_of_a_trace_comes(make: Callable[..., Collector]):
    """After a late span from another process, and at the end of a trace whose root never came, that of the first holds."""
    fits = {"cloud.region": "eu-*", "environment": "production", "app.shards": 3, "app.beta": True}
    collector = make(judges=[judge(**fits)], assembly={"max_open": 5})
    origin = {
        "cloud__region": "eu-1",
        "deployment__environment__name": "production",
        "app__shards": 3,
        "app__beta": True,
    }
    root, retriever, chat = rag(1)
    collector.send([root, chat], **origin)
    collector.send(rag(2)[1:], **origin)
    collector.run(20)
    collector.send([retriever], "search", cloud__region="us-1")
    collector.run(180)
    assert outcomes(collector) == {"queued": 2}
    assert {task.trace_id[-1]: task.sample.passages for task in collector.tasks()} == {"1": ("P.",), "2": ("P.",)}


def test_what_was_sampled_out_or_came_before_the_judge_keeps_its_outcome(make: Callable[..., Collector]):
    """A late span that no longer matches changes no total: neither of that judge, nor of one that is new since."""
    collector = make(judges=[judge(model="gpt-4o*")], sampling={"rate": 0})
    collector.send([*rag(1)])
    collector.run()
    collector.raw["judges"] = [judge(model="gpt-4o*"), {"name": "toxicity", "match": {"model": "gpt-4o*"}}]
    collector.restart()
    start = rag(1)[0].start_time_unix_nano + 10**6
    late = {"gen_ai__request__model": "other", "start": start}
    collector.send([chat_span(1, 4, 1, question="Q?", answer="B.", **late)])
    collector.run(62)
    assert collector.totals() == {("", "stored"): 1, ("relevance", "sampled_out"): 1}


@pytest.mark.parametrize("changed", [False, True])
def test_dislike_of_what_does_not_match_picks_nothing(make: Callable[..., Collector], changed: bool):
    """A judge is not asked about traces that it is not for; nor if its match was changed after they came."""
    collector = make(judges=[judge(service="shop")], sampling={"rate": 0})
    for number, service in ((1, "shop"), (2, "bank")):
        collector.send(rag(number), service)
    collector.run()
    if changed:
        collector.raw["judges"] = [judge(service="bank")]
        collector.restart()
    for number in (1, 2):
        feedback = PersonFeedback(trace_id=trace_id(number).hex(), name="thumb", value=False)
        payload = feedback.model_dump_json().encode()
        collector.journal.append([JournalEntry(signal="feedback", payload=payload, received_at=collector.now)])
    collector.run()
    assert outcomes(collector) == ({"sampled_out": 1, "not_matched": 1} if changed else {"queued": 1, "not_matched": 1})


def test_the_first_stratum_that_matches_has_the_rate(make: Callable[..., Collector]):
    """The sampling's rates, or the judge's own in their place; a judge with a rate of its own has no other."""
    rates = [{"match": {"service": "shop"}, "rate": 1}, {"match": {"service": "*"}, "rate": 0}]
    own = [{"match": {"service": "bank"}, "rate": 1}]
    judges = ["relevance", {"name": "toxicity", "rates": own}, {"name": "safety", "rate": 0}]
    collector = make(judges=judges, sampling={"rate": 0, "rates": rates})
    for number, service in ((1, "shop"), (2, "bank")):
        collector.send(rag(number), service)
    collector.run()
    assert [(task.judge, task.service) for task in collector.tasks()] == [("relevance", "shop"), ("toxicity", "bank")]
    assert outcomes(collector, "safety") == {"sampled_out": 2}
