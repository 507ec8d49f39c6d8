"""What is kept of a request: large ones become several entries of the journal, which hold the same."""

from itertools import chain
from typing import Any

import pytest

from qualitrace_collector.receive.checked_request import ENTRY_BYTES, check_request
from qualitrace_collector.receive.decode import PROTOBUF
from qualitrace_collector.receive.settings import ItemLimits
from qualitrace_collector.receive.signals import LOGS, TRACES, Signal

TEXT = "v" * (1 << 20)


def traces(services: int, scopes: int, spans: int) -> Any:
    request: Any = TRACES.request()
    for service in range(services):
        group = request.resource_spans.add()
        group.resource.attributes.add(key="service.name").value.string_value = f"shop {service}"
        for scope in range(scopes):
            place = group.scope_spans.add()
            place.scope.name = f"library {scope}"
            for span in range(spans):
                ids = bytes([service + 1, scope + 1, span + 1])
                made = place.spans.add(trace_id=ids.ljust(16, b"t"), span_id=ids.ljust(8, b"s"))
                made.attributes.add(key="input.value").value.string_value = TEXT
    return request


def logs(services: int, scopes: int, records: int) -> Any:
    request: Any = LOGS.request()
    for service in range(services):
        group = request.resource_logs.add()
        group.resource.attributes.add(key="service.name").value.string_value = f"shop {service}"
        for scope in range(scopes):
            place = group.scope_logs.add()
            place.scope.name = f"pydantic-ai {scope}"
            for record in range(records):
                ids = bytes([service + 1, scope + 1, record + 1])
                made = place.log_records.add(trace_id=ids.ljust(16, b"t"), span_id=ids.ljust(8, b"s"))
                made.body.string_value = TEXT
    return request


def contents(signal: Signal, message: Any) -> list[tuple[str, str, bytes]]:
    return [
        (place.resource.attributes[0].value.string_value, place.scope.name, item.SerializeToString())
        for place in signal.places(message)
        for item in place.items
    ]


@pytest.mark.parametrize(("signal", "make"), [(TRACES, traces), (LOGS, logs)])
@pytest.mark.parametrize("shape", [(1, 1, 20), (4, 3, 2), (20, 1, 1)])
def test_a_large_request_becomes_entries_that_hold_the_same(
    signal: Signal, make: Any, shape: tuple[int, int, int]
) -> None:
    """Each item is in one of them, in order, under its own resource and scope; none is larger than it may be."""
    sent = make(*shape)
    checked = check_request(signal, PROTOBUF, sent.SerializeToString(), ItemLimits(), has_tenant=True)
    assert len(checked.parts) > 1
    parts = [(part, signal.request.FromString(part.payload or b"")) for part in checked.parts]
    assert [*chain.from_iterable(contents(signal, message) for _, message in parts)] == contents(signal, sent)
    for part, message in parts:
        items = [item for place in signal.places(message) for item in place.items]
        assert (part.kept, part.trace_ids) == (len(items), {item.trace_id for item in items})
        assert message.ByteSize() <= ENTRY_BYTES + len(TEXT)


def test_an_ordinary_request_is_kept_as_it_came() -> None:
    """Byte for byte, with fields that a later version of OTLP may have."""
    data = traces(1, 1, 1).SerializeToString() + b"\xf2\x3f\x03new"
    (part,) = check_request(TRACES, PROTOBUF, data, ItemLimits(), has_tenant=False).parts
    assert (part.payload, part.kept, part.trace_ids) == (None, 1, frozenset())
