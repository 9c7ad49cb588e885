"""What keeps a store well: away with what nothing names, and a look at every byte."""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from threading import Lock

from runtide.store.crew import Crew
from runtide.store.errors import Damaged
from runtide.store.fetching import Progress, read_chunk
from runtide.store.manifest import Chunk, Manifest, decode, manifest_path
from runtide.store.objects import Listed, Objects
from runtide.store.register import Version


@dataclass(slots=True)
class Collected:
    """What `gc` removed, or would remove. Sizes in bytes."""

    chunks: int = 0
    manifests: int = 0
    unfinished: int = 0  # files that a killed put left
    size: int = 0
    kept_chunks: int = 0
    kept_size: int = 0


@dataclass(slots=True)
class Verified:
    """What `verify` read. `damaged`: digest -> what is wrong with it; `touched`: the versions that need it."""

    versions: int = 0
    chunks: int = 0
    size: int = 0
    damaged: dict[str, str] = field(default_factory=dict)
    touched: list[str] = field(default_factory=list)
    dropped: int = 0


def collect(
    objects: Objects, versions: Iterable[str], grace_s: float, *, now_s: float | None = None, dry_run: bool = False
) -> Collected:
    """Remove chunks and manifests that no version names and that are older than `grace_s`.

    `versions`: the digests of all versions' manifests, looked up when it is iterated: after everything else was
    listed, so that a put which ends meanwhile is seen. What has no age is kept. One manifest that can't be read, and
    nothing is removed: raises `Damaged`.
    """
    before_s = (time.time() if now_s is None else now_s) - grace_s
    chunks, manifests, unfinished = (objects.list(folder) for folder in ("chunks", "manifests", "unfinished"))
    named = set(versions)
    old = [each for each in manifests if _digest(each) not in named and _is_old(each, before_s)]
    gone = {_digest(each) for each in old}
    wanted: set[str] = set()
    for digest in sorted(named | {_digest(each) for each in manifests} - gone):
        wanted |= read_manifest(objects, digest).chunks().keys()
    unwanted = [each for each in chunks if _digest(each) not in wanted and _is_old(each, before_s)]
    left = [each for each in unfinished if _is_old(each, before_s)]
    found = Collected(len(unwanted), len(old), len(left), sum(each.size for each in (*unwanted, *old, *left)))
    found.kept_chunks = len(chunks) - len(unwanted)
    found.kept_size = sum(each.size for each in chunks) - sum(each.size for each in unwanted)
    if not dry_run:
        for each in (*old, *unwanted, *left):  # manifests first: none may name what is gone
            there = objects.look(each.path)  # a put that wants it has just made it new
            if there is not None and _is_old(there, before_s):
                objects.remove(each.path)
    return found


def verify(
    objects: Objects, versions: Iterable[Version], *, drop: bool = False, progress: Progress | None = None
) -> Verified:
    """Read every chunk of these versions. `drop`: remove damaged ones, so that the next put sends them again."""
    found = Verified()
    wanted: dict[str, Chunk] = {}
    by_version: dict[str, Mapping[str, Chunk]] = {}
    for version in versions:
        found.versions += 1
        try:
            by_version[version.ref] = read_manifest(objects, version.manifest).chunks()
        except Damaged as error:
            found.damaged[version.manifest] = str(error)
            found.touched.append(version.ref)
            continue
        wanted |= by_version[version.ref]
    total = sum(chunk.size for chunk in wanted.values())
    lock = Lock()

    def look(chunk: Chunk) -> None:
        fault = None
        try:
            read_chunk(objects, chunk)
        except Damaged as error:
            fault = str(error)
            if drop:
                objects.remove(chunk.path)
        with lock:
            found.chunks += 1
            found.size += chunk.size
            if fault is not None:
                found.damaged[chunk.digest] = fault
                found.dropped += drop
            if progress is not None:
                progress(found.size, total)

    with Crew(look) as crew:
        for chunk in wanted.values():
            crew.give(chunk)
    found.touched += [ref for ref, chunks in by_version.items() if not found.damaged.keys().isdisjoint(chunks)]
    return found


def read_manifest(objects: Objects, digest: str) -> Manifest:
    """Raises `Damaged`."""
    try:
        data = objects.read(manifest_path(digest))
    except FileNotFoundError:
        raise Damaged(f"manifest {digest} is missing in {objects.url}") from None
    return decode(data, digest)


def _digest(each: Listed) -> str:
    return each.path.rpartition("/")[2]


def _is_old(each: Listed, before_s: float) -> bool:
    return each.modified_s is not None and each.modified_s < before_s
