"""Reads what people asked and what applications answered from the many forms in which libraries record it."""

from qualitrace_collector.convert.content.answer import answer_text
from qualitrace_collector.convert.content.documents import documents
from qualitrace_collector.convert.content.messages import messages_in
from qualitrace_collector.convert.content.opening import at, encodable, opened
from qualitrace_collector.convert.content.question import earlier_turns, question_text

__all__ = ["answer_text", "at", "documents", "earlier_turns", "encodable", "messages_in", "opened", "question_text"]
