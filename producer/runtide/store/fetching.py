"""From the store to a folder: every chunk is checked as it comes, and a file appears whole or not at all.

What a broken download left goes on: `.<file>.runtide-part` holds the chunks that came, and they are checked again.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import IO

from runtide.store.errors import Damaged, StoreError
from runtide.store.manifest import DIGEST_BYTES, Chunk, File, Manifest, hex_digest
from runtide.store.objects import Objects

Progress = Callable[[int, int], object]  # bytes done, bytes in all
_COPY_BYTES = 1 << 20


def fetch(
    objects: Objects, manifest: Manifest, target: str, *, overwrite: bool = False, progress: Progress | None = None
) -> str:
    """Write the artifact to `target`: the directory itself, or the file. Returns its absolute path.

    Files that are there already and equal are left alone; other ones are replaced only with `overwrite`, and what does
    not belong to the artifact stays. Raises `Damaged`, which names the chunk, and `StoreError`.
    """
    root = os.path.abspath(target)
    done = 0

    def advance(size: int) -> None:
        nonlocal done
        done += size
        if progress is not None:
            progress(done, manifest.size)

    if not manifest.is_directory:
        _fetch_file(objects, manifest.files[0], root, overwrite, advance)
        return root
    os.makedirs(root, exist_ok=True)
    for file in manifest.files:
        _fetch_file(objects, file, _inside(root, file.path), overwrite, advance)
    return root


def read_chunk(objects: Objects, chunk: Chunk) -> bytes:
    """Raises `Damaged`."""
    try:
        data = objects.read(chunk.path)
    except FileNotFoundError:
        raise Damaged(f"chunk {chunk.digest} is missing in {objects.url}") from None
    if len(data) != chunk.size or hex_digest(data) != chunk.digest:
        raise Damaged(f"chunk {chunk.digest} in {objects.url} is damaged: its bytes have another digest")
    return data


def _inside(root: str, path: str) -> str:
    """The file's place, with its folders made. A link on the way could lead anywhere: refused."""
    place = root
    *folders, name = path.split("/")
    for folder in folders:
        place = os.path.join(place, folder)
        try:
            os.mkdir(place)
        except FileExistsError:
            if os.path.islink(place) or not os.path.isdir(place):
                raise StoreError(f"{place} is in the way: it is no folder of its own") from None
    return os.path.join(place, name)


def _fetch_file(objects: Objects, file: File, place: str, overwrite: bool, advance: Callable[[int], None]) -> None:
    if _is_there(file, place, overwrite):
        advance(file.size)
        return
    os.makedirs(os.path.dirname(place), exist_ok=True)
    folder, name = os.path.split(place)
    part = os.path.join(folder, f".{name[:200]}.runtide-part")
    with _alone(part) as out:
        if _is_there(file, place, overwrite):  # another process, which we waited for, has brought it
            advance(file.size)
        else:
            _bring(objects, file, out, advance)
            os.fchmod(out.fileno(), file.mode)
            os.replace(part, place)
            return
    os.unlink(part)


def _bring(objects: Objects, file: File, out: IO[bytes], advance: Callable[[int], None]) -> None:
    whole = hashlib.blake2b(digest_size=DIGEST_BYTES)
    have = True  # until the first chunk that is not there
    for chunk in file.chunks:
        data = out.read(chunk.size) if have else b""
        if not (have and len(data) == chunk.size and hex_digest(data) == chunk.digest):
            if have:
                out.seek(-len(data), os.SEEK_CUR)
                have = False
            data = read_chunk(objects, chunk)
            out.write(data)
        whole.update(data)
        advance(chunk.size)
    out.truncate(file.size)
    out.flush()
    if whole.hexdigest() != file.digest:
        raise Damaged(f"{file.path!r} is not what its manifest says: its chunks are fine, its digest is another")


def _is_there(file: File, place: str, overwrite: bool) -> bool:
    """Raises `StoreError` if something else is, unless that may be replaced."""
    if not os.path.lexists(place):
        return False
    if not os.path.islink(place) and os.path.isfile(place) and os.path.getsize(place) == file.size:
        whole = hashlib.blake2b(digest_size=DIGEST_BYTES)
        with open(place, "rb") as there:
            while data := there.read(_COPY_BYTES):
                whole.update(data)
        if whole.hexdigest() == file.digest:
            return True
    if os.path.isdir(place) and not os.path.islink(place):
        raise StoreError(f"{place} is a folder: a file is to be there")
    if not overwrite:
        raise StoreError(f"{place} is there with other content: --force (overwrite=True) replaces it")
    return False


@contextmanager
def _alone(part: str) -> Iterator[IO[bytes]]:
    """The part file, of which this process is the only writer: another one that fetches the same is waited for."""
    while True:
        fd = os.open(part, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
        with open(fd, "r+b") as out:
            fcntl.flock(fd, fcntl.LOCK_EX)
            if _is_same(fd, part):  # else whoever we waited for has finished with it
                yield out
                return


def _is_same(fd: int, path: str) -> bool:
    try:
        return os.path.samestat(os.fstat(fd), os.lstat(path))
    except FileNotFoundError:
        return False
