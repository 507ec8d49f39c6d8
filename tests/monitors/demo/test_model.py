"""The demo's model: answers from its prompt, inventions without, over the official client."""

import re
from collections.abc import Iterator

import openai
import pytest
from hypothesis import given
from hypothesis import strategies as st
from openai.types.chat import ChatCompletionMessageParam

from qualitrace_monitors.demo.answers import answer
from qualitrace_monitors.demo.llm import model_app
from qualitrace_monitors.demo.serving import served

PASSAGES = "Use these passages:\n\nParrots eat 40 grams of seeds a day. They sleep at dusk.\n\nCats sleep at noon."


@pytest.fixture(scope="module")
def client() -> Iterator[openai.OpenAI]:
    """A client of the model, whose clock stands at 1,000 s."""
    with (
        served(model_app(clock=lambda: 1000.0)) as url,
        openai.OpenAI(base_url=f"{url}/v1", api_key="not-needed", max_retries=0) as client,
    ):
        yield client


def _messages(question: str) -> list[ChatCompletionMessageParam]:
    return [{"role": "system", "content": PASSAGES}, {"role": "user", "content": question}]


def test_answers_with_the_sentence_that_holds_the_answer(client: openai.OpenAI) -> None:
    """A question that a passage answers gets exactly the sentence that does, with date, tokens and finish reason."""
    completion = client.chat.completions.create(
        model="small", messages=_messages("How many grams of seeds do parrots eat?")
    )
    assert completion.choices[0].message.content == "Parrots eat 40 grams of seeds a day."
    assert completion.choices[0].finish_reason == "stop"
    assert (completion.model, completion.created) == ("small", 1000)
    assert completion.usage is not None
    assert completion.usage.completion_tokens == 9  # 36 characters
    assert completion.usage.total_tokens == completion.usage.prompt_tokens + 9


def test_makes_an_answer_up_when_no_passage_holds_it(client: openai.OpenAI) -> None:
    """A question that no passage answers gets a confident sentence with numbers that are not in the prompt."""
    completion = client.chat.completions.create(
        model="small", messages=_messages("Which warranty covers hiking backpacks?")
    )
    invented = completion.choices[0].message.content or ""
    assert "hiking backpacks" in invented
    numbers = re.findall(r"\d+", invented)
    assert numbers
    assert "40" not in numbers


def test_streams_the_same_answer_with_usage_at_the_end(client: openai.OpenAI) -> None:
    """A streamed reply adds up to the whole answer, and tells its tokens in the last chunk when asked to."""
    question = _messages("When do cats sleep?")
    chunks = list(
        client.chat.completions.create(
            model="small", messages=question, stream=True, stream_options={"include_usage": True}
        )
    )
    text = "".join(choice.delta.content or "" for chunk in chunks for choice in chunk.choices)
    assert text == "Cats sleep at noon."
    assert len(chunks) > 4
    assert chunks[-2].choices[0].finish_reason == "stop"
    assert chunks[-1].usage is not None
    assert chunks[-1].usage.completion_tokens == 5


def test_refuses_a_request_without_messages(client: openai.OpenAI) -> None:
    """The client gets its own error class with a message that names the field."""
    with pytest.raises(openai.BadRequestError, match="messages: at least one is required"):
        client.chat.completions.create(model="small", messages=[])


@given(st.text(), st.text())
def test_always_says_something_and_always_the_same(question: str, prompt: str) -> None:
    """Whatever the texts, the answer is not empty, and the same question on the same prompt gets it again."""
    said = answer(question, prompt)
    assert said
    assert answer(question, prompt) == said
