"""Commands as an operator runs them beside a server."""

import subprocess

from support.serving import QUALITRACE, Server, environment


def journal(server: Server, *arguments: str) -> str:
    """Run `qualitrace journal` with the server's configuration; return what it prints."""
    command, *rest = arguments
    done = subprocess.run(
        [*QUALITRACE, "journal", command, "--config", str(server.config_path), *rest],
        env=environment(),
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    return done.stdout
