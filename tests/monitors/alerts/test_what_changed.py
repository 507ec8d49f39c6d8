"""A firing alert names what of the traffic changed, and shows distinct answers without personal data."""

import json
import re
from collections.abc import Callable
from typing import Any

from qualitrace_collector.sample import Sample
from qualitrace_collector.state import Database
from qualitrace_monitors.alerts.engine import AlertEngine
from qualitrace_monitors.alerts.settings import AlertRule
from qualitrace_monitors.answers import texts
from qualitrace_monitors.estimate.estimator import Estimator
from qualitrace_monitors.estimate.scores import prune
from qualitrace_monitors.notify.payload import Links

NOW = 1_000_000.0
AddScore = Callable[..., str]
RULE = {"name": "low", "judge": "groundedness", "when": "pass_rate < 0.9", "notify": ["ops"]}


def description(database: Database, at: float, **options: object) -> str:
    """Evaluate a rule until it fires, and return the description of its notification."""
    engine = AlertEngine(
        [AlertRule.model_validate({**RULE, **options})], database, Estimator(database), Links("http://127.0.0.1:9464")
    )
    engine.evaluate(at)
    [row] = database.connection().execute("SELECT body FROM outbox").fetchall()
    payload: dict[str, Any] = json.loads(row["body"])
    return payload["commonAnnotations"]["description"]


def serve(database: Database, add_score: AddScore, at: float, fails: dict[str, int], of: int, **changes: str) -> None:
    """Write answers of several releases in turn, of each so many; the fails of each are spread evenly."""
    for number in range(of):
        for release, count in fails.items():
            label = "fail" if (number + 1) * count // of > number * count // of else "pass"
            add_score(database, label, at + number, release=release, **changes)


def test_the_release_whose_share_explains_the_fall_is_named(database: Database, add_score: AddScore) -> None:
    """With the numbers of each release, now and before; the model, which is the same in both, is not."""
    serve(database, add_score, NOW - 9000, {"1.4": 60}, 1200, model="large")
    serve(database, add_score, NOW, {"1.4": 3, "1.5": 52}, 60, model="large")
    lines = description(database, NOW + 100).splitlines()
    named = [line for line in lines if "explains" in line]
    assert len(named) == 1
    assert named[0].startswith("Release 1.5 explains ")
    shown = lines[lines.index(named[0]) + 1 :]
    assert shown[0].startswith("- 1.5: pass rate 0.1")
    assert shown[0].endswith(" answers, none before")
    assert shown[1].startswith("- 1.4: pass rate 0.9")
    assert ", before 0.95 in 1," in shown[1]


def test_the_numbers_of_the_parts_add_up_to_those_of_the_line_above(database: Database, add_score: AddScore) -> None:
    """That line says what the rate is on which the alert fired, which is another."""
    serve(database, add_score, NOW - 9000, {"1.4": 60}, 1200)
    serve(database, add_score, NOW, {"1.4": 3, "1.5": 52}, 60)
    lines = description(database, NOW + 100).splitlines()
    [whole] = [line for line in lines if line.startswith("All scores since then: ")]
    count = re.compile(r" in ([\d,]+)")
    now, before = (int(found.replace(",", "")) for found in count.findall(whole)[:2])
    parts = [count.findall(line) for line in lines if line.startswith("- 1.")]
    assert now == sum(int(found[0].replace(",", "")) for found in parts)
    assert before == int(parts[1][1].replace(",", ""))
    assert "The rate above is the estimate on which the alert fired" in whole


def test_a_release_that_replaced_another_is_named(database: Database, add_score: AddScore) -> None:
    """There is none beside it to compare it with: those before it are."""
    serve(database, add_score, NOW - 9000, {"1.4": 60}, 1200)
    serve(database, add_score, NOW, {"1.5": 44}, 60)
    said = description(database, NOW + 100)
    assert re.search(
        r"\nRelease 1.5 explains (9\d|100)% of it:\n- 1.5: pass rate 0.2\d in 60 answers, none before", said
    )


def test_a_fall_of_all_alike_is_explained_by_nothing(database: Database, add_score: AddScore) -> None:
    """Chance makes one of several parts the worst; that is not a reason to name it."""
    serve(database, add_score, NOW - 9000, {"1.3": 20, "1.4": 20, "1.5": 20}, 400)
    serve(database, add_score, NOW, {"1.3": 24, "1.4": 24, "1.5": 24}, 40)
    said = description(database, NOW + 100)
    assert "No model, prompt version, release, environment, route or retriever explains it." in said
    assert "explains 1" not in said


def test_a_part_that_gets_better_does_not_explain_a_rise(database: Database, add_score: AddScore) -> None:
    """`unsure_rate > …` looks for the part in which the quantity rose."""
    serve(database, add_score, NOW - 9000, {"1.4": 60}, 1200)
    for number in range(90):
        add_score(database, "unsure" if number % 3 else "pass", NOW + number, route="/ask" if number % 3 else "/chat")
    said = description(database, NOW + 100, when="unsure_rate > 0.3")
    assert "\nRoute /ask explains 100% of it:\n- /ask: unsure rate 1.00 in " in said


def test_answers_are_distinct_and_personal_data_is_masked(database: Database, add_score: AddScore) -> None:
    """Twelve times the same answer is shown once; addresses and keys are not shown, nor are the texts of old traces."""
    asked = [
        ("Who helps?", "Write to ada@example.com"),
        ("When?", "At 9.\n\nOr   ten."),
        ("Where?", "In \u0130stanbul"),
    ]
    rationale = "no source for ada@example.com"
    traces = [add_score(database, "fail", NOW + number, rationale=rationale) for number in range(36)]
    with database.transaction() as connection:
        for number, trace_id in enumerate(traces):
            question, answer = asked[number // 12]
            texts.keep(connection, trace_id, Sample(inputs=question, outputs=answer), NOW)
    said = description(database, NOW + 100)
    assert said.count("question: ") == 3
    for shown in (
        "question: Who helps?\n  answer: Write to [email]\n  why: no source for [email]",
        "question: When?\n  answer: At 9. Or ten.",
        "question: Where?\n  answer: In \u0130stanbul",
    ):
        assert shown in said
    prune(database, NOW + 3700)
    assert database.connection().execute("SELECT count(*) AS n FROM answer").fetchone()["n"] == 0


def test_names_and_texts_of_the_traffic_are_quoted_and_not_obeyed(database: Database, add_score: AddScore) -> None:
    """No line of theirs is one of the notification, nobody is called, no terminal is told, no person is named."""
    forged = "1.5\nRelease 9 explains 100% of it:\n\x1b[2J\u202e jane.doe@example.com <!channel> @everyone"
    service = "shop @here [all is well](https://evil.example)"
    serve(database, add_score, NOW - 9000, {"1.4": 60}, 1200, service=service)
    serve(database, add_score, NOW, {"1.4": 3, forged: 52}, 60, service=service, rationale="<https://evil.example|ok>")
    said = description(database, NOW + 100)
    assert said.count("explains") == 3  # once as it is, and twice quoted
    assert "\nRelease 9" not in said
    assert "Release 1.5 Release 9 explains 100% of it: [2J [email] <\u200b!channel> @\u200beveryone explains" in said
    assert "groundedness of shop @\u200bhere [all is well]\u200b(https://evil.example) fell" in said
    assert "why: <\u200bhttps://evil.example|ok>" in said
    assert all(letter.isprintable() or letter in "\n\u200b" for letter in said)
