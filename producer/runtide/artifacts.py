"""What a local file or directory holds, as a digest: so that a run says which data it used and what it made.

The bytes stay where they are; `runtide.store` keeps those that are to be kept, under the same digest.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable, Iterator
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
        return {"digest": content_digest(False, [("", digest)]), "bytes": size, "files": 1}
    names = sorted(islice(names_below(path), FILES_MAX + 1))
    if len(names) > FILES_MAX:
        return {"files": f"more than {FILES_MAX}"}
    found = [(name, *_file(os.path.join(path, name))) for name in names]
    digest = content_digest(True, [(name, of_file) for name, of_file, _ in found])
    return {"digest": digest, "bytes": sum(size for _, _, size in found), "files": len(names)}


def content_digest(is_directory: bool, files: Iterable[tuple[str, str]]) -> str:
    """From (path, hex digest of the content) of each file, sorted by path."""
    if not is_directory:
        [(_, digest)] = files
        return f"blake2b:{digest}"
    total = hashlib.blake2b(digest_size=20)
    for path, digest in files:
        total.update(f"{digest} {path}\n".encode("utf-8", "surrogateescape"))
    return f"blake2b:{total.hexdigest()}"


def local_path(path_or_uri: str) -> str | None:
    """The absolute path if it is one that exists here; None for a URI or a name."""
    path = path_or_uri.removeprefix("file://")
    return os.path.abspath(path) if "://" not in path and os.path.exists(path) else None


def names_below(root: str) -> Iterator[str]:
    """Paths of all files below a directory, relative to it. Links to files count, links to directories don't."""
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
