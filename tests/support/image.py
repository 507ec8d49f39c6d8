"""Builds the Dockerfiles and runs what comes out, on Debian's own Python where no other base image can be had.

`python -m support.image`, as root, with Debian's packages buildah and mmdebstrap. The container's root file system is
read-only and its user has a number alone, as in production. It takes minutes.
"""

import json
import os
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

from support.ports import free_port
from support.waiting import eventually
from support.web import program

ROOT = Path(__file__).parents[2]
SUITE = "trixie"  # its Python is that of the Dockerfile's base image
USER = "10001:10001"
_CERTIFICATES = "/etc/ssl/certs/ca-certificates.crt"


class Buildah:
    """Buildah with storage of its own in `folder`; it needs neither a daemon nor a network of containers."""

    def __init__(self, folder: Path) -> None:
        places = ["--root", str(folder / "storage"), "--runroot", str(folder / "run"), "--storage-driver", "vfs"]
        self._command = [program("buildah", "buildah"), *places]

    def __call__(self, *arguments: str) -> str:
        """Run a command of buildah; return what it prints, and show its errors."""
        environment = os.environ | {"BUILDAH_ISOLATION": "chroot"}
        return subprocess.run(
            [*self._command, *arguments], env=environment, stdout=subprocess.PIPE, text=True, check=True
        ).stdout.strip()

    def build(self, *arguments: str) -> None:
        """Build an image; `RUN` sees this machine's certificates, as its registries may need them."""
        certificates = [f"--volume={_CERTIFICATES}:{_CERTIFICATES}:ro"] if Path(_CERTIFICATES).exists() else []
        self("build-using-dockerfile", "--quiet", "--format=docker", *certificates, *arguments)


def _base(buildah: Buildah, folder: Path) -> str:
    """Make a base image of Debian with Python."""
    (base := folder / "base").mkdir()
    packages = "--include=python3-venv,ca-certificates"
    subprocess.run(
        [program("mmdebstrap", "mmdebstrap"), "--quiet", "--variant=minbase", packages, SUITE, base / "root.tar"],
        check=True,
    )
    (base / "Containerfile").write_text("FROM scratch\nADD root.tar /\n")
    buildah.build("--tag=localhost/debian-python", "--file", str(base / "Containerfile"), str(base))
    return "localhost/debian-python"


@contextmanager
def _container(
    root: Path, volume: Path, command: list[str], settings: list[str], log: IO[bytes] | None = None
) -> Generator[subprocess.Popen[bytes]]:
    """Run a command in `root`, which it cannot write, as the image's user; its volume and /tmp can be written.

    Without a `log` nobody sees what it prints.
    """
    script = """
        mount --make-rprivate / && mount --bind "$1" "$1" && mount -o remount,bind,ro "$1"
        mount -t tmpfs tmpfs "$1/tmp" && mount --bind "$2" "$1/var/lib/qualitrace" && mount -t proc proc "$1/proc"
        mount --bind /dev "$1/dev"
        root="$1"; user="$3"; shift 3
        exec chroot --userspec="$user" "$root" "$@"
    """
    inside = ["env", "-i", *settings, "sh", "-c", 'cd /var/lib/qualitrace && exec "$@"', "sh", *command]
    arguments = [str(root), str(volume), USER, *inside]
    output = log or subprocess.DEVNULL
    process = subprocess.Popen(
        ["unshare", "--mount", "sh", "-euc", script, "sh", *arguments], stdout=output, stderr=output
    )
    try:
        yield process
    finally:
        process.terminate()
        process.wait(60)


def check(folder: Path) -> None:
    """Build both images and try them."""
    started, buildah = time.monotonic(), Buildah(folder)
    base = _base(buildah, folder)
    print(f"{time.monotonic() - started:5.0f} s  base image of Debian {SUITE}", flush=True)
    check_injection(folder, buildah, base)
    print(f"{time.monotonic() - started:5.0f} s  an application is traced by what the Operator injects", flush=True)
    check_server(folder, buildah, base)
    print(f"{time.monotonic() - started:5.0f} s  the server's image is right", flush=True)


def check_injection(folder: Path, buildah: Buildah, base: str) -> None:
    """Build the image for the Operator; run an application with its folder, and the PYTHONPATH that the Operator sets."""
    bases = [f"--build-arg={name}_IMAGE={base}" for name in ("PYTHON", "BUSYBOX")]
    dockerfile = ROOT / "deploy" / "kubernetes" / "Dockerfile.injection"
    buildah.build("--tag=localhost/injection", *bases, "--file", str(dockerfile), str(ROOT))
    root = Path(buildah("mount", buildah("from", "localhost/injection")))
    assert _others_files(root / "autoinstrumentation") == []
    (volume := folder / "application").mkdir()
    (root / "var/lib/qualitrace").mkdir()
    application = "import qualitrace; qualitrace.trace(lambda question: 'Yes.')('Do you ship?')"
    place = "/autoinstrumentation"
    path = f"PYTHONPATH={place}/opentelemetry/instrumentation/auto_instrumentation:{place}"
    settings = ["PATH=/usr/bin:/bin", path, "QUALITRACE_CONSOLE=only"]
    with (folder / "application.log").open("w+b") as log:
        with _container(root, volume, ["python3", "-c", application], settings, log) as process:
            assert process.wait(120) == 0
        printed = (folder / "application.log").read_text()
    assert "Do you ship? → Yes." in printed, printed


def check_server(folder: Path, buildah: Buildah, base: str) -> None:
    """Build the image, start the server, ask its health, write where nothing may be written, and stop it."""
    started = time.monotonic()
    arguments = ["--build-arg", f"PYTHON_IMAGE={base}", "--file", str(ROOT / "deploy" / "Dockerfile")]
    buildah.build("--tag=localhost/qualitrace", *arguments, str(ROOT))
    print(f"{time.monotonic() - started:5.0f} s  image", flush=True)
    image: dict[str, Any] = json.loads(buildah("inspect", "--type=image", "localhost/qualitrace"))["Docker"]["config"]
    assert image["User"] == USER
    assert image["Labels"]["org.opencontainers.image.title"] == "qualitrace"
    root = Path(buildah("mount", buildah("from", "localhost/qualitrace")))
    assert _others_files(root / "opt" / "qualitrace") == [], "only root may change programs"
    (volume := folder / "volume").mkdir()
    os.chown(volume, 10001, 10001)
    web, otlp_http, otlp_grpc = (f"127.0.0.1:{free_port()}" for _ in range(3))
    listen = {"otlp_http": otlp_http, "otlp_grpc": otlp_grpc, "web": web}
    config = {"listen": listen, "data_dir": "/var/lib/qualitrace/data"}
    (root / "etc/qualitrace/qualitrace.yaml").write_text(json.dumps(config))
    settings = [*image["Env"], f"HEALTH_URL=http://{web}/healthz"]
    health = image["Healthcheck"]["Test"][1:]
    log = (folder / "serve.log").open("w+b")
    with log, _container(root, volume, [*image["Entrypoint"], *image["Cmd"]], settings, log) as server:

        def is_healthy() -> bool:
            assert server.poll() is None, (folder / "serve.log").read_text()[-3000:]
            with _container(root, volume, health, settings) as asked:
                return asked.wait(30) == 0

        eventually(is_healthy, timeout=240, interval=1)
        print(f"{time.monotonic() - started:5.0f} s  healthy, by the image's own health check", flush=True)
        with _container(root, volume, ["touch", "/etc/qualitrace/x"], settings) as touched:
            assert touched.wait(30) != 0, "the root file system can be written"
        modes = {path.name: (path.stat().st_uid, oct(path.stat().st_mode & 0o777)) for path in volume.iterdir()}
        assert modes == {"data": (10001, "0o700")}, modes
        stopped = time.monotonic()
        server.send_signal(signal.SIGTERM)
        assert server.wait(30) == 0
        print(f"{time.monotonic() - stopped:5.1f} s  from SIGTERM to the end, with status 0", flush=True)


def _others_files(folder: Path) -> list[Path]:
    return [path for path in folder.rglob("*") if not path.is_symlink() and path.stat().st_mode & 0o022]


def main() -> None:
    """Do it in a folder that is removed afterwards."""
    folder = Path(tempfile.mkdtemp(prefix="qualitrace-image-"))
    try:
        check(folder)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    main()
