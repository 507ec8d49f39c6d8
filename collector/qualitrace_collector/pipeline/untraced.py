"""Finds which libraries a trace shows to be in use and not traced.

qualitrace's SDK names those that the application has imported. Other clients do not, but the prompts of some
frameworks are known by their words.
"""

from qualitrace.libraries.table import libraries
from qualitrace.untraced import ATTRIBUTE
from qualitrace_collector.convert.mlflow_span import json_text
from qualitrace_collector.convert.span_draft import CALL_TYPES
from qualitrace_collector.pipeline.stored_trace import StoredTrace

# Characters of a prompt in which a framework's words are looked for: they stand at its beginning.
MAX_PROMPT = 5_000

# What frameworks write into their prompts unless the application replaces it.
_PROMPTS = {
    "Your personal goal is:": "crewai",
    "You are an expert assistant who can solve any task using": "smolagents",
    "You are an expert Q&A system that is trusted around the world.": "llama-index",
    "Use the context information below to assist the user.": "llama-index",
    "Reply with TERMINATE when the task has been completed": "autogen",
    "[[ ## completed ## ]]": "dspy",
    "You are part of a multi-agent system called the Agents SDK": "openai-agents",
}


def untraced_libraries(trace: StoredTrace) -> set[str]:
    """Return the names of qualitrace's table of libraries."""
    root = trace.root
    named = root.get_attribute(ATTRIBUTE)
    found = {name for name in named if isinstance(name, str)} if isinstance(named, list) else set[str]()
    if root.span_type in CALL_TYPES and not root.parent_id:
        prompt = (json_text(root, "mlflow.spanInputs") or "")[:MAX_PROMPT]
        found |= {library for words, library in _PROMPTS.items() if words in prompt}
    return found & libraries().keys()
