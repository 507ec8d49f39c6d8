"""Qdrant's query of points, in a collection whose texts the server embeds."""

from typing import Any

from libraries.providers.answer import Answer
from libraries.providers.script import PASSAGES


def query(asked: dict[str, Any]) -> Answer:
    """Answer `POST /collections/NAME/points/query`: the best passages, whatever is asked."""
    points = [
        {"id": n, "version": 1, "score": 0.9 - n / 10, "payload": {"text": text, "source": f"faq-{n}.md"}}
        for n, text in enumerate(PASSAGES[: asked["limit"]])
    ]
    return Answer.json({"result": {"points": points}, "status": "ok", "time": 0.001})
