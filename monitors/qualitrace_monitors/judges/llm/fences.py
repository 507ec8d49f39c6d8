"""The secret behind the fences of judged texts, made once for each data folder."""

import contextlib
import hashlib
import hmac
import os
import secrets
from pathlib import Path

FILE_NAME = "fences.key"
LENGTH = 32  # bytes: those of SHA-256, beyond which a key of HMAC gains nothing


class FenceKeyError(Exception):
    """The secret's file cannot be used; the message names it and says what to do."""


def new_key() -> bytes:
    """Make a secret that nothing keeps, for a run without a data folder."""
    return secrets.token_bytes(LENGTH)


def key_of(data_dir: Path) -> bytes:
    """Read the secret of a data folder; make it at the first call.

    It is kept so that the same text has the same fence after a restart: a provider caches the beginning of a prompt.

    Raises:
        FenceKeyError: its file cannot be read or written, or is damaged.
    """
    path = data_dir / FILE_NAME
    try:
        with contextlib.suppress(FileExistsError):
            _create(path)
        key = path.read_bytes()
    except OSError as error:
        raise FenceKeyError(f"{path}: {error.strerror}; check its permissions and those of its folder") from error
    if len(key) != LENGTH:
        raise FenceKeyError(f"{path}: is damaged ({len(key)} bytes, not {LENGTH}); delete it, a new one is made")
    return key


def _create(path: Path) -> None:
    """Write a new secret under its name at once and whole, unless there is one.

    Raises:
        FileExistsError: there is one.
    """
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    if path.exists():
        raise FileExistsError
    draft = path.with_name(f"{path.name}.{secrets.token_hex(8)}")
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(new_key())
            file.flush()
            os.fsync(file.fileno())
        os.link(draft, path)  # unlike a rename, it does not replace what another process has just made
    finally:
        draft.unlink()


def fenced(name: str, text: str, key: bytes) -> str:
    """Put a text between tags whose code cannot be guessed without the key, nor stand in the text itself."""
    message = f"{name}\0{text}".encode("utf-8", "surrogatepass")
    tag = f"data-{hmac.new(key, message, hashlib.sha256).hexdigest()[:16]}"
    return f"<{tag}>\n{text}\n</{tag}>"
