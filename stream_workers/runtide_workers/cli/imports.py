"""`runtide import`: read a source, wait until its runs are stored, and say what became of them."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from runtide import settings
from runtide.cli import UNREACHABLE, CommandError
from runtide.importing import Outcome, Report, SourceRun
from runtide.importing.bringing import Wishes
from runtide.importing.bringing import bring as import_runs
from runtide.importing.bringing import look as look_at_runs
from runtide_workers.cli import output

TOLD_MAX = 20  # runs that failed, with their reasons
WORDS = ("imported", "grown", "rewritten", "unchanged", "found", "failed")


def wishes(
    project: str | None, group: str | None, tags: Sequence[str] | None, runs: Sequence[str] | None,
    same_hardware: bool, again: bool,
) -> Wishes:  # fmt: skip
    """The options that all sources share."""
    from runtide.identity import clean

    if project and clean(project, "") != project:
        raise CommandError(f"--project {project!r}: names are of A-Z a-z 0-9 . _ -")
    return Wishes(project or "", group or "", tuple(tags or ()), tuple(runs or ()), same_hardware, again)


def pairs(given: Sequence[str]) -> dict[str, str]:
    """`role=name` options as a mapping."""
    found = dict(each.partition("=")[::2] for each in given)
    for role, name in found.items():
        if not name:
            raise CommandError(f"--column {role}: give ROLE=NAME, for example --column run=name")
    return found


def bring(
    kind: str, source: Callable[[], Iterable[SourceRun]], wanted: Wishes, dry_run: bool, kafka: str | None,
    timeout_s: float, as_json: bool,
) -> int:  # fmt: skip
    """0: everything is stored; 1: a run could not be read, or some wait to be stored; 3: Kafka can't be used."""
    found = settings.load(kafka=kafka)
    progress = _progress()
    try:
        if dry_run:
            report = look_at_runs(source(), wanted, progress)
        else:
            report = import_runs(
                source(), kind, home=found.home, kafka=found.kafka, wishes=wanted, wait_s=timeout_s, progress=progress
            )
    except BlockingIOError as error:
        raise CommandError(f"{error}; wait for it") from None
    finally:
        if sys.stderr.isatty():
            print("\r\x1b[K", end="", file=sys.stderr, flush=True)
    if as_json:
        print(output.as_json(_as_json(report)))
    else:
        _print(report, dry_run)
    if report.waiting and report.error:
        raise CommandError(
            f"Kafka at {found.kafka} can't be used: {report.error}; {report.waiting} runs are read and wait:"
            " import again", UNREACHABLE,
        )  # fmt: skip
    if not report.runs and not report.waiting:
        raise CommandError(f"no run there is called {', '.join(wanted.runs)}")
    return 1 if report.waiting or report.counts["failed"] else 0


def _print(report: Report, dry_run: bool) -> None:
    if dry_run:
        output.table(
            ("run", "points", "metrics", "from"),
            [(f"{r.project}/{r.run_id}", r.points, r.metrics, r.origin) for r in report.runs if r.status == "found"],
            right=("points", "metrics"),
        )
    counts = ", ".join(f"{report.counts[word]} {word}" for word in WORDS if report.counts[word]) or "no runs"
    times = f"read in {output.duration(report.reading_s)}"
    if not dry_run:
        times += f", stored in {output.duration(report.delivering_s)}"
    print(f"{counts}: {report.points:,} points, {times}")
    failed = [run for run in report.runs if run.status == "failed"]
    for run in failed[:TOLD_MAX]:
        _warn(run, f"not imported: {run.reason}")
    if len(failed) > TOLD_MAX:
        print(f"and {len(failed) - TOLD_MAX} more were not imported (--json lists all)", file=sys.stderr)
    for run in [run for run in report.runs if run.refused][:TOLD_MAX]:
        _warn(run, "left out: " + ", ".join(f"{count} x {reason}" for reason, count in run.refused.items()))
    if report.waiting and not report.error:
        print(f"{report.waiting} runs are not stored yet: import again to wait for them", file=sys.stderr)


def _warn(run: Outcome, text: str) -> None:
    print(output.clean(f"{run.project}/{run.run_id} ({run.origin}): {text}"), file=sys.stderr)


def _as_json(report: Report) -> dict[str, Any]:
    return {
        "runs": [
            {
                "project": run.project, "run_id": run.run_id, "origin": run.origin, "status": run.status,
                "points": run.points, "metrics": run.metrics, "reason": run.reason or None, "left_out": run.refused,
            }
            for run in report.runs
        ],
        "points": report.points, "reading_s": report.reading_s, "delivering_s": report.delivering_s,
        "waiting": report.waiting, "error": report.error,
    }  # fmt: skip


def _progress() -> Callable[[str, int, int], None]:
    if not sys.stderr.isatty():
        return lambda *_: None
    return lambda what, runs, points: print(
        f"\r\x1b[K{what}: {runs:,} runs, {points:,} points", end="", file=sys.stderr, flush=True
    )
