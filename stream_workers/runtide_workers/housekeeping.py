"""Now and then: runs that their project keeps no longer are deleted, and what is left of deleted runs is swept away.

Every worker does it: both are idempotent, and cost a query or two when there is nothing to do.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable

from clickhouse_connect.driver.client import Client as Driver

from runtide_storage import retention
from runtide_storage.cluster import cluster_name
from runtide_storage.deletion import FRESH_S, Deletions
from runtide_storage.errors import StorageError
from runtide_storage.reader import Reader

log = logging.getLogger(__name__)

PERIOD_S = 15.0


class Housekeeping:
    """Through one client of a user who may write. `on_deleted` is called when runs were deleted by anybody."""

    def __init__(self, client: Driver, on_deleted: Callable[[], None]) -> None:
        self._reader = Reader(client)
        self._deletions = Deletions(client, cluster_name())
        self._on_deleted = on_deleted
        self._seen: object = None  # the tombstones at the last sweep
        self._sweep_until_s = 0.0

    async def run(self) -> None:
        """For ever."""
        while True:
            try:
                await asyncio.to_thread(self.tidy)
            except StorageError as error:
                log.log(logging.DEBUG if error.retriable else logging.ERROR, "housekeeping, tried again: %s", error)
            await asyncio.sleep(PERIOD_S)

    def tidy(self) -> None:
        """Once. Blocking. Raises `Unreachable`."""
        if old := retention.apply(self._reader, self._deletions):
            log.info("deleted %d runs that their project keeps no longer", len(old))
        newest = self._deletions.newest()
        if newest != self._seen:  # what was under way when a run was deleted may come for a while
            self._seen = newest
            self._on_deleted()
            self._sweep_until_s = time.monotonic() + 2 * FRESH_S
        if newest[0] and time.monotonic() < self._sweep_until_s:
            self._deletions.sweep()
