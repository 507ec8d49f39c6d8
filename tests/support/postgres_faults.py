"""The ways in which a PostgreSQL under load goes away and comes back."""

import threading
from collections.abc import Callable, Generator
from contextlib import AbstractContextManager, ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import psycopg

from support.postgres import Postgres
from support.tcp_proxy import TcpProxy

APP, DATABASE = "app", "mlflow"
"""The role that the servers log in as, which owns MLflow's database."""

_OURS = f"FROM pg_stat_activity WHERE usename = '{APP}'"
_END_OURS = f"SELECT pg_terminate_backend(pid) {_OURS}"


@dataclass
class World:
    """Attributes: `postgres`, the server that takes writes; `standby`, a folder for another one."""

    postgres: Postgres
    proxy: TcpProxy
    standby: Path


class Fault(NamedTuple):
    """Attributes: `happening` brings it about and ends it; `lasts`, whether MLflow cannot be used all the time."""

    name: str
    happening: Callable[[World], AbstractContextManager[None]]
    lasts: bool = True


@contextmanager
def _restarted(world: World) -> Generator[None]:
    world.postgres.stop("fast")
    world.postgres.start()
    yield


@contextmanager
def _crashed(world: World) -> Generator[None]:
    world.postgres.stop("immediate")
    world.postgres.start()
    yield


@contextmanager
def _away(world: World) -> Generator[None]:
    world.postgres.stop("immediate")
    yield
    world.postgres.start()


@contextmanager
def _read_only(world: World) -> Generator[None]:
    world.postgres.configure(default_transaction_read_only="on")
    yield
    world.postgres.execute("ALTER SYSTEM RESET default_transaction_read_only", "SELECT pg_reload_conf()")


@contextmanager
def _of_role(world: World, setting: str, value: str) -> Generator[None]:
    world.postgres.execute(f"ALTER ROLE {APP} SET {setting} = '{value}'", _END_OURS)
    yield
    world.postgres.execute(f"ALTER ROLE {APP} RESET {setting}", _END_OURS)


def _statement_timeout(world: World) -> AbstractContextManager[None]:
    return _of_role(world, "statement_timeout", "1ms")


def _idle_timeout(world: World) -> AbstractContextManager[None]:
    return _of_role(world, "idle_in_transaction_session_timeout", "1ms")


@contextmanager
def _killer(world: World) -> Generator[None]:
    """End the sessions in the middle of what they do, several times a second."""
    stop = threading.Event()

    def kill() -> None:
        with psycopg.connect(world.postgres.uri + "postgres", autocommit=True) as connection:
            while not stop.wait(0.2):
                connection.execute(_END_OURS)

    thread = threading.Thread(target=kill)
    thread.start()
    yield
    stop.set()
    thread.join()


@contextmanager
def _no_connections(world: World) -> Generator[None]:
    """Take every connection that the server has."""
    with ExitStack() as taken:

        def take() -> None:
            with suppress(psycopg.OperationalError):
                while True:
                    taken.enter_context(psycopg.connect(world.postgres.uri + "postgres", autocommit=True))

        admin = taken.enter_context(psycopg.connect(world.postgres.uri + "postgres", autocommit=True))
        while admin.execute(f"SELECT count(*) {_OURS}").fetchone() != (0,):
            take()
            admin.execute(_END_OURS)
        take()
        yield


@contextmanager
def _role_limited(world: World) -> Generator[None]:
    world.postgres.execute(f"ALTER ROLE {APP} CONNECTION LIMIT 0", _END_OURS)
    yield
    world.postgres.execute(f"ALTER ROLE {APP} CONNECTION LIMIT -1")


@contextmanager
def _locked(world: World) -> Generator[None]:
    """Hold the lock of MLflow's largest table, as a migration or VACUUM FULL does."""
    with psycopg.connect(world.postgres.uri + DATABASE) as connection:
        connection.execute("LOCK TABLE spans, trace_info IN ACCESS EXCLUSIVE MODE")
        yield


@contextmanager
def _without_tables(world: World) -> Generator[None]:
    """Hide the tables, as while a backup is put back."""
    world.postgres.execute("ALTER SCHEMA public RENAME TO hidden", "CREATE SCHEMA public", database=DATABASE)
    yield
    world.postgres.execute("DROP SCHEMA public", "ALTER SCHEMA hidden RENAME TO public", database=DATABASE)


@contextmanager
def _standing_still(world: World) -> Generator[None]:
    world.proxy.hold()
    yield
    world.proxy.go_on()


@contextmanager
def _abandoned(world: World) -> Generator[None]:
    world.proxy.abandon()
    yield


@contextmanager
def _promoted(world: World) -> Generator[None]:
    """Lose the primary; its synchronous standby can be read at first, and is promoted at the end."""
    lost, world.postgres = world.postgres, world.postgres.standby(world.standby)
    lost.configure(synchronous_standby_names="*")
    lost.stop("immediate")
    world.proxy.upstream = world.postgres.port
    yield
    world.postgres.execute("ALTER SYSTEM RESET synchronous_standby_names", "SELECT pg_reload_conf()")
    world.postgres.promote()


FAULTS = (
    Fault("restart, fast", _restarted, lasts=False),
    Fault("restart, immediate", _crashed, lasts=False),
    Fault("away", _away),
    Fault("read-only", _read_only),
    Fault("no connection left", _no_connections),
    Fault("role's limit", _role_limited),
    Fault("statement timeout", _statement_timeout, lasts=False),
    Fault("idle in transaction", _idle_timeout, lasts=False),
    Fault("sessions ended", _killer, lasts=False),
    Fault("tables locked", _locked),
    Fault("tables away", _without_tables),
    Fault("proxy stands still", _standing_still),
    Fault("proxy forgets", _abandoned, lasts=False),
    Fault("standby promoted", _promoted),
)
