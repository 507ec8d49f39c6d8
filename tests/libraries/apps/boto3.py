# /// script
# dependencies = ["boto3>=1.44,<2"]
# ///
"""Amazon Bedrock by boto3."""

import contextlib
import json
import os

import boto3
from botocore.config import Config
from botocore.exceptions import ClientError

import qualitrace

CLIENT = boto3.client(
    "bedrock-runtime",
    endpoint_url=os.environ["LLM"],
    region_name="eu-central-1",
    aws_access_key_id="k",
    aws_secret_access_key="k",
    config=Config(retries={"total_max_attempts": 1}),
)
MODEL = "eu.anthropic.claude-sonnet-5-v1:0"
WARRANTY = {
    "modelId": MODEL,
    "messages": [{"role": "user", "content": [{"text": "How long is the warranty of a tent?"}]}],
}
BODY = json.dumps(
    {
        "anthropic_version": "bedrock-2023-05-31",
        "max_tokens": 100,
        "messages": [{"role": "user", "content": "How long is the warranty of a tent?"}],
    }
)
SCHEMA = {"json": {"type": "object", "properties": {"city": {"type": "string"}}}}
TOOLS = {"tools": [{"toolSpec": {"name": "get_weather", "inputSchema": SCHEMA}}]}


@qualitrace.trace(kind="tool")
def get_weather(city):
    return "18 degrees, sunny"


def chat():
    with qualitrace.session("session-1", user="ada"):
        CLIENT.converse(**WARRANTY, system=[{"text": "You sell tents."}])


def stream():
    for _ in CLIENT.converse_stream(**WARRANTY)["stream"]:
        pass


def invoke():
    json.loads(CLIENT.invoke_model(modelId=MODEL, body=BODY)["body"].read())


def invoke_stream():
    for _ in CLIENT.invoke_model_with_response_stream(modelId=MODEL, body=BODY)["body"]:
        pass


def tools():
    @qualitrace.trace(kind="agent")
    def agent(question):
        messages = [{"role": "user", "content": [{"text": question}]}]
        first = CLIENT.converse(modelId=MODEL, messages=messages, toolConfig=TOOLS)["output"]["message"]
        use = first["content"][0]["toolUse"]
        result = {"toolUseId": use["toolUseId"], "content": [{"text": get_weather(**use["input"])}]}
        messages += [first, {"role": "user", "content": [{"toolResult": result}]}]
        last = CLIENT.converse(modelId=MODEL, messages=messages, toolConfig=TOOLS)
        return last["output"]["message"]["content"][0]["text"]

    agent("What is the weather in Oslo?")


def error():
    with contextlib.suppress(ClientError):
        CLIENT.converse(**WARRANTY | {"modelId": "broken"})
