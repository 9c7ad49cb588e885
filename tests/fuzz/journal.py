"""The journal: whatever a writer wrote and wherever it was torn, its complete lines are delivered once each, in order.

Three stories, by the first byte: a journal of any bytes; one that grows while it is read, by readers that are replaced;
and one that the SDK's own `Journal` writes on a disk that fails.
"""

from __future__ import annotations

import errno
import os
from pathlib import Path
from unittest.mock import patch

from runtide import journal as journal_module
from runtide.events import ContractError, Header, parse_header, segment_name
from runtide.journal import Journal
from runtide.refusals import Refusals
from runtide.shipper.farewell import Fate, last_words, settle_fate
from runtide.shipper.tail import Limits, Message, Position, Tail
from tests.fuzz.draw import Draw, scratch

WRITER = "w"
SEGMENTS_MAX = 4
_FOLDER = scratch()

HEADER = Header("p", "r", WRITER, 0, 1).encode()
SEEDS = [
    b"\0\1\x40" + HEADER + b'{"t":1,"s":0,"m":{"a":1}}\ntorn',
    b"\1\x20\x40\3\x10line\nline\nrest\2\5torn\n\1\x0aend\n\3\3\3\2\1\4",
    b"\2\x30\4line\0\1\2\5again\1\2\3\0\3\0\4more\0\0",
]


def check(data: bytes) -> None:
    draw = Draw(data)
    for path in _FOLDER.iterdir():
        path.unlink()
    (_any_bytes, _growing, _written)[draw.below(3)](draw)


def _any_bytes(draw: Draw) -> None:
    """Segments that hold anything. What can be read is read as a plain model reads it, or the header is refused."""
    budget, limit = 1 + draw.below(300), 1 + draw.below(300)
    files = [draw.some(4096) for _ in range(1 + draw.below(SEGMENTS_MAX))]
    if draw.flag():
        files[0] = HEADER + files[0]
    for number, content in enumerate(files):
        _path(number).write_bytes(content)
    expected, refused = _model(files)
    tail = Tail(str(_FOLDER), WRITER, list(range(len(files))), Position(0, 0, 0), Limits(limit))
    got: list[Message] = []
    try:
        while messages := tail.read(budget):
            got += messages
    except ContractError:
        assert refused, "a header that can be used was refused"
    else:
        assert not refused, "a header that can't be used was taken"
    assert b"".join(map(_lines, got)) == expected
    assert all(message.count == _lines(message).count(b"\n") for message in got)


def _model(files: list[bytes]) -> tuple[bytes, bool]:
    """All lines that are to be delivered, and whether a header ends that."""
    lines, seq = b"", 0
    for number, content in enumerate(files):
        head, newline, body = content.partition(b"\n")
        is_last = number == len(files) - 1
        if not newline:
            continue
        try:
            seq = parse_header(head).seq
        except ContractError:
            return lines, True
        whole, _, rest = body.rpartition(b"\n")
        lines += whole + b"\n" if whole or body.startswith(b"\n") else b""
        seq += body.count(b"\n")
        if rest and not is_last:
            following, newline, _ = files[number + 1].partition(b"\n")
            try:
                is_counted = not newline or parse_header(following).seq > seq
            except ContractError:
                return lines, True
            lines += rest + b"\n" if is_counted else b""
            seq += is_counted
    return lines, False


def _growing(draw: Draw) -> None:
    """A good writer's segments, written piece by piece; readers come, read, and are replaced at their last position."""
    limits, budget = Limits(1 + draw.below(100)), 1 + draw.below(200)
    refused: set[int] = set(draw.some(5))
    files: list[bytes] = []
    lines: list[bytes] = []
    for _ in range(1 + draw.below(SEGMENTS_MAX)):
        body = draw.some()
        *whole, rest = body.split(b"\n")
        files.append(Header("p", "r", WRITER, len(lines), 1).encode() + body)
        lines += [line + b"\n" for line in whole]
        torn_counts = bool(rest) and draw.flag()  # the writer counted its torn line and went on in the next segment
        if torn_counts:
            lines.append(rest + b"\n")
    if torn_counts:
        lines.pop()  # of the newest segment a torn line may still be completed
    got: list[Message] = []
    at = Position(0, 0, 0)
    known: list[int] = []
    tail = Tail(str(_FOLDER), WRITER, known, at, limits)
    tail.refused = refused
    for number, content in enumerate(files):
        first = content.index(b"\n") + 1  # a segment appears with its header
        _path(number).write_bytes(content[:first])
        known.append(number)
        written = first
        while written < len(content):
            size = 1 + draw.below(64) if not draw.is_over else len(content)
            with _path(number).open("ab") as file:
                file.write(content[written : written + size])
            written += size
            if draw.flag():
                tail = Tail(str(_FOLDER), WRITER, known, got[-1].end if got else at, limits)
                tail.refused = refused
            if draw.flag():
                got += tail.read(budget)
    while messages := tail.read(budget):
        got += messages
    _compare(got, lines, refused)
    _settle(tail, got, lines, refused, budget, files[-1])


def _settle(tail: Tail, got: list[Message], lines: list[bytes], refused: set[int], budget: int, newest: bytes) -> None:
    """The writer is gone: its journal is ended in its name, nothing of it is changed, and all of it is delivered."""
    number = tail.segments[-1]
    assert settle_fate(str(_FOLDER), WRITER, number) is Fate.GONE
    sealed = _path(number).read_bytes()
    assert sealed.startswith(newest)
    assert sealed.endswith(b"\n")
    added = sealed[len(newest) :]
    rest = newest.rpartition(b"\n")[2]
    if rest:
        lines = [*lines, rest + b"\n"]
    ending = added.removeprefix(b"\n") if rest else added
    if ending:
        assert last_words(ending)
        lines = [*lines, ending]
    while messages := tail.read(budget):
        got += messages
    _compare(got, lines, refused)


def _written(draw: Draw) -> None:
    """What `append` says is stored can be read, once, at its seq; whatever write(2) and ftruncate(2) answer."""
    real_write, real_cut = os.write, os.ftruncate

    def write(fd: int, line: bytes) -> int:
        match draw.below(8):
            case 1:
                raise OSError(draw.pick([errno.ENOSPC, errno.EIO, errno.EFBIG, errno.EDQUOT]), "")
            case 2:
                return real_write(fd, line[: draw.below(len(line))])
        return real_write(fd, line)

    def cut(fd: int, size: int) -> None:
        if draw.below(4) == 1:
            raise OSError(errno.EIO, "")
        real_cut(fd, size)

    header = Header("p", "r", WRITER, 0, 1)
    log = Journal(
        str(_FOLDER), lambda join: header, lambda: [b"start\n"], Refusals("fuzz"),
        segment_bytes=len(HEADER) + draw.below(200), journal_bytes_max=1 << 30,
    )  # fmt: skip
    stored: dict[int, bytes] = {}
    with patch.object(journal_module, "_write", write), patch.object(os, "ftruncate", cut):
        if not log.open():
            log._reopen_at = 0.0
        while not draw.is_over:
            match draw.below(8):
                case 1:
                    log.note_usage(draw.pick([0, 1 << 40]))
                case 2:
                    log.note_usage((1 << 30) - log.size - draw.below(100))
                case _:
                    line = draw.some(60).replace(b"\n", b"?") + b"\n"
                    was_open = log.header is not None
                    if log.append(line) and was_open:
                        stored[log.lines - 1] = line
        log.close()
    names = sorted(path.name for path in _FOLDER.glob("*.jsonl"))
    assert names == [segment_name(WRITER, number) for number in range(len(names))]
    tail = Tail(str(_FOLDER), WRITER, list(range(len(names))), Position(0, 0, 0), Limits(100))
    found: dict[int, bytes] = {}
    while messages := tail.read(1 << 16):
        for message in messages:
            for seq, line in enumerate(_lines(message).split(b"\n")[:-1], message.first):
                assert seq not in found, "delivered twice"
                found[seq] = line + b"\n"
    assert stored.items() <= found.items()
    assert sorted(found) == list(range(len(found))), "a gap"


def _compare(got: list[Message], lines: list[bytes], refused: set[int]) -> None:
    seq = 0
    for message in got:
        assert message.first == seq
        assert message.end.seq == seq + message.count
        if message.shortened:
            assert message.count == 1 and seq in refused
            sizes = (len(lines[seq]), len(lines[seq]) - 1)  # a torn one has no newline
            assert any(b'"oversize":%d,' % size in _lines(message) for size in sizes)
        else:
            assert _lines(message) == b"".join(lines[seq : seq + message.count])
            assert refused.isdisjoint(range(seq, seq + message.count))
        seq += message.count
    assert seq == len(lines)


def _lines(message: Message) -> bytes:
    return message.value.partition(b"\n")[2]


def _path(number: int) -> Path:
    return _FOLDER / segment_name(WRITER, number)
