"""How fast judging goes: the local judges on one core, LLM judges against a fast fake provider."""
