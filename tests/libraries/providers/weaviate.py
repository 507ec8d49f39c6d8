"""Weaviate's protocol: REST for the schema, gRPC for searches. It needs Weaviate's client, so applications start it."""

import json
from collections.abc import Generator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler
from typing import Any
from urllib.parse import urlsplit
from uuid import UUID

import grpc  # pyright: ignore
from weaviate.proto.v1 import (  # pyright: ignore
    generative_pb2,
    properties_pb2,
    search_get_pb2,
    weaviate_pb2_grpc,
)

from libraries.providers.script import PASSAGES, WARRANTY_ANSWER
from support.listening import listening

COLLECTION = "Faq"
_META = {"version": "1.37.0", "grpcMaxMessageSize": 10_000_000}
_INDEXED = {"indexFilterable": True, "indexSearchable": True, "indexRangeFilters": False, "tokenization": "word"}
_CLASS = {
    "class": COLLECTION,
    "vectorizer": "none",
    "vectorIndexType": "hnsw",
    "vectorIndexConfig": {
        "distance": "cosine",
        "cleanupIntervalSeconds": 300,
        "dynamicEfFactor": 8,
        "dynamicEfMax": 500,
        "dynamicEfMin": 100,
        "ef": -1,
        "efConstruction": 128,
        "flatSearchCutoff": 40000,
        "maxConnections": 32,
        "skip": False,
        "vectorCacheMaxObjects": 1_000_000,
    },
    "invertedIndexConfig": {
        "bm25": {"b": 0.75, "k1": 1.2},
        "cleanupIntervalSeconds": 60,
        "stopwords": {"additions": None, "preset": "en", "removals": None},
    },
    "multiTenancyConfig": {"enabled": False},
    "replicationConfig": {"factor": 1},
    "shardingConfig": {
        "virtualPerPhysical": 128,
        "desiredCount": 1,
        "actualCount": 1,
        "desiredVirtualCount": 128,
        "actualVirtualCount": 128,
        "key": "_id",
        "strategy": "hash",
        "function": "murmur3",
    },
    "properties": [{"name": name, "dataType": ["text"], **_INDEXED} for name in ("text", "source")],
}
_REST = {"/v1/meta": _META, f"/v1/schema/{COLLECTION}": _CLASS}


class _Rest(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        found = _REST.get(urlsplit(self.path).path)
        body = json.dumps(found or {"error": [{"message": "not found"}]}).encode()
        self.send_response(200 if found else 404)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: Any) -> None:
        return


class _Searches(weaviate_pb2_grpc.WeaviateServicer):  # pyright: ignore
    """Finds the same passages whatever is asked, with the kind of number that the search ranks by."""

    def Search(self, request: Any, context: Any) -> Any:
        if request.collection != COLLECTION:
            context.abort(grpc.StatusCode.UNKNOWN, f"could not find class {request.collection} in schema")
        by_score = request.HasField("hybrid_search") or request.HasField("bm25_search")
        found = [_result(n, by_score) for n in range(min(request.limit or len(PASSAGES), len(PASSAGES)))]
        reply = search_get_pb2.SearchReply(took=0.01, results=found)
        if request.HasField("generative"):
            value = generative_pb2.GenerativeReply(result=WARRANTY_ANSWER)
            reply.generative_grouped_results.CopyFrom(generative_pb2.GenerativeResult(values=[value]))
        return reply


def _result(n: int, by_score: bool) -> Any:
    text, source = (properties_pb2.Value(text_value=value) for value in (PASSAGES[n], f"faq-{n}.md"))
    name = (
        {"score": 0.9 - n / 10, "score_present": True} if by_score else {"distance": n / 10, "distance_present": True}
    )
    return search_get_pb2.SearchResult(
        properties=search_get_pb2.PropertiesResult(
            target_collection=COLLECTION,
            non_ref_props=properties_pb2.Properties(fields={"text": text, "source": source}),
        ),
        metadata=search_get_pb2.MetadataResult(id_as_bytes=UUID(int=n + 1).bytes, **name),
    )


@contextmanager
def weaviate() -> Generator[dict[str, Any]]:
    """Serve on loopback in the block; return the arguments of `weaviate.connect_to_custom`."""
    server = grpc.server(ThreadPoolExecutor(2))
    weaviate_pb2_grpc.add_WeaviateServicer_to_server(_Searches(), server)
    grpc_port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    with listening(_Rest) as address:
        http_port = urlsplit(address).port
        hosts = {"http_host": "127.0.0.1", "http_port": http_port, "http_secure": False}
        # Without the checks the client does not ask PyPI whether it is the newest.
        yield hosts | {"grpc_host": "127.0.0.1", "grpc_port": grpc_port, "grpc_secure": False, "skip_init_checks": True}
    server.stop(None).wait()
