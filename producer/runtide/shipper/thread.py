"""The same shipper in a daemon thread, for processes that may have no children. It dies with its process; what it could
not deliver is delivered by the next shipper of the directory."""

from __future__ import annotations

import asyncio
import logging
import os
import threading
from collections.abc import Callable

from runtide.shipper.locks import FileLock
from runtide.shipper.spawn import path_of

log = logging.getLogger("runtide.shipper")
log.addHandler(logging.NullHandler())

_serving: dict[tuple[int, str, str], ShipperThread] = {}  # by process: a forked child has no thread

LOCK_AGAIN_S = 2.0  # another process's thread may have the lock, and may die
_PROBE_PATIENCE_S = 0.1


class ShipperThread:
    """Ships whenever no other shipper of this directory and target does."""

    def __init__(self, directory: str, kafka: str) -> None:
        self.directory = os.path.abspath(directory)
        self.kafka = kafka
        self._stop = threading.Event()
        self._stop_shipper: Callable[[], None] = lambda: None
        self._thread = threading.Thread(target=self._run, name="runtide-shipper", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def is_alive(self) -> bool:
        return self._thread.is_alive()

    def stop(self, timeout_s: float = 10.0) -> None:
        """Drain, bounded, and end."""
        self._stop.set()
        self._stop_shipper()
        self._thread.join(timeout_s)

    def _run(self) -> None:
        logging.getLogger("aiokafka").setLevel(logging.CRITICAL)  # a broker that is down is no news for a trainer's log
        while not self._stop.is_set():
            try:
                os.makedirs(self.directory, mode=0o700, exist_ok=True)
                lock = FileLock(path_of(self.directory, self.kafka, "lock"))
                if lock.acquire(_PROBE_PATIENCE_S):
                    try:
                        asyncio.run(self._ship(lock))
                    finally:
                        lock.release()
            except Exception as error:  # noqa: BLE001 - the trainer must go on
                log.warning("the shipper thread failed and starts again: %s", error)
            self._stop.wait(LOCK_AGAIN_S)

    async def _ship(self, lock: FileLock) -> None:
        from runtide.shipper.loop import Shipper, ShipperSettings
        from runtide.shipper.process import serve

        shipper = Shipper(ShipperSettings(self.directory, self.kafka, idle_exit_s=None))
        loop = asyncio.get_running_loop()

        def stop() -> None:
            loop.call_soon_threadsafe(shipper.stop)

        self._stop_shipper = stop
        try:
            if not self._stop.is_set():
                await serve(shipper, lock)
        finally:
            self._stop_shipper = lambda: None


def serving(directory: str, kafka: str) -> ShipperThread:
    """The thread of this process for a directory and target, started if need be."""
    key = (os.getpid(), os.path.abspath(directory), kafka)
    known = _serving.get(key)
    if known is not None and known.is_alive():
        return known
    thread = ShipperThread(directory, kafka)  # should two callers race, the second thread finds the lock taken
    _serving[key] = thread
    thread.start()
    return thread
