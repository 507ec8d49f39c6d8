"""The names under which libraries record who speaks, what they say, and what was found.

A form that is missing is one more word in one of these tables, and one more case in
tests/collector/convert/test_forms.py. Each table says where its names come from.
"""

# --- who speaks ---


def _roles(**names: str) -> dict[str, str]:
    return {name: role for role, listed in names.items() for name in listed.split()}


# Role by the name that a message gives under one of `ROLE_KEYS`, in lower case: OpenAI's names, which most libraries
# share; Gemini's `Content.role` (model); LangChain's tuples (human, ai); Cohere's `ChatMessageV1.role` (chatbot);
# Meta's prompt format for Llama's tools (ipython); ShareGPT's `from` (gpt); how Python shows LlamaIndex's MessageRole
# and Haystack's ChatRole.
ROLES = _roles(
    user="user human messagerole.user chatrole.user",
    assistant="assistant model ai chatbot gpt messagerole.assistant messagerole.chatbot messagerole.model "
    "chatrole.assistant",
    system="system developer messagerole.system messagerole.developer chatrole.system",
    tool="tool function ipython messagerole.tool messagerole.function chatrole.tool",
)

# Where a message names its role: OpenAI; Haystack's stored messages; ShareGPT; Semantic Kernel's export of chats.
ROLE_KEYS = ("role", "_role", "from", "author_role")

# Role by a message's type (`type`, `part_kind`, or the name of its class), in lower case: langchain_core.messages by
# type and by the class of a serialised message; Claude Agent SDK's stream of messages; OpenAI's Responses API (…_call);
# autogen_agentchat.messages (toolcallexecutionevent); pydantic_ai.messages by `part_kind` (…-prompt, tool-return).
TYPED_ROLES = _roles(
    user="human humanmessage humanmessagechunk user usermessage user-prompt",
    assistant="ai aimessage aimessagechunk assistant assistantmessage",
    system="system systemmessage systemmessagechunk system-prompt",
    tool="tool toolmessage toolmessagechunk functionmessage function_call_output custom_tool_call_output "
    "file_search_call mcp_call toolcallexecutionevent tool-return retry-prompt",
)

# Role by the name in front of a line of a transcript: LangChain's buffer memory, apps' own.
TRANSCRIPT_ROLES = _roles(user="human user", assistant="ai assistant bot")

# Role by `kind` of pydantic_ai.messages.ModelRequest and ModelResponse; their parts may have other roles.
KIND_ROLES = {"request": "user", "response": "assistant"}

# --- what a message says ---

# Types of AutoGen's messages, whose `source` is `user` or the name of an agent (autogen_agentchat.messages).
SOURCED_TYPES = frozenset(
    {"textmessage", "multimodalmessage", "stopmessage", "handoffmessage", "toolcallsummarymessage"}
)

# Where a message keeps what it says: OpenAI, Anthropic and LangChain; Haystack's stored messages; Gemini, OTel and the
# AI SDK's UI; Vercel; LlamaIndex; Semantic Kernel; Claude Agent SDK; LangChain's message dictionaries; ShareGPT;
# OpenAI's refusals.
CONTENT_KEYS = ("content", "_content", "parts", "text", "blocks", "items", "message", "data", "value", "refusal")

# Where a part names its type: OpenAI, Anthropic, OTel, Vercel; pydantic-ai's stored messages, its user content;
# LlamaIndex; Semantic Kernel; the class of what Python showed.
TYPE_KEYS = ("type", "part_kind", "kind", "block_type", "content_type", "modality", "__class__")

# Types of parts whose text is what was said.
TEXT_PARTS = frozenset(
    "text input_text output_text summary_text markdown "  # OpenAI, Anthropic, OTel, MCP, Vercel, LangChain
    "plain_text text-delta text_delta textblock user-prompt".split()
)

# Parts of the names of types that hold no words of the speaker: thoughts, calls of tools, files, marks of a stream.
SILENT_PARTS = (
    "think thought reason redacted "  # Anthropic, Gemini, Mistral; OpenAI, OTel, LangChain, Vercel, Bedrock
    "tool function computer mcp_ code_ code-execution executable search_call search-call retry "  # calls, results
    "image picture audio video media file blob binary uri document pdf "  # OpenAI, Anthropic, OTel, pydantic-ai
    "source step- data- citation url cache signature compaction guard custom non_standard server server_"
).split()

# Keys of parts without a type that hold anything but text.
SILENT_KEYS = frozenset(
    "inline_data inlineData file_data fileData function_call functionCall function_response functionResponse "  # Gemini
    "executable_code executableCode code_execution_result codeExecutionResult "
    "toolUse toolResult reasoningContent image video audio document cachePoint "  # Bedrock's Converse
    "tool_call tool_call_result reasoning "  # haystack.dataclasses.ChatMessage
    "toolInvocation image_url input_audio thinking bytes blob".split()
)

# Where a part keeps its text: OpenAI, Anthropic, Gemini, MCP; OTel; OpenAI's Assistants (`text.value`); refusals;
# older items of OpenAI's Responses.
PART_TEXT_KEYS = ("text", "content", "value", "refusal", "output_text", "input_text", "parts")

# Types of parts that hold the result of a tool, or of a search for the model: OTel, Anthropic, Vercel, OpenAI's
# Responses, pydantic-ai, Gemini.
TOOL_RESULTS = (
    "tool_call_response tool_result tool-result tool_response function_call_output custom_tool_call_output "
    "tool-return mcp_tool_result web_search_tool_result code_execution_tool_result web_fetch_tool_result "
    "bash_code_execution_tool_result text_editor_code_execution_tool_result function_response dynamic-tool "
    "search_result"
).split()

# Keys of parts without a type that hold one: Bedrock, Gemini, Haystack, Vercel's UI messages.
TOOL_RESULT_KEYS = ("toolResult", "functionResponse", "function_response", "tool_call_result", "toolInvocation")

# Tools by which a model gives its answer (smolagents); what they return is the answer, not what it rests on.
FINAL_TOOLS = ("final_answer",)

# Where such a part keeps the result: OTel; Vercel 4; Vercel 5 and OpenAI; Anthropic, Bedrock; Haystack.
RESULT_KEYS = ("response", "result", "output", "content", "_content", "results", "value", "json", "text")

# --- where conversations are kept ---

# What libraries wrap messages in, tried in this order.
CONVERSATION_KEYS = (
    "messages input inputs contents prompt prompts outputs output generations choices candidates message "
    "response result update data kwargs args raw_output raw_response replies content event output_messages "
    "input_messages conversation new_messages all_messages transcript history chat_history"
).split()

# Where the turns before a question stand beside it: LangChain's memories, LangGraph's states, apps' own names.
HISTORY_KEYS = (
    "chat_history history messages conversation conversation_history message_history previous_messages memory "
    "chat_messages past_messages prior_messages turns"
).split()

# --- questions ---

# Names of the question among a function's arguments: LangChain, LlamaIndex, Haystack, DSPy, CrewAI, Ragas, Dify
# (`sys.query`).
QUESTION_KEYS = (
    "question query sys.query user_query user_question user_input user_msg user_message user_prompt query_str "
    "query_text search_query q input input_str inputs message new_message prompt text content request task "
    "instruction instructions input_text topic prompts inputText"
).split()

# What arguments come wrapped in: MLflow and OpenInference (`args`, `kwargs`), LangGraph (`values`), LlamaIndex.
QUESTION_WRAPPERS = (
    "input inputs kwargs args data body payload state values init_kwargs arguments input_args params request variables "
    "str_or_query_bundle query_bundle new_message message prompt raw_input"
).split()

# --- answers ---

# Lists of alternatives of which an app shows the first: OpenAI, Gemini, LangChain, Haystack, Vertex, Titan.
CHOICE_KEYS = ("choices", "candidates", "generations", "replies", "answers", "predictions", "completions", "results")

# Where one of the alternatives keeps its text.
CHOICE_TEXT_KEYS = "message content text generated_text outputText output_text completion parts".split()

# Names of the answer in what frameworks and functions return, the plainest first: LangChain's chains, agents and
# memories (answer, output, result, text, response, return_values), LangGraph's examples (generation, final_answer),
# DSPy (answer, prediction), CrewAI (raw), LlamaIndex (response), Transformers (generated_text), Titan (outputText),
# OpenAI's Agents (final_output).
ANSWER_KEYS = (
    "answer final_answer final_output final_response output_text generation generated_answer generated_text "
    "output outputs result response reply completion return_values final_result prediction raw_output raw "
    "text content message value outputText generation_text assistant_message bot_response update data body"
).split()

# Those that hold an answer inside another mapping, too: Haystack's pipelines, LangGraph's updates.
STRONG_ANSWER_KEYS = frozenset(
    "answer final_answer final_output final_response output_text generation generated_answer replies answers choices "
    "messages candidates response result output reply".split()
)

# Names of what an answer rests on, in a chain's outputs or inputs: LangChain, LlamaIndex, Ragas, DeepEval.
MATERIAL_KEYS = (
    "context contexts source_documents documents docs retrieved_documents retrieved_contexts retrieved_context "
    "retrieval_context retrieved_docs passages source_nodes sources search_results chunks references"
).split()

# Names of thoughts beside an answer: DSPy's ChainOfThought and ReAct, DeepSeek, LangChain's agents.
THOUGHT_KEYS = frozenset(
    "reasoning rationale reasoning_content thinking thoughts thought chain_of_thought trajectory intermediate_steps "
    "reasoning_details scratchpad".split()
)

# Names of other values beside an answer.
SIDE_KEYS = frozenset(
    "id usage usage_metadata response_metadata metadata model created object token_usage tool_calls additional_kwargs "
    "finish_reason finishReason stop_reason latency source_nodes remaining_steps is_last_step run_id trace_id "
    "__class__ lc type name".split()
)

# Where a provider's response keeps its text: OpenAI, Gemini, LangChain, Ollama, Responses, Anthropic, Haystack …
MODEL_REPLY_KEYS = (
    "choices candidates generations message messages output content response replies completion results outputs "
    "generation text object raw output_text generated_text"
).split()

# Keys by which a mapping is a provider's response, not JSON that the model wrote.
MODEL_REPLY_SIGNS = frozenset(
    "choices candidates generations message messages model id usage usage_metadata done finish_reason finishReason "
    "finish_reasons stop_reason stopReason replies results role output_text generated_text generation_info "
    "response_metadata additional_kwargs toolCalls reasoning metrics inputTextTokenCount prompt_token_count "
    "generation_token_count amazon-bedrock-invocationMetrics object files sources warnings __class__ llm_output".split()
)

# --- documents ---

# Where a call of a provider shows what the model answers from, which no message has, as field and path: Cohere's
# `documents`, Azure OpenAI's `data_sources`, Gemini's retrieval.
GROUNDING: tuple[tuple[str, tuple[str | int, ...]], ...] = (
    ("inputs", ("documents",)),
    ("outputs", ("choices", 0, "message", "context", "citations")),
    ("outputs", ("candidates", 0, "groundingMetadata", "groundingChunks")),
    ("outputs", ("candidates", 0, "grounding_metadata", "grounding_chunks")),
)

# What lists of documents come in: Haystack, LangChain, LlamaIndex, Pinecone, Qdrant, Elasticsearch, Bedrock, Vertex,
# Azure AI Search (`value`), MCP (`contents`, `content`), SQL clients, OpenAI (`data`).
DOCUMENT_LISTS = (
    "documents docs passages retrieved_documents source_documents source_nodes nodes matches points hits results "
    "result chunks contexts context retrieval_results retrievalResults groundingChunks grounding_chunks "
    "retrieved_contexts retrieved_context search_results web_results organic_results organic items value contents "
    "content resources records rows objects entries answers references citations sources data response output outputs "
    "structuredContent"
).split()

# Names of a record's text: LangChain, LlamaIndex, Haystack, stores' metadata, Tavily, SQL tables.
DOCUMENT_TEXTS = (
    "page_content pageContent text content document passage chunk chunk_text chunk_content body snippet "
    "text_content raw_content raw_text page_text passage_text document_text full_text markdown summary abstract "
    "description"
).split()

# Ends of further names of such columns (`chunk_text`, `doc_body`, `@content`).
DOCUMENT_TEXT_ENDS = ("text", "content", "chunk", "passage", "body", "snippet")

# What a record lies in: LlamaIndex, Qdrant, Milvus, Vertex, Weaviate, Elasticsearch, Pinecone, LangChain, Cohere.
DOCUMENT_WRAPPERS = (
    "node payload entity document fields properties _source source_document metadata meta retrievedContext "
    "retrieved_context web chunk doc text_resource kwargs obj object record item hit derivedStructData "
    "derived_struct_data structData struct_data resource page_content chunkInfo document_metadata attributes "
    "structuredContent additionalProperties data"
).split()

DOCUMENT_IDS = ("id", "id_", "_id", "doc_id", "document_id", "node_id", "file_id", "chunk_id", "uuid", "pk")

DOCUMENT_SCORES = ("score", "distance", "_score", "@search.score", "similarity", "sim", "relevance_score", "rank")

# What an answer cannot rest on, in a record that has no text.
DOCUMENT_SIDES = frozenset(
    "type vector embedding vectors embeddings sparse_values values __class__ lc class_name index position certainty "
    "version shard_key order_value namespace _index _type metadata meta uri mimeType mime_type relationships hash "
    "excluded_embed_metadata_keys excluded_llm_metadata_keys start_char_idx end_char_idx".split()
).union(DOCUMENT_IDS, DOCUMENT_SCORES)
