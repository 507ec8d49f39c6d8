"""Each form in which a library records content is read: one line a form, named after who records it."""

import json
from typing import Any

import pytest

from qualitrace_collector.convert.content import answer_text, documents, messages_in, question_text
from qualitrace_collector.convert.content.question import asked

WHY = "Why is the ferry late?"
FOG = "Fog delays it."
DEPOT = "Lost bags go to the depot."

RESPONSES: dict[str, Any] = {
    "OpenAI's choices": {"choices": [{"index": 0, "message": {"role": "assistant", "content": FOG}}]},
    "OpenAI's refusal": {"choices": [{"message": {"role": "assistant", "content": None, "refusal": FOG}}]},
    "OpenAI's Responses": {
        "output": [
            {"type": "reasoning", "summary": [{"type": "summary_text", "text": "Weather?"}]},
            {"type": "function_call", "name": "f", "arguments": '{"port": "S"}'},
            {"type": "message", "role": "assistant", "content": [{"type": "output_text", "text": FOG}]},
        ]
    },
    "a refusal among Responses' parts": {
        "output": [{"type": "message", "role": "assistant", "content": [{"type": "refusal", "refusal": FOG}]}]
    },
    "OpenAI's speech": {"choices": [{"message": {"role": "assistant", "content": None, "audio": {"transcript": FOG}}}]},
    "the first of OpenAI's choices": {"choices": [{"message": {"content": FOG}}, {"message": {"content": "No."}}]},
    "the first of OTel's choices": [
        {"role": "assistant", "parts": [{"type": "text", "content": FOG}], "finish_reason": "stop"},
        {"role": "assistant", "parts": [{"type": "text", "content": "No."}], "finish_reason": "stop"},
    ],
    "the first of Gemini's candidates": {
        "candidates": [{"content": {"parts": [{"text": FOG}]}}, {"content": {"parts": [{"text": "No."}]}}]
    },
    "the first of LangChain's generations": {"generations": [[{"text": FOG}, {"text": "No."}]]},
    "Anthropic's blocks": {
        "role": "assistant",
        "content": [
            {"type": "thinking", "thinking": "Weather?", "signature": "s"},
            {"type": "server_tool_use", "id": "1", "name": "web_search", "input": {"query": "ferry"}},
            {"type": "web_search_tool_result", "content": [{"type": "web_search_result", "title": "t", "url": "u"}]},
            {"type": "text", "text": FOG},
            {"type": "tool_use", "id": "2", "name": "log", "input": {"note": "fog"}},
        ],
    },
    "Anthropic's citations": {
        "role": "assistant",
        "content": [{"type": "text", "text": "Fog "}, {"type": "text", "text": "delays it.", "citations": [{}]}],
    },
    "Gemini's thoughts": {"candidates": [{"content": {"parts": [{"text": "Hm.", "thought": True}, {"text": FOG}]}}]},
    "Bedrock's Converse": {
        "output": {
            "message": {
                "role": "assistant",
                "content": [{"reasoningContent": {"reasoningText": {"text": "Hm."}}}, {"text": FOG}],
            }
        },
        "stopReason": "end_turn",
    },
    "Titan's results": {"results": [{"outputText": FOG}], "inputTextTokenCount": 3},
    "Cohere's text": {"text": FOG, "generation_id": "g", "citations": []},
    "Ollama's response": {"model": "llama3", "response": FOG, "done": True},
    "Transformers' texts": [{"generated_text": FOG}],
    "the AI SDK's fields": {"text": FOG, "reasoning": "Hm.", "toolCalls": [], "finishReason": "stop"},
    "the AI SDK's parts": {
        "content": [{"type": "tool-call", "toolName": "f", "args": {}}, {"type": "text", "text": FOG}],
        "finishReason": "stop",
    },
    "OTel's parts": [
        {
            "role": "assistant",
            "parts": [{"type": "reasoning", "content": "Hm."}, {"type": "text", "content": FOG}, {"type": "blob"}],
        }
    ],
    "thoughts between tags": f"<think>\nHm.\n\nHm.\n</think>\n\n{FOG}",
    "thoughts without their first tag": f"Hm.\n</think>\n\n{FOG}",
    "gpt-oss' channels": f"<|channel|>analysis<|message|>Hm.<|end|><|start|>assistant<|channel|>final<|message|>{FOG}",
    "a ReAct agent's thoughts": f"Thought: I know it.\nAnswer: {FOG}",
    "the chunks of OpenAI's stream": [
        {"object": "chat.completion.chunk", "choices": [{"index": 0, "delta": {"role": "assistant", "content": ""}}]},
        {"object": "chat.completion.chunk", "choices": [{"index": 0, "delta": {"content": "Fog delays"}}]},
        {"object": "chat.completion.chunk", "choices": [{"index": 0, "delta": {"content": " it."}}]},
        {"object": "chat.completion.chunk", "choices": [], "usage": {"total_tokens": 9}},
    ],
    "the events of Anthropic's stream": [
        {"type": "message_start", "message": {"role": "assistant", "content": []}},
        {"type": "content_block_delta", "index": 0, "delta": {"type": "thinking_delta", "thinking": "Hm."}},
        {"type": "content_block_delta", "index": 1, "delta": {"type": "text_delta", "text": "Fog delays"}},
        {"type": "content_block_delta", "index": 1, "delta": {"type": "text_delta", "text": " it."}},
        {"type": "message_stop"},
    ],
    "LangChain's serialised chunks": [
        {"lc": 1, "id": ["langchain", "schema", "messages", "AIMessageChunk"], "kwargs": {"content": text}}
        for text in ("Fog delays", " it.")
    ],
    "the events of Responses' stream": [
        {"type": "response.created", "response": {"id": "r", "output": []}},
        {"type": "response.output_text.delta", "delta": "Fog delays"},
        {"type": "response.output_text.delta", "delta": " it."},
    ],
    "the end of Responses' stream": [
        {"type": "response.output_text.delta", "delta": "Fog"},
        {
            "type": "response.completed",
            "response": {
                "id": "r",
                "output": [{"type": "message", "role": "assistant", "content": [{"type": "output_text", "text": FOG}]}],
            },
        },
    ],
    "the chunks of Gemini's stream": [
        {"candidates": [{"content": {"parts": [{"text": "Fog delays"}]}}]},
        {"candidates": [{"content": {"parts": [{"text": " it."}]}}]},
    ],
    "the events of Converse's stream": [
        {"messageStart": {"role": "assistant"}},
        {"contentBlockDelta": {"delta": {"text": "Fog delays"}, "contentBlockIndex": 0}},
        {"contentBlockDelta": {"delta": {"text": " it."}, "contentBlockIndex": 0}},
        {"messageStop": {"stopReason": "end_turn"}},
    ],
    "the events of Cohere's stream": [
        {"type": "message-start", "delta": {"message": {"role": "assistant", "content": []}}},
        {"type": "content-delta", "delta": {"message": {"content": {"text": "Fog delays"}}}},
        {"type": "content-delta", "delta": {"message": {"content": {"text": " it."}}}},
        {"type": "citation-start", "delta": {}},
    ],
    "the events of Mistral's stream": [
        {"data": {"choices": [{"delta": {"content": "Fog delays"}}]}},
        {"data": {"choices": [{"delta": {"content": " it."}}]}},
    ],
    "the chunks of Ollama's stream": [
        {"message": {"role": "assistant", "content": "Fog delays"}, "done": False},
        {"message": {"role": "assistant", "content": " it."}, "done": True},
    ],
    "one object a line": (
        '{"message": {"role": "assistant", "content": "Fog delays"}, "done": false}\n'
        '{"message": {"role": "assistant", "content": " it."}, "done": true}\n'
    ),
    "a refusal in chunks": [
        {"choices": [{"delta": {"role": "assistant", "content": None, "refusal": "Fog "}}]},
        {"choices": [{"delta": {"refusal": "delays it."}}]},
    ],
    "server-sent events": (
        'data: {"choices": [{"delta": {"content": "Fog delays"}}]}\n\n'
        'data: {"choices": [{"delta": {"content": " it."}}]}\n\ndata: [DONE]\n\n'
    ),
    "tokens of a generator": ["Fog", " delays", " it."],
    "how Python shows a response": (
        f"ChatCompletion(id='c', choices=[Choice(finish_reason='stop', index=0, message=ChatCompletionMessage("
        f"content='{FOG}', refusal=None, role='assistant'))], created=1, object='chat.completion')"
    ),
    "how Python shows Anthropic's message": (
        f"Message(id='m', content=[TextBlock(citations=None, text='{FOG}', type='text')], role='assistant', "
        "stop_reason='end_turn', usage=Usage(input_tokens=1))"
    ),
}


@pytest.mark.parametrize("outputs", RESPONSES.values(), ids=RESPONSES)
@pytest.mark.parametrize("as_text", [False, True], ids=["value", "JSON text"])
def test_what_a_model_said_is_found(outputs: Any, as_text: bool):
    """Responses, messages, parts, chunks: the words alone, without thoughts, calls of tools and files."""
    recorded = json.dumps(outputs) if as_text and not isinstance(outputs, str) else outputs
    assert answer_text(recorded, from_model=True) == FOG


@pytest.mark.parametrize(
    "said",
    [
        '{"question": "When?", "answer": "30 days"}',
        '{"text": "Hi", "language": "en"}',
        '{"answer":"x"}',
        '[{"a": 1}, {"a": 2}]',
        '{"verdict": true}',
        '{"response_id": "7", "answer": "yes"}',
        "[1, 2]",
        "print('hello')",
        "{'not': 'JSON'}",
    ],
)
def test_what_a_model_wrote_is_its_answer_whole(said: str):
    """JSON that a model sent is not searched for an answer, in a message as well as bare."""
    message = [{"role": "assistant", "parts": [{"type": "text", "content": said}], "finish_reason": "stop"}]
    choices = {"choices": [{"message": {"role": "assistant", "content": said}}]}
    assert answer_text(said, from_model=True) == said
    assert answer_text(message, from_model=True) == answer_text(choices, from_model=True) == said


CHAINS: dict[str, Any] = {
    "create_retrieval_chain": {"input": WHY, "context": [{"page_content": DEPOT}], "answer": FOG},
    "RetrievalQA": {"query": WHY, "result": FOG},
    "ConversationalRetrievalChain": {"question": WHY, "chat_history": [["Hi", "Hello"]], "answer": FOG},
    "an agent's executor": {"input": WHY, "chat_history": [], "output": FOG, "intermediate_steps": [["a", "b"]]},
    "RunnablePassthrough.assign": {"input": WHY, "remark": FOG},
    "RunnablePassthrough.assign with documents": {"input": WHY, "context": DEPOT, "remark": FOG},
    "LangGraph's messages": {
        "messages": [
            {"type": "human", "content": WHY},
            {"type": "ai", "content": "", "tool_calls": [{"name": "f", "args": {"q": "x"}}]},
            {"type": "tool", "content": "fog"},
            {"type": "ai", "content": FOG},
        ],
        "remaining_steps": 3,
    },
    "LangGraph's state": {"question": WHY, "documents": [DEPOT], "generation": FOG, "rewrites": 0},
    "LangGraph's update": {"agent": {"messages": [{"type": "ai", "content": FOG}]}},
    "LangChain's streamed chain": [{"input": WHY}, {"context": [DEPOT]}, {"answer": "Fog "}, {"answer": "delays it."}],
    "a serialised message": {
        "lc": 1,
        "type": "constructor",
        "id": ["langchain", "schema", "messages", "AIMessage"],
        "kwargs": {"content": FOG},
    },
    "DSPy's prediction": {"reasoning": "Weather.", "answer": FOG},
    "DSPy's prediction of another field": {"reasoning": "Weather.", "summary_of_ferry": FOG},
    "how Python shows DSPy's prediction": f"Prediction(\n    reasoning='Weather.',\n    answer='{FOG}'\n)",
    "how Python shows LangChain's message": f"content='{FOG}' additional_kwargs={{}} response_metadata={{'a': 1}}",
    "how OpenAI's Agents show a run": (
        f'RunResult:\n- Last agent: Agent(name="A", ...)\n- Final output (str):\n    {FOG}\n- 1 new item(s)\n'
    ),
    "how Python shows a mapping": f"{{'input': '{WHY}', 'answer': '{FOG}'}}",
    "CrewAI's output": {"raw": FOG, "pydantic": None, "tasks_output": [{"description": "d", "raw": "x"}]},
    "LlamaIndex's response": {"response": FOG, "source_nodes": [{"node": {"text": DEPOT}}], "metadata": {}},
    "Haystack's pipeline": {"llm": {"replies": [FOG]}, "retriever": {"documents": [{"content": DEPOT}]}},
    "Haystack's messages": {"llm": {"replies": [{"_role": "assistant", "_content": [{"text": FOG}], "_meta": {}}]}},
    "how Python shows AutoGen's messages": {
        "messages": [
            f"id='1' source='user' metadata={{}} content='{WHY}' type='TextMessage'",
            f"id='2' source='a' metadata={{}} content='{FOG}' type='TextMessage'",
        ]
    },
    "AutoGen's result": {
        "messages": [
            {"source": "user", "content": WHY, "type": "TextMessage"},
            {"source": "a", "content": [{"name": "f", "arguments": "{}"}], "type": "ToolCallRequestEvent"},
            {"source": "a", "content": FOG, "type": "TextMessage"},
        ]
    },
    "an HTTP response": {"statusCode": 200, "body": json.dumps({"answer": FOG})},
    "thoughts handed on": {"answer": f"<think>Hm.</think>{FOG}"},
}


@pytest.mark.parametrize("outputs", CHAINS.values(), ids=CHAINS)
def test_what_a_chain_answered_is_found(outputs: Any):
    """Chains and frameworks return the answer beside their input, material and thoughts."""
    assert answer_text(outputs, {"input": WHY, "question": WHY, "query": WHY}) == FOG
    assert answer_text(outputs, WHY) == FOG


@pytest.mark.parametrize(
    ("outputs", "answer"),
    [
        (False, "false"),
        (0.5, "0.5"),
        ({"answer": False}, "false"),
        (["a", "b"], '["a", "b"]'),
        ({"label": "late", "score": 0.9}, '{"label": "late", "score": 0.9}'),
        ({"answer": {"days": 30, "sure": True}}, '{"days": 30, "sure": True}'.replace("True", "true")),
        ({"type": "refund", "amount": 30}, '{"type": "refund", "amount": 30}'),
        ([{"title": "A", "text": "B"}, {"title": "C", "text": "D"}], None),
        ({"input": WHY, "label": "late", "score": 0.9}, '{"label": "late", "score": 0.9}'),
    ],
)
def test_a_structured_answer_is_judged_as_it_was_sent(outputs: Any, answer: str | None):
    """Without a key that is known, the whole value is the answer, less what it repeats of the input."""
    assert answer_text(outputs, {"input": WHY}) == (answer or json.dumps(outputs))


def test_an_old_turn_is_no_answer():
    """An agent that stopped at a call of a tool did not answer with what it said a turn before."""
    before = [{"type": "human", "content": "Hi"}, {"type": "ai", "content": "Hello"}, {"type": "human", "content": WHY}]
    after = [*before, {"type": "ai", "content": "", "tool_calls": [{"name": "f", "args": {}}]}]
    assert answer_text({"messages": after}, {"messages": before}) == ""


EARLIER = [("user", "Hi"), ("assistant", "Hello")]
HISTORIES: dict[str, Any] = {
    "messages": {"question": WHY, "history": [{"role": "user", "content": "Hi"}, {"role": "ai", "content": "Hello"}]},
    "tuples": {"input": WHY, "chat_history": [["human", "Hi"], ["ai", "Hello"]]},
    "pairs": {"question": WHY, "chat_history": [["Hi", "Hello"]]},
    "lines": {"input": WHY, "history": "Human: Hi\nAI: Hello"},
    "serialised": {
        "input": WHY,
        "chat_history": [
            {"lc": 1, "type": "constructor", "id": ["langchain", f"{name}Message"], "kwargs": {"content": said}}
            for name, said in (("Human", "Hi"), ("AI", "Hello"))
        ],
    },
    "shown by Python": {
        "question": WHY,
        "chat_history": "[HumanMessage(content='Hi', additional_kwargs={}), AIMessage(content='Hello')]",
    },
    "before the question": [
        {"role": "user", "content": "Hi"},
        {"role": "assistant", "content": "Hello"},
        {"role": "user", "content": WHY},
    ],
    "in a state": {"input": {"messages": [["human", "Hi"], ["ai", "Hello"], ["human", WHY]]}},
}


@pytest.mark.parametrize("inputs", HISTORIES.values(), ids=HISTORIES)
def test_turns_before_the_question_are_the_conversation(inputs: Any):
    """In every form of a history, the newest turn of the user is the question."""
    found = asked(inputs)
    assert (found.question, [(turn.role, turn.content) for turn in found.earlier]) == (WHY, EARLIER)


QUESTIONS: dict[str, Any] = {
    "some positional arguments": {"args": ["<app.Bot object at 0x7f06>", "de", WHY], "kwargs": {}},
    "Gemini's contents without a role": {"contents": [{"parts": [{"text": WHY}]}]},
    "arguments": {"args": [WHY], "kwargs": {"k": 3}},
    "named arguments": {"args": [], "kwargs": {"question": WHY}},
    "a method's arguments": {"self": "<app.Bot object at 0x7f06>", "words": WHY},
    "a prompt beside instructions": {"system": "Be brief.", "prompt": WHY},
    "a question beside its context": {"context": [{"page_content": DEPOT}], "question": WHY},
    "Haystack's data": {"data": {"retriever": {"query": WHY}, "prompt_builder": {"question": WHY}}},
    "Dify's variables": {"sys.query": WHY, "sys.user_id": "u", "sys.files": []},
    "Bedrock's body": {"modelId": "m", "body": json.dumps({"messages": [{"role": "user", "content": WHY}]})},
    "OpenAI's parts": [
        {
            "role": "user",
            "content": [
                {"type": "text", "text": WHY},
                {"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA"}},
                {"type": "file", "file": {"file_data": "AAAA"}},
                {"type": "input_audio", "input_audio": {"data": "AAAA"}},
            ],
        }
    ],
    "Gemini's parts": [{"role": "user", "parts": [{"text": WHY}, {"inline_data": {"data": "AAAA"}}]}],
    "Bedrock's parts": [{"role": "user", "content": [{"text": WHY}, {"image": {"format": "png"}}, {"document": {}}]}],
    "Pydantic AI's parts": [WHY, {"url": "https://example.com/a.png", "kind": "image-url"}],
    "Pydantic AI's bytes": [WHY, {"data": "iVBO", "media_type": "image/png", "kind": "binary"}],
    "Pydantic AI's request": [
        {
            "kind": "request",
            "parts": [
                {"part_kind": "system-prompt", "content": "Be brief."},
                {"part_kind": "user-prompt", "content": WHY},
            ],
        }
    ],
    "a question after its context": {"args": ["app", f"{DEPOT} It is large.", WHY], "kwargs": {}},
    "LangChain's prompts": {"prompts": [WHY]},
    "Titan's text": {"inputText": WHY, "textGenerationConfig": {"temperature": 0}},
    "a picture in Markdown": f"![ferry](data:image/png;base64,iVBORw0KGgo=) {WHY}",
}


@pytest.mark.parametrize("inputs", QUESTIONS.values(), ids=QUESTIONS)
def test_the_users_words_are_the_question(inputs: Any):
    """Neither arguments beside it nor pictures and files belong to the question."""
    assert question_text(inputs) == WHY


@pytest.mark.parametrize(
    "asked_for", [{"order": 12, "issue": "late"}, [1, 2], [{"role": "user", "content": '{"a":1}'}]]
)
def test_a_structured_question_is_judged_as_it_was_sent(asked_for: Any):
    """An API's arguments without a key that is known, and JSON that a user wrote."""
    expected = '{"a":1}' if "role" in str(asked_for) else json.dumps(asked_for)
    assert question_text(asked_for) == expected


FOUND: dict[str, Any] = {
    "Cohere's documents": [{"id": "1", "data": {"title": "Lost and found", "snippet": DEPOT}}],
    "Qdrant": {"points": [{"id": 1, "score": 0.3, "payload": {"document": DEPOT}}]},
    "Elasticsearch": {"hits": {"total": 1, "hits": [{"_id": "a", "_score": 1.0, "_source": {"body": DEPOT}}]}},
    "Weaviate's GraphQL": {"data": {"Get": {"Article": [{"content": DEPOT, "_additional": {"distance": 0.1}}]}}},
    "Weaviate's objects": {"objects": [{"uuid": "a", "properties": {"text": DEPOT}}]},
    "Azure AI Search": {"value": [{"@search.score": 1.0, "content": DEPOT}]},
    "Bedrock's knowledge bases": {"retrievalResults": [{"content": {"text": DEPOT}, "score": 0.4}]},
    "Vertex AI Search": {"results": [{"document": {"derivedStructData": {"snippets": [{"snippet": DEPOT}]}}}]},
    "Gemini's grounding": {"groundingChunks": [{"retrievedContext": {"title": "t", "text": DEPOT}}]},
    "Milvus": [[{"entity": {"text": DEPOT}, "distance": 0.2, "id": 1}]],
    "Pinecone": {"matches": [{"id": "a", "score": 0.9, "values": [0.1], "metadata": {"text": DEPOT}}]},
    "Chroma": {"ids": [["a"]], "documents": [[DEPOT]], "metadatas": [[None]], "distances": [[0.1]]},
    "OpenAI's vector stores": {"data": [{"file_id": "f", "score": 0.3, "content": [{"type": "text", "text": DEPOT}]}]},
    "Cohere's rerank": [{"document": {"content": DEPOT}, "relevance_score": 0.9, "index": 0}],
    "LangChain's documents with scores": [[{"page_content": DEPOT, "metadata": {}, "type": "Document"}, 0.3]],
    "LlamaIndex's text resource": [{"node": {"text_resource": {"text": DEPOT}, "class_name": "Node"}, "score": 0.8}],
    "texts with scores": [[DEPOT, 0.9]],
    "rows of a table": [[1, DEPOT, 0.9]],
    "rows with a name": [["depot.md", DEPOT]],
    "columns of a table": [{"id": 1, "title": "Bags", "body_text": DEPOT}],
    "records by their ids": {"results": {"r1": {"text": DEPOT}}},
    "MCP's content": {
        "content": [{"type": "text", "text": DEPOT}, {"type": "image", "data": "AAAA"}],
        "isError": False,
    },
    "MCP's resource": {"content": [{"type": "resource", "resource": {"uri": "u", "text": DEPOT}}]},
    "JSON in MCP's content": {"content": [{"type": "text", "text": json.dumps({"results": [{"text": DEPOT}]})}]},
    "how Python shows MCP's result": (
        f"meta=None content=[TextContent(type='text', text='{DEPOT}', annotations=None)] isError=False"
    ),
    "nulls between": [None, DEPOT, ""],
    "Tavily": {"query": "bags", "answer": None, "results": [{"title": "t", "url": "u", "content": DEPOT}]},
    "how Python shows LangChain's documents": f"[Document(id='a', metadata={{'p': 1}}, page_content='{DEPOT}')]",
    "how Python shows LlamaIndex's nodes": f"[NodeWithScore(node=TextNode(id_='a', text='{DEPOT}'), score=0.9)]",
    "how Python shows Haystack's documents": f"[Document(id=4a5b6c7d8e, content: '{DEPOT}', meta: {{'p': 1}})]",
    "how Python shows Qdrant's points": [f"ScoredPoint(id=1, score=0.9, payload={{'text': '{DEPOT}'}}, vector=None)"],
}


@pytest.mark.parametrize("outputs", FOUND.values(), ids=FOUND)
def test_the_texts_of_what_was_found_are_the_documents(outputs: Any):
    """Whatever a store, a tool or MCP returns: the text of each record, and nothing else."""
    assert [document["page_content"] for document in documents(outputs)] == [DEPOT]


def test_a_record_without_a_text_counts_as_its_json():
    """An answer may rest on any of its fields; beside texts also on an id and a score, which alone are not texts."""
    rows = [{"city": "Hamburg", "ferries": 18}, {"id": "a", "score": 0.5, "vector": [0.1, 0.2]}]
    assert [found["page_content"] for found in documents(rows)] == [
        '{"city": "Hamburg", "ferries": 18}',
        '{"id": "a", "score": 0.5}',
    ]
    assert [found["page_content"] for found in documents(rows[1:])] == [""]


CUT = json.dumps([{"role": "user", "parts": [{"type": "text", "content": f"{WHY} {'It rains. ' * 9}"}]}])


def test_messages_that_were_cut_off_are_read_as_far_as_they_go():
    """SDKs cut attributes at a length that their users set."""
    assert question_text(CUT[:90]).startswith(WHY)
    assert "parts" not in question_text(CUT[:90])
    assert answer_text(json.dumps({"input": WHY, "answer": FOG})[:-4], WHY) == FOG[:-2]


RESULTS: dict[str, Any] = {
    "OTel": {"role": "tool", "parts": [{"type": "tool_call_response", "id": "1", "response": {"delay": 5}}]},
    "OpenAI": {"role": "tool", "tool_call_id": "1", "content": '{"delay": 5}'},
    "OpenAI's Responses": {"type": "function_call_output", "call_id": "1", "output": '{"delay": 5}'},
    "Anthropic": {
        "role": "user",
        "content": [{"type": "tool_result", "content": [{"type": "text", "text": '{"delay": 5}'}]}],
    },
    "Gemini": {"role": "user", "parts": [{"functionResponse": {"name": "f", "response": {"delay": 5}}}]},
    "Bedrock": {"role": "user", "content": [{"toolResult": {"content": [{"json": {"delay": 5}}]}}]},
    "the AI SDK": {
        "role": "tool",
        "content": [{"type": "tool-result", "output": {"type": "json", "value": {"delay": 5}}}],
    },
    "LangChain": {"type": "tool", "content": '{"delay": 5}', "tool_call_id": "1"},
    "Pydantic AI": {"kind": "request", "parts": [{"part_kind": "tool-return", "content": {"delay": 5}}]},
    "Haystack": {"role": "tool", "content": [{"tool_call_result": {"result": '{"delay": 5}', "error": False}}]},
}


@pytest.mark.parametrize("message", RESULTS.values(), ids=RESULTS)
def test_what_a_tool_gave_back_is_a_turn_of_the_tool(message: Any):
    """In a user's turn too; a mapping is written as JSON."""
    (turn,) = messages_in([message])
    assert turn.role == "tool"
    assert "delay" in turn.content
    assert "5" in turn.content


def test_each_result_is_a_turn_beside_the_users_words():
    """Parallel calls have a result each, and what the user adds stays the user's."""
    parts = [{"type": "tool_result", "content": "fog"}, {"type": "tool_result", "content": "5 min"}]
    turns = messages_in([{"role": "user", "content": [*parts, {"type": "text", "text": WHY}]}])
    assert [(turn.role, turn.content) for turn in turns] == [("tool", "fog"), ("tool", "5 min"), ("user", WHY)]
