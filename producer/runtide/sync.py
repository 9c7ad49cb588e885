"""`runtide sync`: deliver journals that no shipper delivers: offline runs, and runs meant for another Kafka."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace

from runtide.events import Header, segment_name
from runtide.shipper.discovery import segments_by_writer
from runtide.shipper.locks import FileLock
from runtide.shipper.progress import load_state
from runtide.shipper.spawn import path_of
from runtide.shipper.tail import Position

__all__ = ["SyncReport", "sync"]

REPORT_S = 0.25
_LOCK_PATIENCE_S = 0.5


@dataclass(frozen=True, slots=True)
class SyncReport:
    """How far a sync is, or was when it ended. Counts are of journal lines (events)."""

    runs: int = 0
    writers: int = 0
    sent_lines: int = 0  # acknowledged by Kafka
    confirmed_lines: int = 0  # stored in ClickHouse, as far as the workers have said
    remaining_bytes: int = 0  # not confirmed yet
    remaining_writers: int = 0
    complete: bool = False  # everything that was there at the start is confirmed
    error: str | None = None  # why Kafka could not be used

    def __str__(self) -> str:
        done = (
            "all stored"
            if self.complete
            else f"{self.remaining_bytes} bytes of {self.remaining_writers} writers remain"
        )
        return f"{self.runs} runs, {self.writers} writers: {self.confirmed_lines} events stored, {done}"


def sync(
    directory: str | os.PathLike[str],
    kafka: str,
    *,
    runs: Iterable[str] | None = None,
    include_offline: bool = True,
    wait_s: float | None = 60.0,
    progress: Callable[[SyncReport], None] | None = None,
) -> SyncReport:
    """Send the journals under `directory` to `kafka` and wait until they are confirmed stored, at most `wait_s` s.

    Journals of all targets are sent, those of offline runs only with `include_offline`; `runs` restricts it to these
    run ids. What a running shipper of this target already delivers is left to it, and waited for. Confirmed journals
    of processes that have ended are deleted. `progress` is called some times a second. Raises OSError if the directory
    can't be used; a Kafka that can't be reached is no exception but the report's `error`.
    """
    root = os.path.abspath(os.fspath(directory))
    if not os.path.isdir(root):
        raise FileNotFoundError(f"no journal directory {root}")
    wanted = None if runs is None else frozenset(runs)
    mine = FileLock(path_of(root, f"sync:{kafka}", "lock"))
    if not mine.acquire(_LOCK_PATIENCE_S):
        raise BlockingIOError(f"another sync of {root} to {kafka} is running")
    shipper_lock = FileLock(path_of(root, kafka, "lock"))
    alone = shipper_lock.acquire(_LOCK_PATIENCE_S)  # also keeps shippers from starting meanwhile
    try:
        scope = _Scope(root, kafka, wanted, include_offline, alone)
        return asyncio.run(_sync(scope, None if wait_s is None else time.monotonic() + wait_s, progress))
    finally:
        shipper_lock.release()
        mine.release()


class _Scope:
    """Which journals are to be delivered, and which of them a running shipper delivers anyway."""

    def __init__(self, root: str, kafka: str, runs: frozenset[str] | None, include_offline: bool, alone: bool) -> None:
        self.root = root
        self.kafka = kafka
        self.seen: set[tuple[str, str]] = set()
        self._runs = runs
        self._include_offline = include_offline
        self._alone = alone
        self._others: dict[tuple[str, str], Position] = {}  # what the running shipper has to confirm

    def accepts(self, header: Header) -> bool:
        online = header.mode in (None, "online")
        if (self._runs is not None and header.run not in self._runs) or not (online or self._include_offline):
            return False
        self.seen.add((header.run, header.writer))
        if self._alone or not online or header.kafka not in (None, self.kafka):
            return True
        directory = os.path.join(self.root, header.run)
        newest = max(segments_by_writer(directory).get(header.writer, [0]))
        try:
            size = os.stat(os.path.join(directory, segment_name(header.writer, newest))).st_size
            self._others[directory, header.writer] = Position(newest, size, 0)
        except FileNotFoundError:
            pass  # delivered this very moment
        return False

    def others_left(self) -> int:
        """Writers that the running shipper has not got through with."""
        for (directory, writer), goal in list(self._others.items()):
            at = load_state(directory, writer)
            gone = not os.path.exists(os.path.join(directory, segment_name(writer, goal.segment)))
            if gone or (at.segment, at.offset) >= (goal.segment, goal.offset):
                del self._others[directory, writer]
        return len(self._others)


async def _sync(scope: _Scope, deadline_s: float | None, progress: Callable[[SyncReport], None] | None) -> SyncReport:
    from runtide.shipper.loop import Outcome, Shipper, ShipperSettings

    shipper = Shipper(ShipperSettings(scope.root, scope.kafka, idle_exit_s=None, once=True, accepts=scope.accepts))

    def report() -> SyncReport:
        status = shipper.measure()
        return SyncReport(
            runs=len({run for run, _ in scope.seen}),
            writers=len(scope.seen),
            sent_lines=status.sent_lines,
            confirmed_lines=status.confirmed_lines,
            remaining_bytes=status.unconfirmed_bytes,
            remaining_writers=len(shipper.shipments) + scope.others_left(),
            error=status.error or status.refused,
        )

    shipping = asyncio.ensure_future(shipper.run())
    try:
        while not shipping.done() or scope.others_left():
            await asyncio.wait({shipping}, timeout=REPORT_S)
            if shipping.done() and scope.others_left():
                await asyncio.sleep(REPORT_S)
            if progress is not None:
                progress(report())
            if deadline_s is not None and time.monotonic() > deadline_s:
                shipper.stop()
                break
        outcome = await shipping
        return replace(report(), complete=outcome is Outcome.DONE and not scope.others_left())
    finally:
        shipping.cancel()
        await shipper.close()
