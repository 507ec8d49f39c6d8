"""Queries of vectors in PostgreSQL: SQL with pgvector's operators and functions that psycopg or asyncpg sends."""

import re
from collections.abc import Generator, Iterable, Mapping, Sequence
from contextlib import contextmanager
from functools import lru_cache, partial
from typing import Any

import wrapt

from qualitrace.libraries.retrieval import has_span
from qualitrace.quiet import never_raises
from qualitrace.serialize import as_mapping
from qualitrace.spans import Span, span

MAX_ROWS = 100  # a larger result is not material for an answer

_SELECT = re.compile(r"\s*(?:select|with)\b", re.IGNORECASE)
_DISTANCE = re.compile(
    r"<(?:->|#>|=>|\+>|~>|%>)|\b(?:(?:l1|l2|cosine|hamming|jaccard)_distance|inner_product)\s*\(", re.IGNORECASE
)
# PostGIS and pg_trgm have operators of the same names, so that a vector must be there, too.
_VECTOR = re.compile(r"\s*[\[{]\s*-?\d")
_VECTOR_IN_SQL = re.compile(r"'\s*\[\s*-?\d|::\s*(?:vector|halfvec|sparsevec|bit)\b", re.IGNORECASE)
_FULL_TEXT = re.compile(r"tsquery\s*\(", re.IGNORECASE)
# How PostgreSQL and SQLAlchemy call a column that has no name: here that is a distance.
_EXPRESSIONS = ("?column?", "anon_1")
_TABLE = re.compile(r"\bfrom\s+([\w.\"]+)", re.IGNORECASE)


def pgvector() -> None:
    """Trace queries of vectors that psycopg, psycopg2 and asyncpg send, also for SQLAlchemy."""
    for module, wrap in (("psycopg", _wrap_psycopg), ("psycopg2", _wrap_psycopg2), ("asyncpg", _wrap_asyncpg)):
        wrapt.register_post_import_hook(wrap, module)


@never_raises
def _wrap_psycopg(module: Any) -> None:
    wrapt.wrap_function_wrapper(module, "Cursor.execute", _execute)
    wrapt.wrap_function_wrapper(module, "AsyncCursor.execute", _execute_async)


@never_raises
def _wrap_psycopg2(module: Any) -> None:
    wrapt.wrap_function_wrapper(module, "connect", partial(_connect, module.extensions))
    wrapt.register_post_import_hook(_wrap_extras, "psycopg2.extras")


@never_raises
def _wrap_extras(module: Any) -> None:
    for kind in ("DictCursor", "RealDictCursor", "NamedTupleCursor"):
        wrapt.wrap_function_wrapper(module, f"{kind}.execute", _execute_psycopg2)


@never_raises
def _wrap_asyncpg(_: Any) -> None:
    for module, kind in (
        ("connection", "Connection"),
        ("pool", "PoolConnectionProxy"),
        ("prepared_stmt", "PreparedStatement"),
    ):
        for method in ("fetch", "fetchrow"):
            wrapt.wrap_function_wrapper(f"asyncpg.{module}", f"{kind}.{method}", _fetch)


# --- psycopg: a cursor keeps the rows of its result, so that they can be read twice ---


def _execute(wrapped: Any, cursor: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    sql, values = _sent(cursor, *args, **kwargs) or ("", ())
    if not searches_vectors(sql, values) or has_span():
        return wrapped(*args, **kwargs)
    with _query(sql, values) as current:
        result = wrapped(*args, **kwargs)
        _record(current, sql, _rows(cursor), cursor)
        return result


async def _execute_async(wrapped: Any, cursor: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    sql, values = _sent(cursor, *args, **kwargs) or ("", ())
    if not searches_vectors(sql, values) or has_span():
        return await wrapped(*args, **kwargs)
    with _query(sql, values) as current:
        result = await wrapped(*args, **kwargs)
        _record(current, sql, await _rows_async(cursor), cursor)
        return result


def _execute_psycopg2(wrapped: Any, cursor: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    if cursor.name is not None:  # it fetches from the server, row by row
        return wrapped(*args, **kwargs)
    return _execute(wrapped, cursor, args, kwargs)


def _connect(extensions: Any, wrapped: Any, _: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    connection = wrapped(*args, **kwargs)
    _trace_cursors(extensions, connection)
    return connection


@never_raises
def _trace_cursors(extensions: Any, connection: Any) -> None:
    """Give a connection of psycopg2 cursors that are traced; its own class is written in C and takes no wrapper.

    A class of connections that chooses the cursors itself keeps its own.
    """
    kind = connection.cursor_factory
    if kind is None and type(connection).cursor is extensions.connection.cursor:
        kind = extensions.cursor
    if isinstance(kind, type) and issubclass(kind, extensions.cursor):
        connection.cursor_factory = _traced(kind)


@lru_cache(maxsize=100)  # classes of cursors are few
def _traced(kind: Any) -> Any:
    class Cursor(kind):
        def execute(self, *args: Any, **kwargs: Any) -> Any:
            return _execute_psycopg2(super().execute, self, args, kwargs)

    return Cursor


@never_raises
def _sent(cursor: Any, query: Any, params: Any = None, **more: Any) -> tuple[str, list[Any]]:
    params = more.get("vars", params)  # psycopg2's name
    sql = query.decode() if isinstance(query, bytes) else query if isinstance(query, str) else query.as_string(cursor)
    return sql, list(params.values() if isinstance(params, Mapping) else params or ())


@never_raises
def _rows(cursor: Any) -> list[Any]:
    rows = cursor.fetchmany(MAX_ROWS) if cursor.rownumber == 0 and cursor.description else []
    if rows:
        cursor.scroll(0, "absolute")
    return rows


async def _rows_async(cursor: Any) -> list[Any]:
    try:
        rows = await cursor.fetchmany(MAX_ROWS) if cursor.rownumber == 0 else []
        if rows:
            await cursor.scroll(0, "absolute")
    except Exception:  # of the app's row factory; the app meets it when it fetches
        return []
    return rows


# --- asyncpg ---


async def _fetch(wrapped: Any, sender: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    prepared = hasattr(sender, "get_query")
    sql = sender.get_query() if prepared else args[0] if args else kwargs.get("query", "")
    values = args if prepared else args[1:]
    if not searches_vectors(sql, values) or has_span():
        return await wrapped(*args, **kwargs)
    with _query(sql, values) as current:
        found = await wrapped(*args, **kwargs)
        _record(current, sql, found if isinstance(found, list) else [] if found is None else [found])
        return found


# --- both ---


def searches_vectors(sql: Any, values: Iterable[Any]) -> bool:
    """Whether a statement with these values looks for the rows that are near to a vector."""
    return (
        isinstance(sql, str)
        and bool(_SELECT.match(sql) and _DISTANCE.search(sql))
        and bool(_VECTOR_IN_SQL.search(sql) or any(map(_is_vector, values)))
    )


def _is_vector(value: Any) -> bool:
    if isinstance(value, str):
        return bool(_VECTOR.match(value))
    if isinstance(value, (list, tuple)):
        return bool(value) and isinstance(value[0], (int, float))
    return hasattr(value, "to_list") or hasattr(value, "tolist")  # pgvector's, NumPy's


@contextmanager
def _query(sql: str, values: Iterable[Any]) -> Generator[Span]:
    with span("pgvector.select", kind="retriever") as current:
        current.set_attribute("db.system.name", "postgresql")
        if table := _table(sql):
            current.set_attribute("db.collection.name", table)
        texts = [value for value in values if isinstance(value, str) and not _is_vector(value)]
        if texts and _FULL_TEXT.search(sql):
            current.set_inputs(max(texts, key=len))  # the other one is the name of a language
        yield current


def _table(sql: str) -> str:
    found = _TABLE.search(sql)
    return found[1].replace('"', "") if found else ""


@never_raises
def _record(current: Span, sql: str, rows: Sequence[Any] | None, cursor: Any = None) -> None:
    columns = [column[0] for column in cursor.description or ()] if cursor else []
    prefix = f"{_table(sql).rpartition('.')[2]}_"  # SQLAlchemy's `Query` puts it before each name
    named = [_by_name(row, columns) for row in (rows or ())[:MAX_ROWS]]
    current.set_outputs([{_plain(name, prefix): value for name, value in row.items()} for row in named])


def _by_name(row: Any, columns: Iterable[str]) -> Mapping[str, Any]:
    """Return a row by the names of its columns, whichever form the app chose."""
    if hasattr(row, "keys"):
        return dict(row)
    if isinstance(row, (list, tuple)):
        return dict(zip(columns, row, strict=False))
    return as_mapping(row) or getattr(row, "__dict__", None) or dict.fromkeys(list(columns)[:1], row)


def _plain(name: str, prefix: str) -> str:
    return "distance" if name in _EXPRESSIONS else name.removeprefix(prefix)
