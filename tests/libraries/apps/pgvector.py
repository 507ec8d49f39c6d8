# /// script
# dependencies = [
#   "pgvector>=0.5,<0.6", "pgserver>=0.1.4", "psycopg[binary]>=3.2,<4", "psycopg2-binary>=2.9,<3", "asyncpg>=0.30,<1",
#   "sqlalchemy[asyncio]>=2,<3", "numpy>=2,<3", "openai>=3,<4",
# ]
# ///
"""PostgreSQL with pgvector: by psycopg, psycopg2, asyncpg and SQLAlchemy."""

import asyncio
import contextlib
import os
import tempfile

import openai
import pgserver

import qualitrace

OPTIONS = {"base_url": os.environ["LLM"] + "/v1", "api_key": "k", "max_retries": 0}
QUESTION = "How long is the warranty of a tent?"
TEXTS = [
    "Tents have a warranty of 24 months.",
    "Sleeping bags are washed at 30 degrees.",
    "The shop in Oslo opens at 9.",
]
NEAREST = "SELECT id, content, source, embedding <-> {} AS distance FROM faq ORDER BY distance LIMIT 2"


def vector(text):
    return [1.0 + text.lower().count(word) for word in ("warranty", "tent", "shop")]


@contextlib.contextmanager
def database():
    """Run a PostgreSQL with a table of passages; return its address."""
    with tempfile.TemporaryDirectory() as folder, pgserver.get_server(folder) as server:
        server.psql(
            "CREATE EXTENSION vector; CREATE TABLE faq (id text, content text, source text, embedding vector(3))"
        )
        for n, text in enumerate(TEXTS):
            server.psql(f"INSERT INTO faq VALUES ('faq-{n}', '{text}', 'faq-{n}.md', '{vector(text)}')")
        yield server.get_uri()


def ask(question, passages):
    prompt = f"Answer from these passages:\n\n{passages}\n\nQuestion: {question}"
    done = openai.OpenAI(**OPTIONS).chat.completions.create(
        model="gpt-5-mini", messages=[{"role": "user", "content": prompt}]
    )
    return done.choices[0].message.content


def rag():
    import psycopg
    from pgvector import Vector
    from pgvector.psycopg import register_vector

    with database() as address, psycopg.connect(address) as connection:
        register_vector(connection)

        @qualitrace.trace
        def answer(question):
            found = connection.execute(NEAREST.format("%s"), [Vector(vector(question))]).fetchall()
            return ask(question, "\n".join(row[1] for row in found))

        with qualitrace.session("session-1", user="ada"):
            answer(QUESTION)


def other_rows():
    """The app gets its rows in the form that it chose, from the first one on, and other statements make no span."""
    import pgvector.psycopg
    import psycopg
    from psycopg.rows import dict_row, scalar_row

    with database() as address, psycopg.connect(address, row_factory=dict_row) as connection:
        pgvector.psycopg.register_vector(connection)
        assert connection.execute("SELECT 1 AS one").fetchone() == {"one": 1}
        with connection.cursor(row_factory=scalar_row) as cursor:
            cursor.execute("SELECT content FROM faq ORDER BY embedding <-> %s::vector LIMIT 1", [vector(QUESTION)])
            assert cursor.fetchall() == TEXTS[:1]
        cursor = connection.execute(
            "SELECT *, 1 - (embedding <=> %(asked)s::vector) AS similarity FROM faq ORDER BY similarity DESC LIMIT 2",
            {"asked": str(vector(QUESTION))},
        )
        assert [row["id"] for row in cursor] == ["faq-0", "faq-1"]


def hybrid():
    import numpy
    import psycopg
    from pgvector.psycopg import register_vector
    from psycopg import sql

    statement = sql.SQL(
        "WITH near AS (SELECT *, embedding <-> %(vector)s AS d FROM faq ORDER BY d LIMIT 2) SELECT content, source, d "
        "FROM {} WHERE to_tsvector('english', content) @@ websearch_to_tsquery('english', %(asked)s) ORDER BY d"
    ).format(sql.Identifier("near"))
    with database() as address, psycopg.connect(address) as connection:
        register_vector(connection)
        connection.execute(statement, {"asked": "tent warranty", "vector": numpy.array(vector(QUESTION))}).fetchall()


def error():
    import psycopg
    from pgvector import Vector
    from pgvector.psycopg import register_vector

    with database() as address, psycopg.connect(address) as connection:
        register_vector(connection)

        @qualitrace.trace
        def answer(question):
            return connection.execute(NEAREST.format("%s"), [Vector([1.0])]).fetchall()

        with contextlib.suppress(psycopg.Error):
            answer(QUESTION)


def asynchronous():
    import psycopg
    from pgvector import Vector
    from pgvector.psycopg import register_vector_async

    async def main(address):
        async with await psycopg.AsyncConnection.connect(address) as connection:
            await register_vector_async(connection)

            @qualitrace.trace
            async def answer(question):
                found = await connection.execute(NEAREST.format("%s"), [Vector(vector(question))])
                return ask(question, "\n".join([row[1] async for row in found]))

            await answer(QUESTION)

    with database() as address:
        asyncio.run(main(address))


def asyncpg():
    import asyncpg
    from pgvector.asyncpg import register_vector

    async def main(address):
        async with asyncpg.create_pool(address, init=register_vector, min_size=1) as pool:

            @qualitrace.trace
            async def answer(question):
                found = await pool.fetch(NEAREST.format("$1"), vector(question))
                return ask(question, "\n".join(row["content"] for row in found))

            await answer(QUESTION)

    with database() as address:
        asyncio.run(main(address))


def psycopg2():
    import psycopg2
    from pgvector.psycopg2 import register_vector

    with database() as address, contextlib.closing(psycopg2.connect(address)) as connection:
        register_vector(connection)

        @qualitrace.trace
        def answer(question):
            with connection.cursor() as cursor:
                cursor.execute(NEAREST.format("%s::vector"), (vector(question),))
                return ask(question, "\n".join(row[1] for row in cursor.fetchall()))

        answer(QUESTION)


def _entity():
    from pgvector.sqlalchemy import Vector
    from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

    class Base(DeclarativeBase):
        pass

    class Faq(Base):
        __tablename__ = "faq"
        id: Mapped[str] = mapped_column(primary_key=True)
        content: Mapped[str]
        source: Mapped[str]
        embedding = mapped_column(Vector(3))

    return Faq


def _sqlalchemy(driver):
    from sqlalchemy import create_engine, select
    from sqlalchemy.orm import Session

    faq = _entity()
    with (
        database() as address,
        Session(create_engine(address.replace("postgresql:", f"postgresql+{driver}:"))) as session,
    ):

        @qualitrace.trace
        def answer(question):
            distance = faq.embedding.cosine_distance(vector(question))
            found = session.execute(select(faq, distance.label("distance")).order_by(distance).limit(2)).all()
            return ask(question, "\n".join(row.Faq.content for row in found))

        answer(QUESTION)


def psycopg2_rows():
    """Cursors and rows are of the class that the app chose, in each of the ways to choose it."""
    import psycopg2
    from pgvector.psycopg2 import register_vector
    from psycopg2.extras import NamedTupleConnection, RealDictConnection, RealDictCursor

    ways = (
        ({"connection_factory": RealDictConnection}, {}, lambda row: row["id"]),
        ({"connection_factory": NamedTupleConnection}, {}, lambda row: row.id),
        ({}, {"cursor_factory": RealDictCursor}, lambda row: row["id"]),
    )
    with database() as address:
        for of_connection, of_cursor, read in ways:
            with (
                contextlib.closing(psycopg2.connect(address, **of_connection)) as connection,
                connection.cursor(**of_cursor) as cursor,
            ):
                register_vector(connection)
                cursor.execute(NEAREST.format(f"'{vector(QUESTION)}'"))
                assert [read(row) for row in cursor.fetchall()] == ["faq-0", "faq-1"]


def sqlalchemy():
    _sqlalchemy("psycopg")


def sqlalchemy_query():
    """The older way to ask, which names columns by their tables."""
    from sqlalchemy import create_engine
    from sqlalchemy.orm import Session

    faq = _entity()
    with (
        database() as address,
        Session(create_engine(address.replace("postgresql:", "postgresql+psycopg:"))) as session,
    ):
        distance = faq.embedding.l2_distance(vector(QUESTION))
        assert [row.id for row, _ in session.query(faq, distance).order_by(distance).limit(2)] == ["faq-0", "faq-1"]


def sqlalchemy_psycopg2():
    _sqlalchemy("psycopg2")


def sqlalchemy_asynchronous():
    from sqlalchemy import select
    from sqlalchemy.ext.asyncio import AsyncSession, create_async_engine

    faq = _entity()

    async def main(address):
        async with AsyncSession(create_async_engine(address)) as session:

            @qualitrace.trace
            async def answer(question):
                nearest = select(faq).order_by(faq.embedding.l2_distance(vector(question))).limit(2)
                return ask(question, "\n".join(row.content for row in await session.scalars(nearest)))

            await answer(QUESTION)

    for driver in ("psycopg", "asyncpg"):
        with database() as address:
            asyncio.run(main(address.replace("postgresql:", f"postgresql+{driver}:")))
