"""What is known to be stored, per writer: loaded from storage on first need, kept for the writers seen last."""

from __future__ import annotations

import logging
from collections import OrderedDict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from runtide.events import Header
from runtide_workers.attempts import Joined, attempt_of
from runtide_workers.intervals import Intervals, Range
from runtide_workers.storage import Storage

log = logging.getLogger(__name__)

WRITERS_MAX = 20_000  # about 20 MB; a dropped one costs one more row in the next load
Pair = tuple[int, int]  # (run, writer)


@dataclass(slots=True)
class Known:
    """A writer, as far as storage has it."""

    attempt: int
    rank: int
    intervals: Intervals
    point_at_ms: int = 0


class Progress:
    """The cache. Right only while this worker alone owns the writers' partitions: `clear` when that changes."""

    def __init__(self, storage: Storage, writers_max: int = WRITERS_MAX) -> None:
        self._storage = storage
        self._known: OrderedDict[Pair, Known] = OrderedDict()
        self._writers_max = writers_max
        self._relaunched: set[int] = set()  # runs with an attempt other than the first
        self._deleted: set[Pair] = set()  # writers whose run is deleted for good

    def clear(self) -> None:
        self._known.clear()
        self._relaunched.clear()
        self._deleted.clear()

    def begin(self, writers: dict[Pair, Header]) -> Change:
        """What is stored of these writers, to be worked on and kept only when all is stored. At most three queries.

        Writers of deleted runs have nothing that could be claimed.
        """
        absent = [pair for pair in writers if pair not in self._known and pair not in self._deleted]
        if absent:
            self._find_deleted(absent)
            absent = [pair for pair in absent if pair not in self._deleted]
        counted = self._load(absent, writers) if absent else {}
        work = {
            pair: replace(known, intervals=known.intervals.copy())
            for pair in writers
            if (known := self._known.get(pair))
        }
        return Change(work | counted, {pair: writers[pair] for pair in counted})

    def _load(self, absent: Sequence[Pair], writers: dict[Pair, Header]) -> dict[Pair, Known]:
        """Learn what is stored of these writers; those that are new get their attempts, in the order of the log."""
        for pair, stored in self._storage.load_writers(absent).items():
            ranges = Intervals((int(first), int(after)) for first, after in stored.intervals)
            self._known[pair] = Known(stored.attempt, stored.rank, ranges, stored.point_at_ms)
        loaded = self._storage.load_attempts(sorted({run for run, _ in absent}))
        joined = {run: [Joined(attempt, rank) for attempt, rank, *_ in rows] for run, rows in loaded.items()}
        counted: dict[Pair, Known] = {}
        for run, writer in absent:
            earlier = joined.setdefault(run, [])
            if (run, writer) not in self._known:
                header = writers[run, writer]
                attempt = attempt_of(header, earlier)
                earlier.append(Joined(attempt, header.rank))
                counted[run, writer] = Known(attempt, header.rank, Intervals())
        self._relaunched.update(run for run, rows in joined.items() if any(joined.attempt > 1 for joined in rows))
        return counted

    def _find_deleted(self, absent: Sequence[Pair]) -> None:
        gone = self._storage.deleted(sorted({run for run, _ in absent}))
        if not gone:
            return
        if len(self._deleted) > self._writers_max:
            self._deleted.clear()
        self._deleted.update(pair for pair in absent if pair[0] in gone)
        log.warning("dropping what still arrives of %d deleted runs: a deleted run's id can't be used again", len(gone))

    def relaunched(self, runs: Iterable[int]) -> set[int]:
        """Those of the runs that may have several attempts."""
        return self._relaunched.intersection(runs)

    def keep(self, change: Change) -> None:
        """The change is stored."""
        for pair, known in change.writers.items():
            self._known[pair] = known
            self._known.move_to_end(pair)
        while len(self._known) > self._writers_max:
            self._known.popitem(last=False)


@dataclass(slots=True)
class Change:
    """The writers of one batch: what is stored of them, and what will be when the batch is."""

    writers: dict[Pair, Known]
    new: dict[Pair, Header]

    def claim(self, pair: Pair, first: int, after: int) -> list[Range]:
        """Take [first, after) and return what of it is not stored yet, nor claimed in this batch."""
        if pair not in self.writers:  # its run is deleted
            return []
        intervals = self.writers[pair].intervals
        missing = intervals.missing(first, after)
        if missing:
            intervals.add(first, after)
        return missing

    def saw_points(self, newest_ms: dict[Pair, int]) -> None:
        for pair, at_ms in newest_ms.items():
            known = self.writers[pair]
            known.point_at_ms = max(known.point_at_ms, at_ms)

    def rows(self, claimed: Iterable[tuple[Pair, Sequence[Range]]]) -> list[dict[str, int]]:
        """Rows of ingest_progress for what was claimed."""
        grown = {
            (pair, self.writers[pair].intervals.around(first)) for pair, missing in claimed for first, _ in missing
        }
        return [
            {
                "run": pair[0],
                "writer": pair[1],
                "first": first,
                "next": after,
                "point_at": self.writers[pair].point_at_ms,
            }
            for pair, (first, after) in sorted(grown)
        ]
