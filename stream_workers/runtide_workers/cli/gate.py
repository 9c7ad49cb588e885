"""`runtide gate`: a verdict as an exit code, for CI. 0: the same or better; 1: worse; 2: can't tell."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from runtide.cli import USAGE, CommandError
from runtide_storage.errors import NotFound
from runtide_workers.cli import output, reports
from runtide_workers.cli.comparing import Comparer
from runtide_workers.cli.verdicts import print_comparison

POLL_S = 1.0
STORED_WAIT_S = 15.0  # after a run's end, for the worker to store its verdict; then it is worked out here
EXIT_CODES = {"better": 0, "same": 0, "worse": 1, "no baseline": USAGE}


def gate(
    ref: str,
    baseline: Sequence[str],
    metrics: Sequence[str],
    junit: str | None,
    markdown: str | None,
    wait_s: float,
    as_json: bool,
) -> int:
    """Judge a run that has ended, at most `wait_s` seconds from now. `junit` and `markdown`: files; "-" is stdout."""
    if [as_json, markdown == "-", junit == "-"].count(True) > 1:
        raise CommandError("--json, --junit - and --markdown -: only one of them can have the standard output")
    comparer = Comparer()
    run = _ended(comparer, ref, wait_s, needs_stored=not baseline and not metrics)
    if run["state"] == "running":
        waited = f" after {wait_s:g} s" if wait_s else ""
        raise CommandError(f"{run['project']}/{run['run_id']} still runs{waited}: --wait SECONDS waits for its end")
    found = comparer.compare(run, baseline, metrics)
    code = EXIT_CODES[found.whole["verdict"]]
    _write(junit, reports.junit(found))
    _write(markdown, reports.markdown(found))
    if as_json:
        print(output.as_json({**found.as_dict(), "exit_code": code}))
    elif markdown != "-" and junit != "-":
        print_comparison(found)
    return code


def _ended(
    comparer: Comparer,
    ref: str,
    wait_s: float,
    *,
    needs_stored: bool,
    clock: Callable[[], float] = time.monotonic,
    sleep: Callable[[float], None] = time.sleep,
) -> Mapping[str, Any]:
    """The run as soon as it has ended and its verdict is there, or as it is when time is up. Raises `NotFound`."""
    end_s = clock() + wait_s
    ended_s: float | None = None
    while True:
        now_s = clock()
        try:
            run = comparer.client.run(ref)
        except NotFound:  # CI is quicker than the pipeline
            if now_s >= end_s:
                raise
        else:
            if run["state"] != "running":
                ended_s = now_s if ended_s is None else ended_s
                if not needs_stored or now_s - ended_s >= STORED_WAIT_S or comparer.stored(run) is not None:
                    return run
            if now_s >= end_s:
                return run
        sleep(max(0.0, min(POLL_S, end_s - now_s)))


def _write(where: str | None, text: str) -> None:
    if where == "-":
        sys.stdout.write(text)
    elif where:
        path = Path(where)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
