"""An import from end to end: what is new or changed becomes journals, and is delivered some hundred runs at a time."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from fnmatch import fnmatchcase
from typing import Literal

from runtide import system
from runtide.commands import size
from runtide.errors import RuntideError
from runtide.importing.book import Book
from runtide.importing.model import Facts, SourceRun, digest
from runtide.importing.writing import write
from runtide.sync import sync

WAVE_RUNS = 300  # that are delivered at a time: a killed import has as much to do again
WAVE_POINTS = 5_000_000

Status = Literal["imported", "grown", "rewritten", "unchanged", "failed", "found"]


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of a run. `points`: that were sent, or would be; `found`: it was only looked at."""

    project: str
    run_id: str
    origin: str
    status: Status
    points: int = 0
    metrics: int = 0  # of a run that was looked at
    reason: str = ""  # why it failed
    refused: dict[str, int] = field(default_factory=dict)  # what of it can't be kept, by reason


@dataclass(slots=True)
class Report:
    """What an import did. Times in seconds."""

    runs: list[Outcome] = field(default_factory=list)
    reading_s: float = 0.0  # and writing journals
    delivering_s: float = 0.0
    waiting: int = 0  # runs that are written, but not confirmed stored
    error: str | None = None  # why Kafka could not be used

    @property
    def counts(self) -> Counter[str]:
        return Counter(run.status for run in self.runs)

    @property
    def points(self) -> int:
        return sum(run.points for run in self.runs)


@dataclass(frozen=True, slots=True)
class Wishes:
    """What the user wants otherwise than the source says. `runs`: globs of ids or names in the source."""

    project: str = ""
    group: str = ""
    tags: Sequence[str] = ()
    runs: Sequence[str] = ()
    same_hardware: bool = False  # as this machine's
    again: bool = False

    def wants(self, run: SourceRun) -> bool:
        names = (run.run_id, "/" + run.origin.rpartition(":")[2])
        globs = [glob for pattern in self.runs for glob in (pattern, f"*/{pattern}")]
        return not globs or any(fnmatchcase(name, glob) for name in names for glob in globs)

    def adjust(self, facts: Facts) -> Facts:
        tags = [*facts.tags, *(tag for tag in self.tags if tag not in facts.tags)]
        meta = (_hardware() if self.same_hardware else {}) | dict(facts.meta)
        return replace(facts, group=self.group or facts.group, tags=tags, meta=meta)


Progress = Callable[[str, int, int], None]  # (what is being done, runs so far, points so far)


def bring(
    runs: Iterable[SourceRun],
    kind: str,
    *,
    home: str,
    kafka: str,
    wishes: Wishes = Wishes(),
    wait_s: float = 600.0,
    progress: Progress = lambda *_: None,
) -> Report:
    """Import runs and wait until they are stored, at most `wait_s` s for each wave of them.

    What an import that was killed left behind is delivered first. Raises `ImportFailed` if nothing can be read there,
    `OSError` if the folder of imports can't be used. A Kafka that can't be reached is no exception, but the report's
    `error`.
    """
    book = Book(home, kafka)
    book.open()
    try:
        return _Import(book, kind, kafka, wishes, wait_s, progress).run(runs)
    finally:
        book.close()


def look(runs: Iterable[SourceRun], wishes: Wishes = Wishes(), progress: Progress = lambda *_: None) -> Report:
    """Read everything, and keep nothing."""
    report = Report()
    began = time.monotonic()
    for run in runs:
        if not wishes.wants(run):
            continue
        project = wishes.project or run.project
        metrics, points = set[str](), 0
        try:
            for _, _, values in run.rows():
                metrics |= values.keys()
                points += len(values)
            run.facts()
        except Exception as error:  # noqa: BLE001 - other people's formats: whatever it is, it concerns this run alone
            report.runs.append(Outcome(project, run.run_id, run.origin, "failed", reason=_told(error)))
            continue
        report.runs.append(Outcome(project, run.run_id, run.origin, "found", points, len(metrics), refused=run.lost))
        progress("reading", len(report.runs), report.points)
    report.reading_s = time.monotonic() - began
    return report


class _Import:
    def __init__(self, book: Book, kind: str, kafka: str, wishes: Wishes, wait_s: float, progress: Progress) -> None:
        self._book, self._kind, self._kafka, self._wishes = book, kind, kafka, wishes
        self._wait_s, self._progress = wait_s, progress
        self._report = Report()
        self._origins: dict[tuple[str, str], str] = {}
        self._drafts = self._drafted_points = 0

    def run(self, runs: Iterable[SourceRun]) -> Report:
        report = self._report
        began = time.monotonic()
        if not self._deliver():
            return report
        for run in runs:
            if not self._wishes.wants(run):
                continue
            run.project = self._wishes.project or run.project
            if self._book.is_drafted(run.run_id) and not self._deliver():
                break
            outcome = self._take(run)
            report.runs.append(outcome)
            self._progress("reading", len(report.runs), report.points)
            if (self._drafts >= WAVE_RUNS or self._drafted_points >= WAVE_POINTS) and not self._deliver():
                break
        else:
            self._deliver()
        report.reading_s = time.monotonic() - began - report.delivering_s
        return report

    def _take(self, run: SourceRun) -> Outcome:
        place = run.project, run.run_id
        try:
            return self._write(run)
        except OSError as error:
            if error.filename is not None and str(error.filename).startswith(self._book.root):
                raise  # our own disk
            failure: Exception = error
        except Exception as error:  # noqa: BLE001 - other people's formats: whatever it is, it concerns this run alone
            failure = error
        self._book.drop(run.run_id)
        return Outcome(*place, run.origin, "failed", reason=_told(failure))

    def _write(self, run: SourceRun) -> Outcome:
        place = run.project, run.run_id
        known, again = self._book.known(*place), self._wishes.again
        other = self._origins.setdefault(place, known.origin if known and not again else run.origin)
        if other != run.origin:
            raise RuntideError(
                f"there is one from {other} already: give this one another --project, or --again if it is the same"
            )
        fingerprint = digest(run.fingerprint, replace(self._wishes, project="", runs=(), again=False))
        if known is not None and known.fingerprint == fingerprint and not again:
            return Outcome(*place, run.origin, "unchanged")
        folder = self._book.draft(run.run_id)
        written = write(
            run, known, folder, kind=self._kind, kafka=self._kafka, fingerprint=fingerprint,
            adjust=self._wishes.adjust, again=again,
        )  # fmt: skip
        if not written.lines:
            self._book.drop(run.run_id)
            self._book.note(run.run_id, written.record)
            return Outcome(*place, run.origin, "unchanged")
        self._book.keep(run.run_id, written.record)
        self._drafts += 1
        self._drafted_points += written.points
        status: Status = "rewritten" if written.is_rewritten else "grown" if known and not again else "imported"
        return Outcome(*place, run.origin, status, written.points, refused=written.refused)

    def _deliver(self) -> bool:
        """Send what is written, and wait until it is stored. False: it is not."""
        report = self._report
        report.waiting = self._book.publish()
        self._drafts = self._drafted_points = 0
        if not report.waiting:
            return True
        began = time.monotonic()
        done = sync(
            self._book.journals,
            self._kafka,
            wait_s=self._wait_s,
            progress=lambda at: self._progress(
                f"storing, {size(at.remaining_bytes)} to go", len(report.runs), report.points
            ),
        )
        report.delivering_s += time.monotonic() - began
        self._book.settle()
        report.waiting = self._book.publish()
        report.error = done.error
        return done.complete


def _hardware() -> dict[str, object]:
    """What of this machine decides whose baselines a run can be (docs/detection.md, families)."""
    found = system.describe_hardware()
    return {
        name: found[name]
        for name in ("cpu/count", "cpu/usable", "cpu/model", "gpu/count", "gpu/names")
        if name in found
    }


def _told(error: Exception) -> str:
    text = " ".join(str(error).split())
    return text if isinstance(error, RuntideError) and text else f"{type(error).__name__}: {text}"
