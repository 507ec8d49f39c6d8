"""The tables of the room: under which names libraries record who speaks, what they say, and what was found.

A form that is missing is one more word in one of these tables, and one more case in the test that names it. Each
line says where the names come from.
"""

# --- who speaks ---

ROLES = {
    # OpenAI's names, which most libraries share
    "user": "user",
    "assistant": "assistant",
    "system": "system",
    "developer": "system",
    "tool": "tool",
    "function": "tool",
    # Gemini's `Content.role`
    "model": "assistant",
    # LangChain's tuples
    "human": "user",
    "ai": "assistant",
    # Cohere's `ChatMessageV1.role`, in lower case
    "chatbot": "assistant",
    # Meta's prompt format for Llama's tools
    "ipython": "tool",
    # how Python shows LlamaIndex's MessageRole, and Haystack's ChatRole
    "messagerole.user": "user",
    "messagerole.assistant": "assistant",
    "messagerole.chatbot": "assistant",
    "messagerole.model": "assistant",
    "messagerole.system": "system",
    "messagerole.developer": "system",
    "messagerole.tool": "tool",
    "messagerole.function": "tool",
    "chatrole.user": "user",
    "chatrole.assistant": "assistant",
    "chatrole.system": "system",
    "chatrole.tool": "tool",
    # ShareGPT's `from`
    "gpt": "assistant",
}
"""Role by the name that a message gives under one of `ROLE_KEYS`, in lower case."""

ROLE_KEYS = ("role", "_role", "from", "author_role")
"""OpenAI's; Haystack's stored messages; ShareGPT's; Semantic Kernel's export of chat histories."""

TYPED_ROLES = {
    # langchain_core.messages: `type`, and the class's name in a serialised message
    "human": "user",
    "humanmessage": "user",
    "humanmessagechunk": "user",
    "ai": "assistant",
    "aimessage": "assistant",
    "aimessagechunk": "assistant",
    "system": "system",
    "systemmessage": "system",
    "systemmessagechunk": "system",
    "tool": "tool",
    "toolmessage": "tool",
    "toolmessagechunk": "tool",
    "functionmessage": "tool",
    # Claude Agent SDK's stream of messages
    "user": "user",
    "usermessage": "user",
    "assistant": "assistant",
    "assistantmessage": "assistant",
    # OpenAI's Responses API
    "function_call_output": "tool",
    "custom_tool_call_output": "tool",
    "file_search_call": "tool",
    "mcp_call": "tool",
    # autogen_agentchat.messages
    "toolcallexecutionevent": "tool",
    # pydantic_ai.messages: `part_kind`
    "user-prompt": "user",
    "system-prompt": "system",
    "tool-return": "tool",
    "retry-prompt": "tool",
}
"""Role by a message's type (`type`, `part_kind`, or the name of its class), in lower case."""

KIND_ROLES = {"request": "user", "response": "assistant"}
"""pydantic_ai.messages.ModelRequest and ModelResponse, by `kind`; their parts may say otherwise."""

# --- what a message says ---

SOURCED_TYPES = frozenset(
    {"textmessage", "multimodalmessage", "stopmessage", "handoffmessage", "toolcallsummarymessage"}
)
"""Types of AutoGen's messages, whose `source` is `user` or the name of an agent (autogen_agentchat.messages)."""

CONTENT_KEYS = ("content", "_content", "parts", "text", "blocks", "items", "message", "data", "value", "refusal")
"""Where a message keeps what it says: OpenAI, Anthropic and LangChain; Haystack's stored messages; Gemini, OTel and
the AI SDK's UI; Vercel; LlamaIndex; Semantic Kernel; Claude Agent SDK; LangChain's message dictionaries; ShareGPT;
OpenAI's refusals."""

TYPE_KEYS = ("type", "part_kind", "kind", "block_type", "content_type", "modality", "__class__")
"""OpenAI, Anthropic, OTel, Vercel; pydantic-ai's stored messages, its user content; LlamaIndex; Semantic Kernel; the
class of what Python showed."""

TEXT_PARTS = frozenset(
    (
        "text input_text output_text summary_text markdown "  # OpenAI, Anthropic, OTel, MCP, Vercel, LangChain
        "plain_text text-delta text_delta textblock user-prompt"
    ).split()
)
"""Types of parts whose text is what was said."""

SILENT_PARTS = (
    "think thought reason redacted "  # Anthropic, Gemini, Mistral; OpenAI, OTel, LangChain, Vercel, Bedrock
    "tool function computer mcp_ code_ code-execution executable search_call search-call retry "  # calls, results
    "image picture audio video media file blob binary uri document pdf "  # OpenAI, Anthropic, OTel, pydantic-ai
    "source step- data- citation url cache signature compaction guard custom non_standard server server_"
).split()
"""Parts of type names that are no words of the speaker: thoughts, calls of tools, files, marks of a stream."""

SILENT_KEYS = frozenset(
    "inline_data inlineData file_data fileData function_call functionCall function_response functionResponse "  # Gemini
    "executable_code executableCode code_execution_result codeExecutionResult "
    "toolUse toolResult reasoningContent image video audio document cachePoint "  # Bedrock's Converse
    "tool_call tool_call_result reasoning "  # haystack.dataclasses.ChatMessage
    "toolInvocation image_url input_audio thinking bytes blob".split()
)
"""Keys of parts without a type that hold anything but text."""

PART_TEXT_KEYS = ("text", "content", "value", "refusal", "output_text", "input_text", "parts")
"""OpenAI, Anthropic, Gemini, MCP; OTel's parts; OpenAI's Assistants (`text.value`); refusals; older Responses items."""

TOOL_RESULTS = (
    "tool_call_response tool_result tool-result tool_response function_call_output custom_tool_call_output "
    "tool-return mcp_tool_result web_search_tool_result code_execution_tool_result web_fetch_tool_result "
    "bash_code_execution_tool_result text_editor_code_execution_tool_result function_response dynamic-tool "
    "search_result"
).split()
"""Types of parts that bring what a tool, or a search for the model, gave back: OTel, Anthropic, Vercel, OpenAI's
Responses, pydantic-ai, Gemini."""

TOOL_RESULT_KEYS = ("toolResult", "functionResponse", "function_response", "tool_call_result", "toolInvocation")
"""Keys of parts without a type that do: Bedrock, Gemini, Haystack, Vercel's UI messages."""

RESULT_KEYS = ("response", "result", "output", "content", "_content", "results", "value", "json", "text")
"""Where such a part keeps the result: OTel; Vercel 4; Vercel 5 and OpenAI; Anthropic, Bedrock; Haystack."""

# --- where conversations are kept ---

CONVERSATION_KEYS = (
    "messages input inputs contents prompt prompts outputs output generations choices candidates message "
    "response result update data kwargs args raw_output raw_response replies content event output_messages "
    "input_messages conversation new_messages all_messages transcript history chat_history"
).split()
"""What libraries wrap messages in, tried in this order."""

HISTORY_KEYS = (
    "chat_history history messages conversation conversation_history message_history previous_messages memory "
    "chat_messages past_messages prior_messages turns"
).split()
"""Where the turns before a question stand beside it: LangChain's memories, LangGraph's states, apps' own names."""

# --- questions ---

QUESTION_KEYS = (
    "question query sys.query user_query user_question user_input user_msg user_message user_prompt query_str "
    "query_text search_query q input input_str inputs message new_message prompt text content request task "
    "instruction instructions input_text topic"
).split()
"""Under which a function's arguments hold what was asked: LangChain, LlamaIndex, Haystack, DSPy, CrewAI, Ragas,
Dify (`sys.query`)."""

QUESTION_WRAPPERS = (
    "input inputs kwargs args data body payload state values init_kwargs arguments input_args params request variables "
    "str_or_query_bundle query_bundle new_message message prompt raw_input"
).split()
"""What arguments come wrapped in: MLflow and OpenInference (`args`, `kwargs`), LangGraph (`values`), LlamaIndex."""

# --- answers ---

CHOICE_KEYS = ("choices", "candidates", "generations", "replies", "answers", "predictions", "completions", "results")
"""Lists of alternatives of which an app shows the first: OpenAI, Gemini, LangChain, Haystack, Vertex, Titan."""

CHOICE_TEXT_KEYS = "message content text generated_text outputText output_text completion parts".split()
"""Where one of the alternatives keeps its text."""

ANSWER_KEYS = (
    "answer final_answer final_output final_response output_text generation generated_answer generated_text "
    "output outputs result response reply completion return_values final_result prediction raw_output raw "
    "text content message value outputText generation_text assistant_message bot_response update data body"
).split()
"""Under which frameworks and functions hand up an answer, the plainest first.

LangChain's chains, agents and memories (answer, output, result, text, response, return_values), LangGraph's examples
(generation, final_answer), DSPy (answer, prediction), CrewAI (raw), LlamaIndex (response), Transformers
(generated_text), Titan (outputText), OpenAI's Agents (final_output)."""

STRONG_ANSWER_KEYS = frozenset(
    "answer final_answer final_output final_response output_text generation generated_answer replies answers choices "
    "messages candidates response result output reply".split()
)
"""Those that hold an answer inside another mapping, too: Haystack's pipelines, LangGraph's updates."""

MATERIAL_KEYS = (
    "context contexts source_documents documents docs retrieved_documents retrieved_contexts retrieved_context "
    "retrieval_context retrieved_docs passages source_nodes sources search_results chunks references"
).split()
"""Under which a chain's outputs or inputs hold what its answer rests on: LangChain, LlamaIndex, Ragas, DeepEval."""

THOUGHT_KEYS = frozenset(
    "reasoning rationale reasoning_content thinking thoughts thought chain_of_thought trajectory intermediate_steps "
    "reasoning_details scratchpad".split()
)
"""DSPy's ChainOfThought and ReAct, DeepSeek, LangChain's agents."""

SIDE_KEYS = frozenset(
    "id usage usage_metadata response_metadata metadata model created object token_usage tool_calls additional_kwargs "
    "finish_reason finishReason stop_reason latency source_nodes remaining_steps is_last_step run_id trace_id "
    "__class__ lc type name".split()
)
"""What stands beside an answer and is none."""

MODEL_REPLY_KEYS = (
    "choices candidates generations message messages output content response replies completion results outputs "
    "generation text object raw output_text generated_text"
).split()
"""Where a provider's response keeps its text: OpenAI, Gemini, LangChain, Ollama, Responses, Anthropic, Haystack …"""

MODEL_REPLY_SIGNS = frozenset(
    "choices candidates generations message messages model id usage usage_metadata done finish_reason finishReason "
    "finish_reasons stop_reason stopReason replies results role output_text generated_text generation_info "
    "response_metadata additional_kwargs toolCalls reasoning metrics inputTextTokenCount prompt_token_count "
    "generation_token_count amazon-bedrock-invocationMetrics object files sources warnings __class__ llm_output".split()
)
"""Keys by which a mapping is a provider's response, not JSON that the model wrote."""

# --- documents ---

DOCUMENT_LISTS = (
    "documents docs passages retrieved_documents source_documents source_nodes nodes matches points hits results "
    "result chunks contexts context retrieval_results retrievalResults groundingChunks grounding_chunks "
    "retrieved_contexts retrieved_context search_results web_results organic_results organic items value contents "
    "content resources records rows objects entries answers references citations sources data response output outputs "
    "structuredContent"
).split()
"""What lists of documents come in: Haystack, LangChain, LlamaIndex, Pinecone, Qdrant, Elasticsearch, Bedrock, Vertex,
Azure AI Search (`value`), MCP (`contents`, `content`), SQL clients, OpenAI (`data`)."""

DOCUMENT_TEXTS = (
    "page_content pageContent text content document passage chunk chunk_text chunk_content body snippet "
    "text_content raw_content raw_text page_text passage_text document_text full_text markdown summary abstract "
    "description"
).split()
"""Under which a record keeps its text: LangChain, LlamaIndex, Haystack, stores' metadata, Tavily, SQL tables."""

DOCUMENT_TEXT_ENDS = ("text", "content", "chunk", "passage", "body", "snippet")
"""Ends of further names of such columns (`chunk_text`, `doc_body`, `@content`)."""

DOCUMENT_WRAPPERS = (
    "node payload entity document fields properties _source source_document metadata meta retrievedContext "
    "retrieved_context web chunk doc text_resource kwargs obj object record item hit derivedStructData "
    "derived_struct_data structData struct_data resource page_content chunkInfo document_metadata attributes "
    "structuredContent additionalProperties"
).split()
"""What a record's text lies in: LlamaIndex, Qdrant, Milvus, Vertex, Weaviate, Elasticsearch, Pinecone, LangChain."""

DOCUMENT_IDS = ("id", "id_", "_id", "doc_id", "document_id", "node_id", "file_id", "chunk_id", "uuid", "pk")

DOCUMENT_SCORES = ("score", "distance", "_score", "@search.score", "similarity", "sim", "relevance_score", "rank")

DOCUMENT_SIDES = frozenset(
    [
        *DOCUMENT_IDS,
        *DOCUMENT_SCORES,
        *(
            "type vector embedding vectors embeddings sparse_values values __class__ lc class_name index position "
            "certainty version shard_key order_value namespace _index _type metadata meta uri mimeType mime_type "
            "relationships hash excluded_embed_metadata_keys excluded_llm_metadata_keys start_char_idx end_char_idx"
        ).split(),
    ]
)
"""What an answer cannot rest on, in a record that has no text."""
