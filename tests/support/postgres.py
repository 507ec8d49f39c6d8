"""A real PostgreSQL of Debian's package, in a folder of its own on a free loopback port."""

import os
import pwd
import shutil
import subprocess
import tempfile
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

import sqlalchemy
from mlflow.store.tracking.sqlalchemy_store import SqlAlchemyStore

from support.ports import free_port

SERVER_USER = "postgres"


def _binary(name: str) -> str:
    found = shutil.which(name) or next(map(str, sorted(Path("/usr/lib/postgresql").glob(f"*/bin/{name}"))), None)
    assert found, f"the tests need PostgreSQL's {name}: run tests/install-services"
    return found


def _run(*command: str) -> None:
    """Run a command as a user that the server accepts: it refuses to run as root."""
    user = SERVER_USER if os.getuid() == 0 else None
    result = subprocess.run(command, user=user, cwd="/", capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr


@contextmanager
def running_postgres(
    port: int | None = None, user: str = "postgres", password: str = "", database: str = ""
) -> Generator[str]:
    """Yield the URI of a server, up to the last slash and without a password.

    Args:
        port: a free one by default.
        user: the superuser.
        password: what the user has to show; by default nothing.
        database: is made, beside the server's own.
    """
    folder = Path(tempfile.mkdtemp(prefix="qualitrace-test-postgres-"))
    if os.getuid() == 0:
        os.chown(folder, pwd.getpwnam(SERVER_USER).pw_uid, -1)
    data, port = folder / "data", port or free_port()
    (secret := folder / "password").write_text(password or "none")
    secret.chmod(0o644)
    way = ["-A", "scram-sha-256"] if password else ["-A", "trust"]
    _run(_binary("initdb"), "-D", str(data), "-U", user, *way, "--pwfile", str(secret), "-E", "UTF8", "--no-sync")
    options = f"-c listen_addresses=127.0.0.1 -p {port} -k {folder} -c fsync=off"
    _run(_binary("pg_ctl"), "-D", str(data), "-o", options, "-l", str(folder / "log"), "-w", "start")
    try:
        if database:
            _create(f"postgresql://{user}:{password}@127.0.0.1:{port}/postgres", database)
        yield f"postgresql://{user}@127.0.0.1:{port}/"
    finally:
        _run(_binary("pg_ctl"), "-D", str(data), "-m", "immediate", "-w", "stop")
        shutil.rmtree(folder)


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
        _create(self._server + "postgres", database)


def _create(server: str, database: str) -> None:
    engine = sqlalchemy.create_engine(server, isolation_level="AUTOCOMMIT", poolclass=sqlalchemy.NullPool)
    with engine.connect() as connection:
        connection.execute(sqlalchemy.text(f"CREATE DATABASE {database}"))
