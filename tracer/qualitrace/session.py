"""Who is asking: session, user and prompt version, put on every span that starts inside."""

from collections.abc import Generator, Mapping
from contextlib import contextmanager

from opentelemetry.context import Context, attach, create_key, detach, get_value, set_value

_KEY = create_key("qualitrace.session")


@contextmanager
def session(
    session_id: str | None = None, *, user: str | None = None, prompt_version: str | None = None
) -> Generator[None]:
    """Put session, user and prompt version on every span started in the block, in async code and threads'
    copied contexts too. An inner session adds to the outer one.

    Args:
        session_id: becomes `session.id` and `gen_ai.conversation.id`.
        user: becomes `user.id`.
        prompt_version: becomes `qualitrace.prompt.version`; quality is estimated for each version.
    """
    given = {
        "session.id": session_id,
        "gen_ai.conversation.id": session_id,
        "user.id": user,
        "qualitrace.prompt.version": prompt_version,
    }
    attributes = {key: str(value) for key, value in given.items() if value is not None}
    token = attach(set_value(_KEY, {**session_attributes(None), **attributes}))
    try:
        yield
    finally:
        detach(token)


def session_attributes(context: Context | None) -> Mapping[str, str]:
    """Return the attributes of the session in `context`; without one there, or without a context, the current one's."""
    for candidate in (context, None):
        if isinstance(found := get_value(_KEY, candidate), dict):
            return found
    return {}
