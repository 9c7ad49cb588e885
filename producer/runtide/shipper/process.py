"""The shipper as a process: log file, signals, status file, and leaving without leaving anyone behind."""

from __future__ import annotations

import asyncio
import logging
import logging.handlers
import signal
import time

from runtide.shipper import status as status_file
from runtide.shipper.locks import FileLock
from runtide.shipper.loop import Outcome, Shipper, ShipperSettings
from runtide.shipper.spawn import path_of

log = logging.getLogger("runtide.shipper")

LOG_BYTES_MAX = 1 << 20
STATUS_LOOK_S = 0.2
STATUS_BUSY_S = 1.0
STATUS_QUIET_S = 5.0
RELOCK_PATIENCE_S = 0.5


def run(directory: str, kafka: str, lock: FileLock, *, idle_exit_s: float | None, once: bool) -> int:
    """Ship until there is nothing to do (or all is done, or SIGTERM/SIGINT). `lock` is held. Returns the exit code."""
    _log_to(path_of(directory, kafka, "log"))
    try:
        settings = ShipperSettings(directory, kafka, idle_exit_s=idle_exit_s, once=once)
        outcome = asyncio.run(_run(settings, lock))
        log.info("stopped: %s", outcome.value)
        return 0
    except Exception:
        log.exception("the shipper failed")
        return 1


async def _run(settings: ShipperSettings, lock: FileLock) -> Outcome:
    shipper = Shipper(settings)
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, shipper.stop)
    loop.add_signal_handler(signal.SIGHUP, lambda: None)  # the terminal of whoever started it may close
    return await serve(shipper, lock)


async def serve(shipper: Shipper, lock: FileLock) -> Outcome:
    """Run `shipper` with its status file, and leave only when nobody could have counted on it any more."""
    path = path_of(shipper.settings.directory, shipper.settings.kafka, "json")
    reporting = asyncio.ensure_future(_report(shipper, path))
    try:
        while True:
            outcome = await shipper.run()
            if outcome is not Outcome.IDLE:
                return outcome
            # A trainer that saw the lock held has started no other shipper: after letting go of the lock, look once
            # more for a journal that was begun before.
            lock.release()
            if not shipper.finds_work() or not lock.acquire(RELOCK_PATIENCE_S):
                return outcome
    finally:
        reporting.cancel()
        _write_status(shipper, path)
        await shipper.close()


async def _report(shipper: Shipper, path: str) -> None:
    written_s, told = 0.0, None
    while True:
        status = shipper.status
        news = (status.reachable, status.error)
        interval_s = STATUS_BUSY_S if shipper.shipments else STATUS_QUIET_S
        if news != told or time.monotonic() - written_s >= interval_s:
            _write_status(shipper, path)
            written_s, told = time.monotonic(), news
        await asyncio.sleep(STATUS_LOOK_S)


def _write_status(shipper: Shipper, path: str) -> None:
    try:
        status_file.write(path, shipper.measure())
    except OSError as error:
        log.warning("the status can't be written: %s", error)


def _log_to(path: str) -> None:
    """Our own log, bounded. What goes to stderr (a crash of the interpreter) lands in the same file."""
    handler = logging.handlers.RotatingFileHandler(path, maxBytes=LOG_BYTES_MAX, backupCount=1, delay=True)
    handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(message)s"))
    logging.raiseExceptions = False  # a full disk must not fill stderr with tracebacks
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(logging.WARNING)
    log.setLevel(logging.INFO)
    logging.getLogger("aiokafka").setLevel(logging.CRITICAL)  # it reports each attempt; we report each change
    logging.getLogger("asyncio").setLevel(logging.CRITICAL)
