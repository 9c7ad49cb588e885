"""One run of a source as a journal: all of it the first time, later only what is new.

(run, writer, seq) is an event's identity, so what was sent once must keep its seq. The first journal of a run has a
writer named after its content: imported again, anywhere and without any memory, it is the same writer with the same
lines. What comes later goes on behind them, in the same writer, if the rows that were sent are still the first ones;
`Record` knows how many these were, and their digest. If they are not, the history was rewritten: all of it is sent by a
new writer, which makes it the run's next attempt, and queries show that.
"""

from __future__ import annotations

import hashlib
import os
import shutil
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from typing import Any

import orjson

from runtide.events import Header, segment_name
from runtide.importing.lines import Line, Rows, Told, changed_words, ending, first_words, told_of
from runtide.importing.model import Facts, SourceRun, digest

_SPOOL = "rows"
_BATCH = 4096  # lines that are hashed and written at a time


@dataclass(frozen=True, slots=True)
class Record:
    """What is known of an imported run: which writer has it, how many lines and rows of it were sent, and which."""

    project: str
    origin: str
    fingerprint: str
    writer: str
    lines: int
    rows: int
    points: int
    digest: str  # of the rows
    undated_ns: int
    told: Told

    def encode(self) -> bytes:
        return orjson.dumps(asdict(self))

    @classmethod
    def decode(cls, data: bytes) -> Record:
        """Raises `ValueError`, `TypeError` or `KeyError` for what is none."""
        return cls(**orjson.loads(data))


@dataclass(frozen=True, slots=True)
class Written:
    """A journal in a folder, or none if there was nothing new."""

    record: Record
    points: int  # in the journal
    lines: int
    is_rewritten: bool  # other rows than those that were imported
    refused: dict[str, int]


class _Rewritten(Exception):
    """The rows that were imported are no longer the first ones."""


def write(
    run: SourceRun,
    known: Record | None,
    folder: str,
    *,
    kind: str,
    kafka: str,
    fingerprint: str,
    adjust: Callable[[Facts], Facts],
) -> Written:
    """Write what is not imported yet into `folder`. Raises what the source raises, and `OSError`."""
    is_rewritten = False
    try:
        spool = _Spool(run, known, folder)
    except _Rewritten:
        known, is_rewritten = None, True
        spool = _Spool(run, None, folder)
    told = told_of(adjust(run.facts()))
    if known is None:
        words = first_words(told)
        writer = f"import-{kind}-{digest(run.project, run.run_id, spool.digest, _lasting(told, spool))[:16]}"
        first = 0
    else:
        if spool.is_undated and not spool.lines:  # only the file's date is another one
            told |= {name: known.told[name] for name in ("started_ns", "ended_ns")}
        words = changed_words(told, known.told)
        writer, first = known.writer, known.lines
    lines = 0
    if words or spool.lines:
        # From the source's clock where it has one: no host's own is asked, so that the header is the same everywhere.
        header = Header(run.project, run.run_id, writer, first, told["started_ns"], mode="offline", kafka=kafka)
        lines = _finish(folder, header, words, spool, ending(told))
    record = Record(
        project=run.project,
        origin=run.origin,
        fingerprint=fingerprint,
        writer=writer,
        lines=first + lines,
        rows=spool.skipped + spool.lines,
        points=(known.points if known else 0) + spool.points,
        digest=spool.digest,
        undated_ns=spool.undated_ns,
        told=told,
    )
    os.unlink(spool.path)
    return Written(record, spool.points, lines, is_rewritten, {**spool.refused, **run.lost})


class _Spool:
    """The new rows' lines in a file. What comes before them is only compared with what was imported."""

    def __init__(self, run: SourceRun, known: Record | None, folder: str) -> None:
        self.path = os.path.join(folder, _SPOOL)
        self.undated_ns = known.undated_ns if known else run.undated_ns
        self.skipped = known.rows if known else 0
        self.lines = self.points = 0
        self.is_undated = False
        maker = Rows(self.undated_ns)
        hashed = hashlib.blake2b(digest_size=16)
        with open(self.path, "wb") as file:
            seen = 0
            for batch in _batches(maker.lines(run.rows()), self.skipped):
                hashed.update(b"".join(line.content for line in batch))
                seen += len(batch)
                if seen <= self.skipped:
                    if seen == self.skipped and known is not None and hashed.hexdigest() != known.digest:
                        raise _Rewritten
                    if seen == self.skipped:
                        maker.refused.clear()
                    continue
                file.write(b"".join(line.line for line in batch))
                self.lines += len(batch)
                self.points += sum(line.points for line in batch)
                self.is_undated = self.is_undated or batch[0].line is not batch[0].content
            if seen < self.skipped:
                raise _Rewritten
        self.digest = hashed.hexdigest()
        self.refused = maker.refused


def _batches(lines: Iterator[Line], first: int) -> Iterator[list[Line]]:
    """Lists of lines; one ends after exactly `first` lines."""
    batch: list[Line] = []
    for seen, line in enumerate(lines, 1):
        batch.append(line)
        if len(batch) >= _BATCH or seen == first:
            yield batch
            batch = []
    if batch:
        yield batch


def _lasting(told: Told, spool: _Spool) -> list[Any]:
    """What a writer is named after. A file's date is no part of it: copies of the file are the same run."""
    times = ("started_ns", "ended_ns") if spool.is_undated else ()
    return sorted((name, repr(value)) for name, value in told.items() if name not in times)


def _finish(folder: str, header: Header, words: list[bytes], spool: _Spool, last: bytes) -> int:
    """Put the journal together; the number of its lines."""
    with open(os.path.join(folder, segment_name(header.writer, 0)), "wb") as file:
        file.write(header.encode() + b"".join(words))
        with open(spool.path, "rb") as rows:
            shutil.copyfileobj(rows, file, 1 << 20)
        if spool.lines or not words or words[-1] != last:
            file.write(last)
            return len(words) + spool.lines + 1
    return len(words)
