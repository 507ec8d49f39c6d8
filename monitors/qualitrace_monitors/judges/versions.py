"""Versions of judges: short hashes over everything that may change a score."""

import hashlib
import json
from pathlib import Path


def short_hash(*parts: object) -> str:
    """Hash values into 12 hexadecimal digits; different values give different digits."""
    text = json.dumps([str(part) for part in parts], ensure_ascii=False)
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:12]


def folder_digest(module_file: str) -> str:
    """Hash the code and the weights in the folder of a module, so that no edit of a rule is overlooked."""
    digest = hashlib.sha256()
    for path in sorted(Path(module_file).parent.iterdir()):
        if path.suffix in (".py", ".npz"):
            digest.update(path.name.encode() + b"\0" + path.read_bytes())
    return digest.hexdigest()
