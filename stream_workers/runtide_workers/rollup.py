"""Tiers follow the points about once a second, in the background: recomputed from the raw points, never added to.

Under load they follow less often, but those of a run that ends always do within a second or two.
"""

from __future__ import annotations

import asyncio
import logging
import threading
import time
from collections.abc import Collection, Sequence
from typing import Protocol

from runtide_storage.errors import StorageError
from runtide_storage.rollup import Touched
from runtide_workers.sink import Stored

log = logging.getLogger(__name__)

INTERVAL_S = 1.0
INTERVAL_MAX_S = 15.0
REST = 9.0  # times as long as the last rollup took: it may have a tenth of the time
RUNS_MAX = 500  # at a time
REPAIR_AFTER_S = 20.0


class RollupStorage(Protocol):
    """The part of `Writer` that is needed here. Blocking."""

    def rollup(self, touched: Sequence[Touched], several_attempts: set[int]) -> None: ...
    def stale_rollups(self) -> Sequence[Touched]: ...


class Rollup:
    """Collects what was touched and recomputes its buckets."""

    def __init__(self, storage: RollupStorage, storing: threading.Lock) -> None:
        """`storing` is held while points are stored: where attempts begin must not move during a rollup."""
        self._storage = storage
        self._storing = storing
        self._touched: dict[int, tuple[int, int]] = {}
        self._ended: set[int] = set()
        self._relaunched: set[int] = set()
        self._one_at_a_time = asyncio.Lock()
        self.seconds = 0.0  # spent so far
        self.failed = 0
        self._repair_at_s: float | None = None

    @property
    def pending(self) -> int:
        """Runs whose tiers are behind their points."""
        return len(self._touched)

    def note(self, stored: Stored) -> None:
        """A batch was stored."""
        for run, (low, high) in stored.touched.items():
            self._touch(run, low, high)
        self._relaunched |= stored.relaunched
        self._ended |= stored.ended & self._touched.keys()

    def repair_later(self) -> None:
        """Partitions came from another worker, whose last rollup may still be on its way and undo a newer one."""
        self._repair_at_s = time.monotonic() + REPAIR_AFTER_S

    async def repair(self) -> None:
        """Take up what an earlier worker stored but did not roll up. Raises `Unreachable`."""
        stale = await asyncio.to_thread(self._storage.stale_rollups)
        for touched in stale:
            self._touch(touched.run, touched.lo_step, touched.hi_step)
        self._relaunched.update(touched.run for touched in stale)  # which of them were relaunched is not known here
        if stale:
            log.info("rolling up %d runs that an earlier worker left behind", len(stale))

    async def run(self) -> None:
        """For ever."""
        interval_s = INTERVAL_S
        next_s = time.monotonic() + interval_s
        while True:
            await asyncio.sleep(INTERVAL_S)
            started = time.monotonic()
            try:
                if started < next_s:
                    await self.flush(self._ended)  # at once: the next run may be compared with them
                    continue
                if self._repair_at_s is not None and started >= self._repair_at_s:
                    self._repair_at_s = None
                    await self.repair()
                await self.flush()
                interval_s = min(max(INTERVAL_S, REST * (time.monotonic() - started)), INTERVAL_MAX_S)
            except StorageError as error:  # points go on being stored; nothing is forgotten here
                self.failed += 1
                log.log(logging.DEBUG if error.retriable else logging.ERROR, "rollup failed, tried again: %s", error)
                interval_s = min(2 * interval_s, INTERVAL_MAX_S)
            next_s = time.monotonic() + interval_s

    async def flush(self, only: Collection[int] | None = None) -> None:
        """Roll up what is touched, all of it or of these runs. Raises `Unreachable`; nothing is forgotten then."""
        async with self._one_at_a_time:
            while runs := [run for run in self._touched if only is None or run in only][:RUNS_MAX]:
                taken = {run: self._touched.pop(run) for run in runs}
                relaunched = self._relaunched.intersection(runs)
                started = time.monotonic()
                try:
                    touched = [Touched(run, low, high) for run, (low, high) in taken.items()]
                    await asyncio.to_thread(self._roll_up, touched, relaunched)
                except BaseException:
                    for run, (low, high) in taken.items():
                        self._touch(run, low, high)
                    raise
                finally:
                    self.seconds += time.monotonic() - started
                self._relaunched -= relaunched.difference(self._touched)
                self._ended.difference_update(runs)

    def _roll_up(self, touched: Sequence[Touched], relaunched: set[int]) -> None:
        plain = [each for each in touched if each.run not in relaunched]
        if plain:
            self._storage.rollup(plain, set())
        if relaunched:
            with self._storing:
                self._storage.rollup([each for each in touched if each.run in relaunched], relaunched)

    def _touch(self, run: int, low: int, high: int) -> None:
        known = self._touched.get(run, (low, high))
        self._touched[run] = (min(low, known[0]), max(high, known[1]))
