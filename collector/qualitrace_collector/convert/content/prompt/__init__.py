"""The question in a prompt, and the material that the prompt gives to answer it from."""

from qualitrace_collector.convert.content.prompt.rendered import is_rendered
from qualitrace_collector.convert.content.prompt.split import split_prompt

__all__ = ["is_rendered", "split_prompt"]
