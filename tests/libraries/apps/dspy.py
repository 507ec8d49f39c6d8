# /// script
# dependencies = ["dspy>=3.4,<4", "{project}[litellm]"]
# ///
"""DSPy: programs of one and of several calls."""

import asyncio
import contextlib
import os

os.environ["LITELLM_LOCAL_MODEL_COST_MAP"] = "True"  # else the import asks GitHub for prices

import dspy

import qualitrace

QUESTION = "How long is the warranty of a tent?"
WEATHER = "What is the weather in Oslo?"
PASSAGES = [
    "Tents have a warranty of 24 months.",
    "Sleeping bags are washed at 30 degrees.",
    "The shop in Oslo opens at 9.",
]


def model(name="gpt-4o-mini", **more):
    return dspy.LM(
        f"openai/{name}", api_base=os.environ["LLM"] + "/v1", api_key="k", cache=False, num_retries=0, **more
    )


def get_weather(city: str) -> str:
    """Tell the weather of a city."""
    return "18 degrees, sunny"


class Rag(dspy.Module):
    def __init__(self):
        self.answer = dspy.ChainOfThought("context, question -> answer")

    def forward(self, question):
        return self.answer(context=search(question), question=question)


@qualitrace.trace(kind="retriever")
def search(query):
    return PASSAGES[:2]


def chat():
    with qualitrace.session("session-1", user="ada"), dspy.context(lm=model()):
        dspy.Predict("question -> answer")(question=QUESTION)


def chain_of_thought():
    with dspy.context(lm=model()):
        dspy.ChainOfThought("question -> answer")(question=QUESTION)


def litellm():
    with dspy.context(lm=model(engine="litellm")):
        dspy.Predict("question -> answer")(question=QUESTION)


def asynchronous():
    async def ask():
        with dspy.context(lm=model()):
            await dspy.Predict("question -> answer").acall(question=QUESTION)

    asyncio.run(ask())


def stream():
    async def ask():
        listener = dspy.streaming.StreamListener(signature_field_name="answer")
        program = dspy.streamify(dspy.Predict("question -> answer"), stream_listeners=[listener])
        with dspy.context(lm=model()):
            async for _ in program(question=QUESTION):
                pass

    asyncio.run(ask())


def tools():
    with dspy.context(lm=model()):
        dspy.ReAct("question -> answer", tools=[get_weather])(question=WEATHER)


def rag():
    with dspy.context(lm=model()):
        Rag()(question=QUESTION)


def error():
    with contextlib.suppress(Exception), dspy.context(lm=model("broken")):
        dspy.Predict("question -> answer")(question=QUESTION)
