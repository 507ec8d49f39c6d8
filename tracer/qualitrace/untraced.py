"""Imported libraries whose instrumentor is not installed: roots name them, for `qualitrace doctor`."""

ATTRIBUTE = "qualitrace.untraced_libraries"

_found: dict[str, None] = {}


def note_untraced(name: str) -> None:
    """Note a library by its name in the table."""
    _found[name] = None


def untraced_libraries() -> tuple[str, ...]:
    """Return the names, in the order of their import."""
    return tuple(_found)
