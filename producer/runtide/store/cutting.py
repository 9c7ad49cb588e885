"""Where a file is cut into chunks: by its content, so that what moved is found again (docs/decisions/0013).

A chunk ends behind that window of 8 bytes whose hash is the least of all windows in reach. A byte put in or taken out
anywhere changes the chunks around it; those behind are the same as before. Without numpy files are cut at fixed places:
nothing but the sharing of chunks depends on it.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import IO, Any

_WINDOW = 8  # bytes: one 64-bit word
_BLOCK_WORDS = 1 << 15  # hashed at a time: what fits into the processor's cache
_FACTOR = 0xD6E8FEB86659FD93  # odd; the high bits of the product depend on all bits of the word


@dataclass(frozen=True, slots=True)
class Limits:
    """Of a chunk's size in bytes; only the last one of a file may be smaller. `least` is 8 or more."""

    least: int = 1 << 20
    most: int = 4 << 20


def chunks(file: IO[bytes], limits: Limits) -> Iterator[bytes]:
    """The file's content in chunks; none of an empty file."""
    buffer = b""
    while True:
        buffer += file.read(limits.most - len(buffer))
        if not buffer:
            return
        end = _end_of_chunk(buffer, limits.least)
        yield buffer[:end]
        buffer = buffer[end:]


def _end_of_chunk(data: bytes, least: int) -> int:
    """The end of the chunk that begins with `data`, which is all that it may be."""
    size = len(data)
    np = _numpy()
    if size <= least or np is None:
        return size
    factor = np.uint64(_FACTOR)
    hashes = np.empty(_BLOCK_WORDS, np.uint64)
    best: tuple[int, int] | None = None
    for shift in range(_WINDOW):  # words that begin 8 bytes apart, eight times
        first = least - _WINDOW + shift
        count = (size - first) // _WINDOW
        words = np.frombuffer(data, "<u8", count, first) if count > 0 else ()
        for at in range(0, len(words), _BLOCK_WORDS):
            some = words[at : at + _BLOCK_WORDS]
            found = hashes[: len(some)]
            np.multiply(some, factor, out=found)
            place = int(found.argmin())
            candidate = (int(found[place]), first + (at + place + 1) * _WINDOW)
            best = candidate if best is None else min(best, candidate)
    return size if best is None else best[1]


def _numpy() -> Any:
    try:
        import numpy as np
    except ImportError:
        return None
    return np
