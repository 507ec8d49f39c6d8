"""Who is asking, and with which prompt: session, user and prompt, put on every span that starts inside."""

from collections.abc import Generator, Mapping
from contextlib import contextmanager
from typing import Any

from opentelemetry import trace as otel
from opentelemetry.context import Context, attach, create_key, get_current, get_value, set_value

from qualitrace.quiet import detach, logger, never_raises
from qualitrace.serialize import to_text

SESSION = "session.id"
USER = "user.id"
PROMPT_VERSION = "qualitrace.prompt.version"
ENVIRONMENT = "deployment.environment.name"

# A prompt of a registry; PROMPT_VERSION is that of the app as a whole.
_REGISTERED_PROMPT = ("gen_ai.prompt.name", "gen_ai.prompt.version")
_CONVERSATION = "gen_ai.conversation.id"
_KEY = create_key("qualitrace.session")


@contextmanager
def session(
    session_id: str | None = None, *, user: str | None = None, prompt_version: str | None = None
) -> Generator[None]:
    """Put session, user and prompt version on every span started in the block, in async code and threads'
    copied contexts too. An inner session adds to the outer one. A web request in which the block begins gets them, too.

    >>> with qualitrace.session("chat-17", user="ada"), qualitrace.span("answer"):
    ...     pass

    Args:
        session_id: becomes `session.id` and `gen_ai.conversation.id`.
        user: becomes `user.id`.
        prompt_version: becomes `qualitrace.prompt.version`; quality is estimated for each version.
    """
    with _inside(in_session(get_current(), _texts({SESSION: session_id, USER: user, PROMPT_VERSION: prompt_version}))):
        yield


@contextmanager
def user(user_id: str) -> Generator[None]:
    """Put the user on every span started in the block, as `session(user=...)` does.

    >>> with qualitrace.user("ada"), qualitrace.span("answer"):
    ...     pass

    Args:
        user_id: becomes `user.id`.
    """
    with _inside(in_session(get_current(), _texts({USER: user_id}))):
        yield


@contextmanager
def prompt(prompt: Any, version: str | int | None = None) -> Generator[None]:
    """Put a prompt's name and version on every span started in the block.

    MLflow shows the trace's prompts, and quality is estimated for each. An inner prompt takes the outer one's place.

    >>> with qualitrace.prompt("answer", version=3), qualitrace.span("answer"):
    ...     pass

    A prompt of MLflow's registry brings both:

        loaded = mlflow.genai.load_prompt("prompts:/answer@production")
        with qualitrace.prompt(loaded):
            client.chat.completions.create(messages=loaded.format(question=question), ...)

    Args:
        prompt: its name, or an object that has `name` and `version`, such as `mlflow.genai.load_prompt` returns.
            The name becomes `gen_ai.prompt.name`.
        version: becomes `gen_ai.prompt.version`.
    """
    outer = {key: value for key, value in session_attributes(None).items() if key not in _REGISTERED_PROMPT}
    named = _texts(dict(zip(_REGISTERED_PROMPT, _described(prompt, version) or (), strict=False)))
    with _inside(set_value(_KEY, {**outer, **named})):
        yield


@never_raises
def _described(prompt: Any, version: str | int | None) -> tuple[Any, Any]:
    if isinstance(prompt, str):
        return prompt, version
    name = getattr(prompt, "name", None)
    if name is None:
        logger.warning("prompt() takes a name, or an object with name and version, not %s", type(prompt).__name__)
    return name, getattr(prompt, "version", None) if version is None else version


def _texts(given: Mapping[str, Any]) -> dict[str, str]:
    """Return what was given as text, without what has none."""
    texts = {key: _text(value) for key, value in given.items() if value is not None}
    return {key: text for key, text in texts.items() if text is not None}


@never_raises
def _text(value: Any) -> str:
    return to_text(str(value))[0]


@contextmanager
def _inside(context: Context) -> Generator[None]:
    _name_request(session_attributes(context))
    token = attach(context)
    try:
        yield
    finally:
        detach(token)


def in_session(context: Context, attributes: Mapping[str, str]) -> Context:
    """Return the context with these attributes added to those of its session."""
    if not attributes:
        return context
    if SESSION in attributes:
        attributes = {**attributes, _CONVERSATION: attributes[SESSION]}
    return set_value(_KEY, {**session_attributes(context), **attributes}, context)


def session_attributes(context: Context | None) -> Mapping[str, str]:
    """Return the attributes of the session in `context`; without one there, or without a context, the current one's."""
    for candidate in (context, None):
        if isinstance(found := get_value(_KEY, candidate), dict):
            return found
    return {}


@never_raises
def _name_request(attributes: Mapping[str, str]) -> None:
    """Put the session on the span of the web request that is being served: it began before the app knew the session."""
    span = otel.get_current_span()
    if span.is_recording() and getattr(span, "kind", None) is otel.SpanKind.SERVER:
        known = getattr(span, "attributes", None) or {}
        span.set_attributes({key: value for key, value in attributes.items() if key not in known})
