"""From a folder into the store: chunks first, then the manifest that lists them.

Whatever is killed on the way leaves whole chunks that nobody names yet; the next attempt finds them there.
"""

from __future__ import annotations

import hashlib
import os
import time
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass
from itertools import islice
from threading import Lock
from typing import Any

from runtide.artifacts import FILES_MAX, names_below
from runtide.store.crew import Crew
from runtide.store.cutting import Limits, chunks
from runtide.store.errors import StoreError
from runtide.store.manifest import DIGEST_BYTES, Chunk, File, Manifest, hex_digest, manifest_path, path_fault
from runtide.store.objects import Objects

# What nothing names is safe from `gc` this long. A put that meets a chunk of half that age sends it again.
GRACE_S = 24 * 3600.0
_RECHECK_S = GRACE_S / 2

Progress = Callable[[int, int], object]  # bytes done, bytes in all


@dataclass(slots=True)
class Sent:
    """What a put had to do."""

    chunks: int = 0
    size: int = 0  # bytes that were not there yet


def send(
    objects: Objects,
    source: str,
    *,
    type_: str | None,
    metadata: Mapping[str, Any],
    kept: Collection[str],
    limits: Limits,
    progress: Progress | None = None,
) -> tuple[Manifest, Sent]:
    """Bring all chunks of a file or directory into the store; the manifest is the caller's to write.

    `kept`: digests of chunks that a version has, so that no `gc` takes them away. Raises `StoreError`, `OSError`.
    """
    began = time.monotonic()
    found = list(_files(source))
    sender = _Sender(objects, kept, sum(size for _, _, size in found), progress)
    with Crew(sender.send) as crew:
        files = tuple(_read(name, path, limits, lambda item: sender.offer(item, crew)) for name, path, _ in found)
    manifest = Manifest(os.path.isdir(source), files, type_, metadata)
    if time.monotonic() - began > _RECHECK_S:
        _check(objects, manifest)
    return manifest, sender.sent


def write_manifest(objects: Objects, manifest: Manifest) -> str:
    """Its digest. Written even if it is there: so `gc` sees that it is wanted."""
    data = manifest.encode()
    digest = hex_digest(data)
    objects.write(manifest_path(digest), data)
    return digest


Item = tuple[Chunk, bytes]


class _Sender:
    """Sends each chunk once, if it is not there."""

    def __init__(self, objects: Objects, kept: Collection[str], total: int, progress: Progress | None) -> None:
        self.sent = Sent()
        self._objects = objects
        self._kept = kept
        self._total = total
        self._progress = progress
        self._met: set[str] = set()
        self._done = 0
        self._lock = Lock()

    def offer(self, item: Item, crew: Crew[Item]) -> None:
        chunk = item[0]
        if chunk.digest in self._met:
            self._count(chunk, 0)
        else:
            self._met.add(chunk.digest)
            crew.give(item)

    def send(self, item: Item) -> None:
        """Verified: it is there, and as long as it must be."""
        chunk, data = item
        there = self._objects.look(chunk.path)
        is_new = there is None or there.size != chunk.size
        if there is not None and not is_new and chunk.digest not in self._kept:
            is_new = there.modified_s is not None and time.time() - there.modified_s > _RECHECK_S
        if is_new:
            self._objects.write(chunk.path, data)
            there = self._objects.look(chunk.path)
            if there is None or there.size != chunk.size:
                raise StoreError(f"chunk {chunk.digest} was written to {self._objects.url}, and is not there")
        self._count(chunk, chunk.size if is_new else 0)

    def _count(self, chunk: Chunk, sent: int) -> None:
        with self._lock:
            self._done += chunk.size
            if sent:
                self.sent.chunks += 1
                self.sent.size += sent
            if self._progress is not None:
                self._progress(self._done, max(self._total, self._done))


def _files(source: str) -> Iterator[tuple[str, str, int]]:
    """(path within the artifact, where it is, size now) of each file, in the order of a manifest."""
    if not os.path.isdir(source):
        name = os.path.basename(os.path.abspath(source))
        _name_checked(name)
        yield name, source, os.stat(source).st_size
        return
    names = sorted(islice(names_below(source), FILES_MAX + 1))
    if len(names) > FILES_MAX:
        raise StoreError(f"{source} has more than {FILES_MAX} files: pack them, as into .tar shards")
    for name in names:
        _name_checked(name)
        path = os.path.join(source, name)
        yield name, path, os.stat(path).st_size


def _name_checked(name: str) -> None:
    if fault := path_fault(name):
        raise StoreError(f"the file name {name!r} {fault}")


def _read(name: str, path: str, limits: Limits, offer: Callable[[Item], None]) -> File:
    """A file that changes meanwhile is kept as it was read."""
    whole = hashlib.blake2b(digest_size=DIGEST_BYTES)
    parts: list[Chunk] = []
    with open(path, "rb") as file:
        mode = os.fstat(file.fileno()).st_mode & 0o777
        for data in chunks(file, limits):
            whole.update(data)
            chunk = Chunk(hex_digest(data), len(data))
            parts.append(chunk)
            offer((chunk, data))
    return File(name, sum(chunk.size for chunk in parts), mode, whole.hexdigest(), tuple(parts))


def _check(objects: Objects, manifest: Manifest) -> None:
    """After a put that took very long: `gc` may have met its first chunks as old ones."""
    for chunk in manifest.chunks().values():
        there = objects.look(chunk.path)
        if there is None or there.size != chunk.size:
            raise StoreError(f"chunk {chunk.digest} is gone: `runtide artifact gc` ran meanwhile. Put it again")
