"""Who is asking: session, user and prompt version, put on every span that starts inside."""

from collections.abc import Generator, Mapping
from contextlib import contextmanager

from opentelemetry import trace as otel
from opentelemetry.context import Context, attach, create_key, detach, get_current, get_value, set_value

from qualitrace.quiet import never_raises

SESSION = "session.id"
USER = "user.id"
PROMPT_VERSION = "qualitrace.prompt.version"
ENVIRONMENT = "deployment.environment.name"

_CONVERSATION = "gen_ai.conversation.id"
_KEY = create_key("qualitrace.session")


@contextmanager
def session(
    session_id: str | None = None, *, user: str | None = None, prompt_version: str | None = None
) -> Generator[None]:
    """Put session, user and prompt version on every span started in the block, in async code and threads'
    copied contexts too. An inner session adds to the outer one. A web request in which the block begins gets them, too.

    Args:
        session_id: becomes `session.id` and `gen_ai.conversation.id`.
        user: becomes `user.id`.
        prompt_version: becomes `qualitrace.prompt.version`; quality is estimated for each version.
    """
    given = {SESSION: session_id, USER: user, PROMPT_VERSION: prompt_version}
    context = in_session(get_current(), {key: str(value) for key, value in given.items() if value is not None})
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
