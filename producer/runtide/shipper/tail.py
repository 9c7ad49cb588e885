"""Reading one writer's journal from a position on, as messages of whole lines. Reads files, knows nothing of Kafka."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass

import orjson

from runtide.events import (
    LINE_BYTES_MAX,
    MESSAGE_LINES_BYTES_MAX,
    ContractError,
    Header,
    parse_header,
    segment_name,
)

READ_BYTES = 1 << 20
_OVERSIZE_KEPT_BYTES = 1000  # of a line that Kafka does not take: enough for people to see what it was


@dataclass(frozen=True, slots=True, order=True)
class Position:
    """The next byte to read. `offset` 0: the segment's header is still to be read. `seq`: of the next line."""

    segment: int
    offset: int
    seq: int


@dataclass(frozen=True, slots=True)
class Message:
    """One Kafka message: the header line and `count` lines from seq `first` on; `end` is the position after them.

    `shortened`: its one line is longer than the broker takes; another one says so in its place, for the dead letters.
    """

    value: bytes
    first: int
    count: int
    end: Position
    shortened: bool = False


@dataclass(slots=True)
class Limits:
    """How much goes into a message, unless one line alone is larger; lowered when a broker refuses that. In bytes."""

    message: int = MESSAGE_LINES_BYTES_MAX


def cut(data: bytes, limit: int) -> Iterator[tuple[int, int]]:
    """Spans of whole lines of at most `limit` bytes each, one line alone where it is longer; the torn rest is left."""
    start, end = 0, data.rfind(b"\n") + 1
    while start < end:
        stop = end
        if end - start > limit:
            stop = data.rfind(b"\n", start, start + limit) + 1
            if stop <= start:
                stop = data.find(b"\n", start + limit) + 1
        yield start, stop
        start = stop


class Tail:
    """A cursor in the journal of one writer. `segments` is kept by whoever watches the directory, oldest first.

    `refused`: seqs of lines that are too large for the broker, each of which it was sent alone.
    """

    __slots__ = (
        "_header_line",
        "_header_of",
        "at",
        "directory",
        "header",
        "limits",
        "refused",
        "segments",
        "writer",
    )

    def __init__(self, directory: str, writer: str, segments: list[int], at: Position, limits: Limits) -> None:
        self.directory = directory
        self.writer = writer
        self.segments = segments
        self.limits = limits
        self.refused: set[int] = set()
        self.at = at
        self.header: Header | None = None
        self._header_line = b""
        self._header_of = -1

    def path(self, segment: int) -> str:
        return os.path.join(self.directory, segment_name(self.writer, segment))

    def size_ahead(self) -> int:
        """Bytes of the current segment not read yet; 0 also when it is gone."""
        try:
            return max(os.stat(self.path(self.at.segment)).st_size - self.at.offset, 0)
        except OSError:
            return 0

    def read(self, budget_bytes: int = READ_BYTES) -> list[Message]:
        """The next messages, about `budget_bytes` in all; empty when nothing whole is there yet.

        Raises ContractError if a segment's header can't be used, OSError if it can't be read.
        """
        while True:
            following = self._following()  # asked before reading: what is turned over now is complete
            try:
                data, whole = self._load(budget_bytes)
            except FileNotFoundError:
                if following is None:
                    return []
                self.at = Position(following, 0, self.at.seq)
                continue
            if not data and not whole:  # the header isn't there
                if following is None:
                    return []
                self.at = Position(following, 0, self.at.seq)
                continue
            messages = self._messages(data)
            if whole and following is not None:
                rest = data[data.rfind(b"\n") + 1 :]
                if rest and not messages:
                    messages = self._torn(rest, following)
                if not messages:
                    self.at = Position(following, 0, self.at.seq)
                    continue
            return messages

    def first_header(self) -> Header | None:
        """The header of the current segment; None while it isn't there. Raises as `read` does."""
        if self._header_of != self.at.segment:
            with open(self.path(self.at.segment), "rb") as file:
                self._read_header(file.fileno())
        return self.header

    def _following(self) -> int | None:
        return next((segment for segment in self.segments if segment > self.at.segment), None)

    def _load(self, budget_bytes: int) -> tuple[bytes, bool]:
        """Bytes from the cursor on, and whether they reach the segment's end."""
        fd = os.open(self.path(self.at.segment), os.O_RDONLY | os.O_CLOEXEC)
        try:
            if (self.at.offset == 0 or self._header_of != self.at.segment) and not self._read_header(fd):
                return b"", False
            size = os.fstat(fd).st_size
            if self.at.offset > size:  # a power cut took what was already sent: nothing else is to be had
                self.at = Position(self.at.segment, size, self.at.seq)
            data = os.pread(fd, min(budget_bytes, size - self.at.offset), self.at.offset)
            while b"\n" not in data and self.at.offset + len(data) < size:
                more = os.pread(fd, max(budget_bytes, 4 * len(data)), self.at.offset + len(data))
                if not more:
                    break
                data += more
            return data, self.at.offset + len(data) >= size
        finally:
            os.close(fd)

    def _read_header(self, fd: int) -> bool:
        line = b""
        while not line.endswith(b"\n"):
            chunk = os.pread(fd, 4096, len(line))
            if not chunk:
                return False
            line = (line + chunk).partition(b"\n")[0] + (b"\n" if b"\n" in chunk else b"")
            if len(line) > LINE_BYTES_MAX:
                raise ContractError(f"the header line of {self.path(self.at.segment)} has no end")
        self.header = parse_header(line)
        self._header_line = line
        self._header_of = self.at.segment
        if self.at.offset == 0:
            self.at = Position(self.at.segment, len(line), self.header.seq)
        return True

    def _messages(self, data: bytes) -> list[Message]:
        messages = []
        segment, offset, seq = self.at.segment, self.at.offset, self.at.seq
        for start, stop in self._spans(data, seq):
            count = data.count(b"\n", start, stop)
            lines = data[start:stop]
            shortened = count == 1 and (len(lines) > LINE_BYTES_MAX or seq in self.refused)
            if shortened:
                lines = _stand_in(lines)
            end = Position(segment, offset + stop, seq + count)
            messages.append(Message(self._header_line + lines, seq, count, end, shortened))
            seq += count
            self.at = end
        return messages

    def _spans(self, data: bytes, seq: int) -> Iterator[tuple[int, int]]:
        for start, stop in cut(data, self.limits.message):
            count = data.count(b"\n", start, stop)
            if self.refused.isdisjoint(range(seq, seq + count)):
                yield start, stop
            else:  # so that the refused line is alone
                yield from ((start + first, start + after) for first, after in cut(data[start:stop], 1))
            seq += count

    def _torn(self, rest: bytes, following: int) -> list[Message]:
        """The last line of a turned-over segment has no newline: it is sent as it is, if its writer counted it."""
        with open(self.path(following), "rb") as file:
            first_line = file.readline(LINE_BYTES_MAX)
        if first_line.endswith(b"\n") and parse_header(first_line).seq <= self.at.seq:
            return []
        end = Position(self.at.segment, self.at.offset + len(rest), self.at.seq + 1)
        shortened = len(rest) >= LINE_BYTES_MAX or self.at.seq in self.refused
        line = _stand_in(rest) if shortened else rest + b"\n"
        message = Message(self._header_line + line, self.at.seq, 1, end, shortened)
        self.at = end
        return [message]


def _stand_in(line: bytes) -> bytes:
    """What is sent in place of a line that is too large (docs/events.md)."""
    begins = line[:_OVERSIZE_KEPT_BYTES].decode(errors="replace")
    return orjson.dumps({"oversize": len(line), "begins": begins}, None, orjson.OPT_APPEND_NEWLINE)
