"""What one version holds: its files, and of each the chunks that make it. Written and read.

Its bytes are canonical (sorted keys, no spaces), and its name is their digest. What is read from a store is hostile
input: it says where files are to be written.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import orjson

from runtide.artifacts import FILES_MAX, content_digest
from runtide.store.errors import Damaged

FORMAT = 1
PATH_BYTES_MAX = 4096
DIGEST_BYTES = 20  # blake2b-160
_HEX = re.compile(r"[0-9a-f]{40}", re.ASCII)


@dataclass(frozen=True, slots=True)
class Chunk:
    digest: str  # hex
    size: int

    @property
    def path(self) -> str:
        return f"chunks/{self.digest[:2]}/{self.digest}"


@dataclass(frozen=True, slots=True)
class File:
    path: str  # within the artifact, with /
    size: int
    mode: int  # permission bits
    digest: str  # hex, of the whole content
    chunks: tuple[Chunk, ...]


@dataclass(frozen=True, slots=True)
class Manifest:
    """Files in the order of their paths. Type, metadata and modes have no part in the content's `digest`."""

    is_directory: bool
    files: tuple[File, ...]
    type: str | None = None
    metadata: Mapping[str, Any] = field(default_factory=dict)

    @property
    def digest(self) -> str:
        """Of the content, as `runtide.artifacts.describe` gives it."""
        return content_digest(self.is_directory, [(file.path, file.digest) for file in self.files])

    @property
    def size(self) -> int:
        return sum(file.size for file in self.files)

    def chunks(self) -> dict[str, Chunk]:
        """Each once, by its digest."""
        return {chunk.digest: chunk for file in self.files for chunk in file.chunks}

    def encode(self) -> bytes:
        files = [
            {"path": file.path, "bytes": file.size, "mode": file.mode, "digest": file.digest,
             "chunks": [[chunk.digest, chunk.size] for chunk in file.chunks]}
            for file in self.files
        ]  # fmt: skip
        body = {
            "format": FORMAT, "kind": "directory" if self.is_directory else "file", "digest": self.digest,
            "bytes": self.size, "type": self.type, "metadata": dict(self.metadata), "files": files,
        }  # fmt: skip
        return orjson.dumps(body, option=orjson.OPT_SORT_KEYS)


def manifest_path(digest: str) -> str:
    return f"manifests/{digest[:2]}/{digest}"


def hex_digest(data: bytes) -> str:
    return hashlib.blake2b(data, digest_size=DIGEST_BYTES).hexdigest()


def decode(data: bytes, digest: str) -> Manifest:
    """The manifest with this digest. Raises `Damaged` for bytes that are none, or another, or that lead outside."""
    if hex_digest(data) != digest:
        raise Damaged(f"manifest {digest} is damaged: its bytes have another digest")
    try:
        body = orjson.loads(data)
        if body["format"] != FORMAT:
            raise Damaged(f"manifest {digest} is of format {body['format']!r}: a newer runtide reads it")
        manifest = Manifest(
            _one_of(body["kind"], {"directory": True, "file": False}),
            _files(body["files"]),
            _typed(body["type"], (str, type(None))),
            _typed(body["metadata"], (dict,)),
        )
        if not manifest.is_directory and len(manifest.files) != 1:
            raise ValueError("a file of several files")
        if manifest.digest != body["digest"]:
            raise ValueError("it says another digest than its files have")
    except (ValueError, TypeError, KeyError, UnicodeError) as error:
        raise Damaged(f"manifest {digest} can't be used: {' '.join(str(error).split())}") from None
    return manifest


def path_fault(path: str) -> str | None:
    """What is wrong with a file's place in an artifact, or None."""
    try:
        size = len(path.encode())
    except UnicodeEncodeError:
        return "is no valid Unicode"
    if not 0 < size <= PATH_BYTES_MAX:
        return f"is empty or longer than {PATH_BYTES_MAX} bytes"
    if "\0" in path or "\n" in path:  # a line break would let two trees have one digest
        return "holds a NUL or a line break"
    if any(part in ("", ".", "..") for part in path.split("/")):
        return "leads outside"
    return None


def _files(given: Any) -> tuple[File, ...]:
    if len(_typed(given, (list,))) > FILES_MAX:
        raise ValueError(f"more than {FILES_MAX} files")
    files = tuple(map(_file, given))
    paths = [file.path for file in files]
    if paths != sorted(set(paths)):
        raise ValueError("files twice, or not in order")
    folders = {path[:at] for path in paths for at, char in enumerate(path) if char == "/"}
    if both := folders.intersection(paths):
        raise ValueError(f"{min(both)!r} is a file and a folder")
    return files


def _file(given: Any) -> File:
    path = _typed(given["path"], (str,))
    if fault := path_fault(path):
        raise ValueError(f"the path {path[:200]!r} {fault}")
    chunks = tuple(Chunk(_hex(digest), _size(size)) for digest, size in given["chunks"])
    size = _size(given["bytes"])
    if sum(chunk.size for chunk in chunks) != size:
        raise ValueError(f"the chunks of {path!r} are not as long as the file")
    return File(path, size, _size(given["mode"]) & 0o777, _hex(given["digest"]), chunks)


def _hex(value: Any) -> str:
    if not isinstance(value, str) or not _HEX.fullmatch(value):
        raise ValueError("a digest that is none")
    return value


def _size(value: Any) -> int:
    if type(value) is not int or value < 0:
        raise ValueError("a size that is none")
    return value


def _typed(value: Any, kinds: Iterable[type]) -> Any:
    if type(value) not in tuple(kinds):
        raise ValueError(f"a {type(value).__name__} out of place")
    return value


def _one_of(value: Any, known: Mapping[Any, bool]) -> bool:
    if value not in known:
        raise ValueError(f"{value!r} out of place")
    return known[value]
