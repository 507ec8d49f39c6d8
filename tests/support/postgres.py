"""A real PostgreSQL of Debian's package, in a folder of its own on a free loopback port."""

import os
import pwd
import shutil
import subprocess
import tempfile
from collections.abc import Generator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import sqlalchemy
from mlflow.store.tracking.sqlalchemy_store import SqlAlchemyStore

from support.ports import free_port

SERVER_USER = "postgres"
FAST = {"fsync": "off"}
"""Settings of a server whose data need not outlive this machine."""


def _binary(name: str) -> str:
    found = shutil.which(name) or next(map(str, sorted(Path("/usr/lib/postgresql").glob(f"*/bin/{name}"))), None)
    assert found, f"the tests need PostgreSQL's {name}: run tests/install-services"
    return found


def _run(*command: str) -> None:
    """Run a command as a user that the server accepts: it refuses to run as root."""
    user = SERVER_USER if os.getuid() == 0 else None
    result = subprocess.run(command, user=user, cwd="/", capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr


class Postgres:
    """A server that can be stopped, started, restarted, and followed by a standby.

    Attributes:
        uri: up to the last slash and without a password.

    Args:
        folder: of its own; it is given to the user that the server runs as. What another run left in it is used again.
        port: a free one by default.
        user: the superuser.
        password: what the user has to show; by default nothing.
        settings: of postgresql.conf.
    """

    def __init__(
        self,
        folder: Path,
        port: int | None = None,
        user: str = "postgres",
        password: str = "",
        settings: Mapping[str, str] = FAST,
    ) -> None:
        self.port = port or free_port()
        self.uri = f"postgresql://{user}@127.0.0.1:{self.port}/"
        self._admin = f"postgresql://{user}:{password}@127.0.0.1:{self.port}/" if password else self.uri
        self._folder, self._data = folder, folder / "data"
        self._user, self._password = user, password
        self._settings = {"listen_addresses": "127.0.0.1", "unix_socket_directories": str(folder), **settings}

    def start(self) -> "Postgres":
        """Start it; make its files first if there are none."""
        if not self._data.exists():
            self._make()
        options = " ".join(f"-c {name}={value}" for name, value in self._settings.items())
        log = str(self._folder / "log")
        _run(_binary("pg_ctl"), "-D", str(self._data), "-o", f"{options} -p {self.port}", "-l", log, "-w", "start")
        return self

    def stop(self, mode: str = "immediate") -> None:
        """Stop it: `immediate` is a crash, `fast` ends connections in order."""
        _run(_binary("pg_ctl"), "-D", str(self._data), "-m", mode, "-w", "stop")

    def standby(self, folder: Path) -> "Postgres":
        """Make a hot standby that follows this server, and start it."""
        made = Postgres(folder, user=self._user, password=self._password, settings=self._settings)
        made._settings["unix_socket_directories"] = str(folder)
        _own(folder)
        _run(_binary("pg_basebackup"), "-D", str(made._data), "-d", self._admin, "-R", "-X", "stream", "-c", "fast")
        return made.start()

    def promote(self) -> None:
        """Let a standby take writes."""
        _run(_binary("pg_ctl"), "-D", str(self._data), "-w", "promote")

    def configure(self, **settings: str) -> None:
        """Change settings that need no restart, for sessions that there are too."""
        self.execute(*(f"ALTER SYSTEM SET {name} = '{value}'" for name, value in settings.items()))
        self.execute("SELECT pg_reload_conf()")

    def execute(self, *statements: str, database: str = "postgres") -> Sequence[Any]:
        """Execute statements as the superuser, each in a transaction of its own; return the rows of the last."""
        engine = sqlalchemy.create_engine(
            self._admin + database, isolation_level="AUTOCOMMIT", poolclass=sqlalchemy.NullPool
        )
        found: Sequence[Any] = ()
        with engine.connect() as connection:
            for statement in statements:
                result = connection.exec_driver_sql(statement)
                found = result.all() if result.returns_rows else ()
        return found

    def _make(self) -> None:
        _own(self._folder)
        (secret := self._folder / "password").write_text(self._password or "none")
        secret.chmod(0o644)
        way = ["-A", "scram-sha-256"] if self._password else ["-A", "trust"]
        words = ["-D", str(self._data), "-U", self._user, *way, "--pwfile", str(secret), "-E", "UTF8", "--no-sync"]
        _run(_binary("initdb"), *words)


def _own(folder: Path) -> None:
    if os.getuid() == 0:
        os.chown(folder, pwd.getpwnam(SERVER_USER).pw_uid, -1)


@contextmanager
def postgres_folder(name: str = "postgres") -> Generator[Path]:
    """Make a folder that a server's user can reach, and remove it at the end."""
    folder = Path(tempfile.mkdtemp(prefix=f"qualitrace-test-{name}-"))
    try:
        yield folder
    finally:
        shutil.rmtree(folder)


@contextmanager
def running_postgres(
    port: int | None = None, user: str = "postgres", password: str = "", database: str = ""
) -> Generator[str]:
    """Yield the URI of a server, up to the last slash and without a password.

    Args:
        port, user, password: as `Postgres` takes them.
        database: is made, beside the server's own.
    """
    with postgres_folder() as folder:
        server = Postgres(folder, port, user, password).start()
        try:
            if database:
                server.execute(f"CREATE DATABASE {database}")
            yield server.uri
        finally:
            server.stop()


class MlflowDatabases:
    """Makes databases with MLflow's empty tables on one server: PostgreSQL copies them in a fraction of the time."""

    def __init__(self, server: str) -> None:
        self._server = server
        self._count = 0
        self._create("mlflow_template")
        artifacts = Path(tempfile.gettempdir()).as_uri()
        SqlAlchemyStore(server + "mlflow_template", artifacts).engine.dispose()  # a template must have no connection

    def new(self) -> str:
        """Make a database; return its URI."""
        self._count += 1
        name = f"mlflow_{self._count}"
        self._create(f"{name} TEMPLATE mlflow_template")
        return self._server + name

    def _create(self, database: str) -> None:
        engine = sqlalchemy.create_engine(
            self._server + "postgres", isolation_level="AUTOCOMMIT", poolclass=sqlalchemy.NullPool
        )
        with engine.connect() as connection:
            connection.execute(sqlalchemy.text(f"CREATE DATABASE {database}"))
