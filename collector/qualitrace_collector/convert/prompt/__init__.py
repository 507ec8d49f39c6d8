"""The question in a prompt, and the material that the prompt gives to answer it from."""

from qualitrace_collector.convert.prompt.split import split_prompt

__all__ = ["split_prompt"]
