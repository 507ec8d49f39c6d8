# /// script
# dependencies = ["google-cloud-aiplatform>=2,<3"]
# ///
"""Gemini by Vertex AI's own client, over REST."""

import contextlib
import os

import vertexai
from google.api_core.exceptions import GoogleAPICallError
from google.auth.credentials import AnonymousCredentials
from vertexai.generative_models import Content, FunctionDeclaration, GenerativeModel, Part, Tool

import qualitrace

vertexai.init(
    project="shop",
    location="europe-west1",
    api_endpoint=os.environ["LLM"],
    api_transport="rest",
    credentials=AnonymousCredentials(),
)
PARAMETERS = {"type": "object", "properties": {"city": {"type": "string"}}}
DECLARATION = FunctionDeclaration(name="get_weather", description="The weather in a city.", parameters=PARAMETERS)
WARRANTY = "How long is the warranty of a tent?"


@qualitrace.trace(kind="tool")
def get_weather(city):
    return "18 degrees, sunny"


def chat():
    with qualitrace.session("session-1", user="ada"):
        GenerativeModel("gemini-3-flash", system_instruction="You sell tents.").generate_content(WARRANTY)


def stream():
    for _ in GenerativeModel("gemini-3-flash").generate_content(WARRANTY, stream=True):
        pass


def tools():
    @qualitrace.trace(kind="agent")
    def agent(question):
        model = GenerativeModel("gemini-3-flash", tools=[Tool([DECLARATION])])
        contents = [Content(role="user", parts=[Part.from_text(question)])]
        first = model.generate_content(contents).candidates[0]
        call = first.function_calls[0]
        result = Part.from_function_response(name=call.name, response={"result": get_weather(**call.args)})
        contents += [first.content, Content(role="user", parts=[result])]
        return model.generate_content(contents).text

    agent("What is the weather in Oslo?")


def error():
    with contextlib.suppress(GoogleAPICallError):
        GenerativeModel("broken").generate_content(WARRANTY)
