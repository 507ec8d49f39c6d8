# /// script
# dependencies = ["guardrails-ai>=0.11,<0.12", "{project}[litellm]"]
# ///
"""Guardrails: a guard around LiteLLM, whose validator wants a full sentence."""

import asyncio
import contextlib
import os

os.environ["LITELLM_LOCAL_MODEL_COST_MAP"] = "True"  # else the import asks GitHub for prices

import guardrails
from guardrails.validators import FailResult, PassResult, Validator, register_validator

import qualitrace

QUESTION = "How long is the warranty of a tent?"
OPTIONS = {"model": "openai/gpt-5-mini", "api_base": os.environ["LLM"] + "/v1", "api_key": "k", "num_retries": 0}
ASKED = [{"role": "system", "content": "You work in a shop."}, {"role": "user", "content": QUESTION}]


@register_validator(name="full-sentence", data_type="string")
class FullSentence(Validator):
    def validate(self, value, metadata):
        return PassResult() if value.endswith(".") else FailResult(error_message="no full stop")


@register_validator(name="no-numbers", data_type="string")
class NoNumbers(Validator):
    def validate(self, value, metadata):
        return FailResult(error_message="a number") if any(map(str.isdigit, value)) else PassResult()


def chat():
    with qualitrace.session("session-1", user="ada"):
        guardrails.Guard().use(FullSentence(on_fail="exception"))(messages=ASKED, **OPTIONS)


def parameters():
    messages = [{"role": "user", "content": "How long is the warranty of a ${thing}?"}]
    guardrails.Guard().use(FullSentence())(messages=messages, prompt_params={"thing": "tent"}, **OPTIONS)


def stream():
    given = {"stream": True, "stream_options": {"include_usage": True}}
    for _ in guardrails.Guard().use(FullSentence())(messages=ASKED, **given, **OPTIONS):
        pass


def asynchronous():
    asyncio.run(guardrails.AsyncGuard().use(FullSentence())(messages=ASKED, **OPTIONS))


def refused():
    with contextlib.suppress(Exception):
        guardrails.Guard().use(NoNumbers(on_fail="exception"))(messages=ASKED, **OPTIONS)


def error():
    with contextlib.suppress(Exception):
        guardrails.Guard().use(FullSentence())(messages=ASKED, **OPTIONS | {"model": "openai/broken"})
