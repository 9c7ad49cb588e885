"""Writers that are gone: telling it from their lock, and saying goodbye in their name when they couldn't."""

from __future__ import annotations

import fcntl
import os
from enum import Enum

import orjson

from runtide.events import LINE_BYTES_MAX, encode_event, segment_name

_LAST_WORDS = ("finish", "end")


class Fate(Enum):
    """What became of a writer."""

    LIVES = "lives"  # or it can't be told
    GONE = "gone"  # the journal is complete and says so
    EMPTY = "gone before its journal had a header"


def settle_fate(directory: str, writer: str, newest: int) -> Fate:
    """Look whether the writer whose newest segment is `newest` lives; if not, see to it that its journal ends with
    `finish` or `end`.

    The `end` line bears the time of the last write: a journal may be found days later. Raises OSError if it
    can't be read or completed.
    """
    try:
        fd = os.open(os.path.join(directory, segment_name(writer, newest)), os.O_RDWR | os.O_APPEND | os.O_CLOEXEC)
    except FileNotFoundError:
        return Fate.GONE
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        if os.path.exists(os.path.join(directory, segment_name(writer, newest + 1))):
            return Fate.LIVES  # it was turned over meanwhile: the next segment is the locked one
        facts = os.fstat(fd)
        tail = os.pread(fd, LINE_BYTES_MAX, max(facts.st_size - LINE_BYTES_MAX, 0))
        if facts.st_size <= LINE_BYTES_MAX and b"\n" not in tail:
            return Fate.EMPTY
        if _ended(tail) or (_is_bare(tail, facts.st_size) and _ended(_tail_of(directory, writer, newest - 1))):
            return Fate.GONE
        line = encode_event(facts.st_mtime_ns, "end", {"state": "killed"})
        if not tail.endswith(b"\n"):
            line = b"\n" + line  # the torn line keeps its seq
        if os.write(fd, line) != len(line):
            os.ftruncate(fd, facts.st_size)
            raise OSError("disk full: the end of a killed writer's journal can't be written yet")
        return Fate.GONE
    except BlockingIOError:
        return Fate.LIVES
    finally:
        os.close(fd)


def _is_bare(tail: bytes, size: int) -> bool:
    """Is there only the header, because the writer's last words filled the segment before?"""
    return size == len(tail) and tail.find(b"\n") == len(tail) - 1


def _tail_of(directory: str, writer: str, segment: int) -> bytes:
    try:
        with open(os.path.join(directory, segment_name(writer, max(segment, 0))), "rb") as file:
            file.seek(max(os.fstat(file.fileno()).st_size - LINE_BYTES_MAX, 0))
            return file.read()
    except FileNotFoundError:
        return b""


def _ended(tail: bytes) -> bool:
    if not tail.endswith(b"\n"):
        return False
    return last_words(tail[tail.rfind(b"\n", 0, -1) + 1 :])


def last_words(line: bytes) -> bool:
    """Is this the line of a writer that says goodbye?"""
    if b'"finish"' not in line and b'"end"' not in line:
        return False
    try:
        event = orjson.loads(line)
    except orjson.JSONDecodeError:
        return False
    return isinstance(event, dict) and event.get("e") in _LAST_WORDS
