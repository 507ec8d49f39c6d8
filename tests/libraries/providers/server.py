"""One server for all protocols: the path tells which one is spoken."""

import json
import re
from collections.abc import Callable, Generator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler
from typing import Any

from libraries.providers import anthropic, bedrock, cohere, gemini, ollama, openai, openai_like, pinecone, qdrant
from libraries.providers.answer import Answer
from libraries.providers.script import BROKEN_MODEL
from support.listening import listening

Respond = Callable[[dict[str, Any]], Answer]

PROTOCOLS: tuple[tuple[str, Respond], ...] = (
    (r"/mistral/v1/chat/completions", openai_like.mistral),
    (r"/openai/v1/chat/completions", openai_like.groq),
    (r"/chat/completions", openai.chat),
    (r"/responses", openai.responses),
    (r"/embeddings", openai.embeddings),
    (r"/messages", anthropic.messages),
    (r":generateContent", gemini.generate),
    (r":streamGenerateContent\?alt=sse", gemini.stream),
    (r":streamGenerateContent", gemini.stream_array),
    (r"/v2/chat", cohere.chat),
    (r"/api/chat", ollama.chat),
    (r"/converse", bedrock.converse),
    (r"/converse-stream", bedrock.converse_stream),
    (r"/invoke", bedrock.invoke),
    (r"/invoke-with-response-stream", bedrock.invoke_stream),
    (r"/collections/\w+/points/query", qdrant.query),
    (r"/query", pinecone.query),
    (r"/records/namespaces/\w+/search", pinecone.search_records),
    (r"/namespaces/\w+/documents/search", pinecone.search_documents),
)
"""By a regular expression that the path, or the path with its query, ends with; the first one counts."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers.get("content-length") or 0))
        answer = _answer(self.path, json.loads(body or b"{}"))
        self.send_response(answer.status)
        self.send_header("content-type", answer.content_type)
        self.send_header("content-length", str(len(answer.body)))
        self.end_headers()
        self.wfile.write(answer.body)

    def log_message(self, format: str, *args: Any) -> None:
        return


def _answer(path: str, asked: dict[str, Any]) -> Answer:
    if BROKEN_MODEL in path or asked.get("model") == BROKEN_MODEL:
        message = "the model is broken"  # where OpenAI and others have it, and where Bedrock and Cohere do
        return Answer.json({"error": {"message": message, "type": "server_error"}, "message": message}, 500)
    for pattern, respond in PROTOCOLS:
        if re.search(rf"{pattern}(\?|$)", path):
            return respond(asked)
    return Answer.json({"error": {"message": f"no such path: {path}"}}, 404)


@contextmanager
def provider() -> Generator[str]:
    """Serve on loopback in the block; return the base URL, without a path."""
    with listening(_Handler) as address:
        yield address
