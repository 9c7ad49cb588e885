"""Detection as a thread beside the sink: takes over what was stored, and never holds it up.

What it can't keep up with is not queued without end: the batches are dropped and their runs read again from ClickHouse.
"""

from __future__ import annotations

import logging
import threading
import time
from collections import Counter
from collections.abc import Callable

import numpy as np

from runtide_storage.errors import Unreachable
from runtide_workers.alerting.lookout import Lookout
from runtide_workers.decode import Decoded
from runtide_workers.sink import Stored

log = logging.getLogger(__name__)

WAITING_POINTS_MAX = 5_000_000  # between sink and detector, about 300 MB
PERIOD_S = 0.2
REPAIR_S = 20.0  # after partitions moved: the worker that had them may still have been storing
PAUSE_S = 0.5
PAUSE_MAX_S = 30.0
FAILURES_MAX = 2  # over one run; then it is left alone


class Detector:
    """`make` gives a lookout that follows nothing yet: at the start, and whenever detection starts over."""

    def __init__(self, make: Callable[[], Lookout]) -> None:
        self._make = make
        self._lookout = self._make()
        self._blamed: Counter[int] = Counter()  # run -> failures over it
        self._lock = threading.Lock()  # over what follows
        self._batches: list[Decoded] = []
        self._waiting_points = 0
        self._shed_runs: set[int] = set()
        self._owns: Callable[[str], bool] = lambda _: True
        self._adopt_at_s: list[float] = []
        self._wake = threading.Event()
        self._ending = False
        self._thread = threading.Thread(target=self._run, name="detector", daemon=True)
        # For /metrics:
        self.alerts = self.failures = self.shed = 0
        self.seconds = 0.0  # of CPU

    def start(self) -> None:
        self._thread.start()

    def stop(self, timeout_s: float) -> None:
        """Finish the round in hand. What was not said yet the next worker will find again."""
        self._ending = True
        self._wake.set()
        self._thread.join(timeout_s)

    def note(self, stored: Stored) -> None:
        """A batch is stored. Any thread, and at no cost."""
        with self._lock:
            for decoded in stored.fresh:
                if self._waiting_points + len(decoded) > WAITING_POINTS_MAX:
                    self.shed += 1
                    self._shed_runs.update(np.unique(decoded.points["run"]).tolist())
                    decoded.points = {name: column[:0] for name, column in decoded.points.items()}
                self._batches.append(decoded)
                self._waiting_points += len(decoded)
        self._wake.set()

    def own(self, owns: Callable[[str], bool]) -> None:
        """Partitions were assigned: `owns(run id)` tells whether a run is ours. Any thread."""
        with self._lock:
            self._owns = owns
            self._adopt_at_s = [time.monotonic(), time.monotonic() + REPAIR_S]
        self._wake.set()

    @property
    def followed(self) -> int:
        """Runs."""
        return self._lookout.followed

    @property
    def series(self) -> int:
        """Curves of these runs."""
        return self._lookout.series

    @property
    def waiting_points(self) -> int:
        """Stored, and not seen here."""
        return self._waiting_points

    @property
    def idle(self) -> bool:
        """Is there nothing left to do, as far as it knows?"""
        return not (self._batches or self._adopt_at_s[:-1] or self._lookout.busy)

    def _run(self) -> None:
        unreachable, pause_s = False, PAUSE_S
        while not self._ending:
            self._wake.wait(PERIOD_S)
            self._wake.clear()
            try:
                self._round()
                unreachable, pause_s = False, PAUSE_S
            except Unreachable as error:  # what is not done yet stays for the next round
                log.log(logging.DEBUG if unreachable else logging.WARNING, "detection waits: %s", error)
                unreachable = True
                time.sleep(PAUSE_S)
            except Exception:
                self.failures += 1
                log.exception("detection failed and starts over: what it follows is read again")
                self._start_over()
                time.sleep(pause_s)
                pause_s = min(2 * pause_s, PAUSE_MAX_S)
            self.seconds = time.thread_time()

    def _round(self) -> None:
        lookout = self._lookout
        self._adopt()
        with self._lock:
            batches, self._batches = self._batches, []
            shed, self._shed_runs = self._shed_runs, set()
        for run in shed:
            lookout.again(run)
        for decoded in batches:
            lookout.take(decoded)
            with self._lock:
                self._waiting_points -= len(decoded)
        lookout.look()
        self.alerts += lookout.said
        lookout.said = 0

    def _adopt(self) -> None:
        """After an assignment, and once more a while later."""
        with self._lock:
            due = [moment for moment in self._adopt_at_s if moment <= time.monotonic()]
            owns = self._owns
        if due:
            self._lookout.adopt(owns)
            with self._lock:
                self._adopt_at_s = [moment for moment in self._adopt_at_s if moment not in due]

    def _start_over(self) -> None:
        """With everything that was followed or waiting, but for runs over which detection fails again and again."""
        failed = self._lookout
        if failed.at_work is not None:
            self._blamed[failed.at_work] += 1
            if self._blamed[failed.at_work] >= FAILURES_MAX:
                log.error("run %d is not followed any more: detection failed over it", failed.at_work)
        self._lookout = self._make()
        self._lookout.left_alone = {run for run, count in self._blamed.items() if count >= FAILURES_MAX}
        for run in failed.runs():
            self._lookout.again(run)
        with self._lock:
            self._waiting_points = sum(map(len, self._batches))
            self._adopt_at_s.append(time.monotonic())  # batches in hand are gone: their runs are found by this
