"""A client's trace may hold several requests, each with a local root: one is judged, by its own texts."""

from opentelemetry.proto.trace.v1.trace_pb2 import Span

from qualitrace_collector.convert import build_sample, convert
from qualitrace_collector.convert.build_sample import question_and_answer
from qualitrace_collector.sample import Sample
from support.otlp import SECOND, chat_span, retriever_span, span
from support.pieces import piece_of

CLIENT = 99


def request(number: int, at: float, *below: Span, seconds: float = 3) -> list[Span]:
    """Make the root of a request and place the spans below it."""
    root = span(1, number, CLIENT, name="POST /ask", http__route="/ask")
    for item in (root, *below):
        item.start_time_unix_nano += int(at * SECOND)
        item.end_time_unix_nano = item.start_time_unix_nano + SECOND
    root.end_time_unix_nano = root.start_time_unix_nano + int(seconds * SECOND)
    return [root, *below]


def asked(number: int, name: str, at: float, **options: float) -> list[Span]:
    """Make a request with a retrieval and an answer."""
    passages = retriever_span(1, number + 1, number, query=f"{name}?", passages=[f"Passage of {name}."])
    answer = chat_span(1, number + 2, number, question=f"Question {name}?", answer=f"Answer {name}.")
    return request(number, at, passages, answer, **options)


def sample_of(*spans: Span) -> Sample:
    return build_sample(convert(piece_of(*spans), "shop").spans, "shop")


def seen(sample: Sample) -> tuple[str, str, tuple[str, ...]]:
    return sample.inputs, sample.outputs, sample.passages


ONE = ("Question one?", "Answer one.", ("Passage of one.",))


def test_an_answer_is_judged_by_the_passages_of_its_own_request() -> None:
    """Those of a later request, and of one at the same time, could support what the answer had no source for."""
    assert seen(sample_of(*asked(1, "one", 0), *asked(11, "two", 5))) == ONE
    assert seen(sample_of(*asked(1, "one", 0, seconds=9), *asked(11, "two", 1))) == ONE


def test_a_request_without_an_answer_is_not_judged_in_place_of_one_that_has() -> None:
    """The first may only make a session, embed a text or fail."""
    embedding = span(1, 2, 1, gen_ai__operation__name="embeddings", gen_ai__request__model="e")
    root, *below = asked(11, "one", 5)
    for key, value in (("input.value", "Question one?"), ("output.value", "Answer one.")):
        root.attributes.add(key=key).value.string_value = value
    spans = convert(piece_of(*request(1, 0, embedding), root, below[0]), "shop").spans
    assert question_and_answer(spans) == ONE[:2]
    assert seen(build_sample(spans, "shop")) == ONE


def test_a_request_that_only_fetched_passages_before_belongs_to_the_answer() -> None:
    """A client may ask for documents first; what it fetches after the answer was not a source of it."""
    before = request(1, 0, retriever_span(1, 2, 1, query="one?", passages=["Fetched before."]))
    answer = request(11, 5, chat_span(1, 12, 11, question="Question one?", answer="Answer one."))
    after = request(21, 9, retriever_span(1, 22, 21, query="two?", passages=["Fetched after."]))
    assert seen(sample_of(*before, *answer, *after)) == (*ONE[:2], ("Fetched before.",))


def test_a_span_whose_request_is_unknown_counts() -> None:
    """Its parent was lost; it may be of any request, so that its passages are not missed."""
    lost = retriever_span(1, 40, 77, query="one?", passages=["Lost."])
    assert sample_of(*asked(1, "one", 0), *asked(11, "two", 5), lost).passages == ("Passage of one.", "Lost.")


def test_what_the_request_without_a_parent_caused_belongs_to_it() -> None:
    """A proxy between two services may keep its spans, so that the second service's request is a local root, too."""
    gateway = span(1, 1, name="POST /chat", http__route="/chat")
    gateway.end_time_unix_nano = gateway.start_time_unix_nano + 9 * SECOND
    first, second = asked(11, "rewrite", 1), asked(21, "one", 5)
    sample = sample_of(gateway, *first, *second)
    assert (sample.outputs, sample.passages) == ("Answer one.", ("Passage of rewrite.", "Passage of one."))


def test_spans_whose_root_was_lost_are_one_request() -> None:
    """They are local roots, too, but no request of their own."""
    sample = sample_of(*asked(1, "one", 0)[1:])
    assert (sample.outputs, sample.passages) == ONE[1:]
