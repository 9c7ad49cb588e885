"""One run of a source as a journal: all of it the first time, later only what is new.

(run, writer, seq) is an event's identity, so each event needs the same three wherever and however often it is imported:

- Row i of a run is seq i of a writer that is named after the run and its first row.
- What the run says of itself has seqs far behind all rows, made of its content: a *version*, and another one when it
  changes.

So nothing has to be remembered for that. `Record` only spares sending again what is stored, and knows the digest of the
rows that were sent: if they are no longer the first ones, the history was rewritten. All of it then has another writer,
which makes it the run's next attempt, and queries show that.
"""

from __future__ import annotations

import hashlib
import os
import shutil
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, replace
from typing import BinaryIO

import orjson

from runtide.events import Header, segment_name
from runtide.importing.lines import Line, Rows, Told, changed_words, ended_otherwise, ending, first_words, told_of
from runtide.importing.model import Facts, SourceRun, digest

VERSIONS_FIRST = 1 << 62  # rows have the seqs below
VERSION_LINES_BITS = 16
VERSION_DIGITS = 11  # of hex: 44 bits
_SPOOL = "rows"
_BATCH = 4096  # lines that are hashed and written at a time


@dataclass(frozen=True, slots=True)
class Record:
    """What is known of an imported run: which writer has it, how many rows of it were sent, and which."""

    project: str
    origin: str
    fingerprint: str
    writer: str
    rows: int
    points: int
    digest: str  # of the rows
    undated_ns: int
    told: Told
    version: str
    version_ns: int

    def encode(self) -> bytes:
        return orjson.dumps(asdict(self))

    @classmethod
    def decode(cls, data: bytes) -> Record:
        """Raises `ValueError`, `TypeError` or `KeyError` for what is none."""
        return cls(**orjson.loads(data))


@dataclass(frozen=True, slots=True)
class Written:
    """A journal in a folder, or none (0 lines) if there was nothing new."""

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
    again: bool = False,
) -> Written:
    """Write what is not imported yet into `folder`; with `again`: all of it.

    Raises what the source raises, and `OSError`.
    """
    rewritten = ""
    before = None if again else known
    try:
        spool = _Spool(run, known, folder, again)
    except _Rewritten:
        known = None
        spool = _Spool(run, None, folder, again)
        rewritten = spool.digest
    told = told_of(adjust(run.facts()))
    if known is not None and spool.is_undated and spool.rows == known.rows:  # only the file's date is another one
        told |= {name: known.told[name] for name in ("started_ns", "ended_ns")}
    if before is None:
        parent, at_ns = "", told["ended_ns"]
        words = first_words(told)
        is_news = True
    else:
        parent, at_ns = before.version, max(told["ended_ns"], before.version_ns + 1)  # later words win by their time
        words = changed_words(told, before.told, at_ns)
        is_news = bool(words or spool.lines or rewritten) or ended_otherwise(told, before.told)
    writer = known.writer if known else f"import-{kind}-{digest(run.project, run.run_id, spool.first, rewritten)[:16]}"
    lines = 0
    version, version_ns = (known.version, known.version_ns) if known else ("", 0)
    if is_news:
        words.append(ending(told, at_ns))
        version, version_ns = digest(parent, words)[:VERSION_DIGITS], at_ns
        seq = VERSIONS_FIRST + (int(version, 16) << VERSION_LINES_BITS)
        header = Header(run.project, run.run_id, writer, seq, told["started_ns"], mode="offline", kafka=kafka)
        lines = _put_together(folder, header, words, spool)
    os.unlink(spool.path)
    record = Record(
        project=run.project,
        origin=run.origin,
        fingerprint=fingerprint,
        writer=writer,
        rows=spool.rows,
        points=(known.points if known and not again else 0) + spool.points,
        digest=spool.digest,
        undated_ns=spool.undated_ns,
        told=told,
        version=version,
        version_ns=version_ns,
    )
    return Written(record, spool.points, lines, bool(rewritten), {**spool.refused, **run.lost})


class _Spool:
    """The rows' lines in a file, without those that were sent: these are only compared with what was sent."""

    def __init__(self, run: SourceRun, known: Record | None, folder: str, again: bool) -> None:
        self.path = os.path.join(folder, _SPOOL)
        self.undated_ns = known.undated_ns if known else run.undated_ns
        self.skipped = known.rows if known and not again else 0
        self.rows = self.lines = self.points = 0
        self.first = b""  # row
        self.is_undated = False
        maker = Rows(self.undated_ns)
        hashed = hashlib.blake2b(digest_size=16)
        sent = known.rows if known else 0
        with open(self.path, "wb") as file:
            for batch in _batches(maker.lines(run.rows()), sent):
                self.first = self.first or batch[0].content
                self.is_undated = self.is_undated or batch[0].line is not batch[0].content
                hashed.update(b"".join(line.content for line in batch))
                self.rows += len(batch)
                if known is not None and self.rows == sent and hashed.hexdigest() != known.digest:
                    raise _Rewritten
                if self.rows <= self.skipped:
                    maker.refused.clear()
                    continue
                file.write(b"".join(line.line for line in batch))
                self.lines += len(batch)
                self.points += sum(line.points for line in batch)
        if self.rows < sent:
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


def _put_together(folder: str, header: Header, words: list[bytes], spool: _Spool) -> int:
    """The journal: words, rows, and the last word once more, so that nobody adds one. Gives the number of its lines."""

    def segment(number: int, seq: int) -> BinaryIO:
        file = open(os.path.join(folder, segment_name(header.writer, number)), "wb")  # noqa: SIM115 - it is closed below
        file.write(replace(header, seq=seq).encode())
        return file

    with segment(0, header.seq) as file:
        file.writelines(words)
    if not spool.lines:
        return len(words)
    with segment(1, spool.skipped) as file, open(spool.path, "rb") as rows:
        shutil.copyfileobj(rows, file, 1 << 20)
    with segment(2, header.seq + len(words)) as file:
        file.write(words[-1])
    return len(words) + spool.lines + 1
