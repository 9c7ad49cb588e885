"""What a local file or directory holds, as a digest: so that a run says which data it used and what it made.

Only facts are recorded for now: the bytes stay where they are.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator
from itertools import islice
from typing import Any

CHUNK_BYTES = 1 << 20
FILES_MAX = 100_000  # of a directory; a larger one is described without a digest


def describe(path: str) -> dict[str, Any]:
    """`digest`, `bytes` and `files` of a file or a directory. Reads everything: keep it off the caller's path.

    A file's digest is `blake2b:` + 40 hex characters of its content; a directory's is that of the sorted lines
    `<digest> <path within it>`, so that it is the same wherever the directory lies. Raises `OSError`.
    """
    if not os.path.isdir(path):
        digest, size = _file(path)
        return {"digest": f"blake2b:{digest}", "bytes": size, "files": 1}
    total = hashlib.blake2b(digest_size=20)
    size = 0
    names = sorted(islice(_names(path), FILES_MAX + 1))
    if len(names) > FILES_MAX:
        return {"files": f"more than {FILES_MAX}"}
    for name in names:
        digest, file_size = _file(os.path.join(path, name))
        total.update(f"{digest} {name}\n".encode("utf-8", "surrogateescape"))
        size += file_size
    return {"digest": f"blake2b:{total.hexdigest()}", "bytes": size, "files": len(names)}


def local_path(path_or_uri: str) -> str | None:
    """The absolute path if it is one that exists here; None for a URI or a name."""
    path = path_or_uri.removeprefix("file://")
    return os.path.abspath(path) if "://" not in path and os.path.exists(path) else None


def _names(root: str) -> Iterator[str]:
    for directory, _, files in os.walk(root):
        for file in files:
            path = os.path.join(directory, file)
            if os.path.isfile(path):
                yield os.path.relpath(path, root)


def _file(path: str) -> tuple[str, int]:
    digest = hashlib.blake2b(digest_size=20)
    size = 0
    with open(path, "rb") as file:
        while chunk := file.read(CHUNK_BYTES):
            digest.update(chunk)
            size += len(chunk)
    return digest.hexdigest(), size
