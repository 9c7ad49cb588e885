"""Waiting, at the end of a run, until the broker has its lines. Never needed for safety: the journal stays until then.

It matters where the disk or the shipper goes away with the job: in containers, under schedulers that kill job groups.
"""

from __future__ import annotations

import os
import time

import orjson

from runtide.events import parse_segment_name
from runtide.journal import Journal
from runtide.shipper import spawn

POLL_INTERVAL_S = 0.02
STATUS_INTERVAL_S = 0.2
STARTUP_S = 3.0  # a shipper that was just started is not there at once


def wait(journal: Journal, root: str, kafka: str, deadline: float, *, is_starting: bool) -> bool:
    """Wait until all lines of a journal are acknowledged. False: not by `deadline` (monotonic), or it is no use.

    It is no use when no shipper runs (`is_starting`: soon one may), or when it says that Kafka can't be reached.
    """
    if journal.header is None:  # it could never be opened: there is nothing to deliver
        return True
    begun = time.monotonic()
    next_look = begun
    while True:
        if is_delivered(journal.directory, journal.header.writer, journal.lines):
            return True
        now = time.monotonic()
        if now >= deadline:
            return False
        if now >= next_look:
            next_look = now + STATUS_INTERVAL_S
            running = spawn.is_running(root, kafka)
            if running and _says_unreachable(spawn.path_of(root, kafka, "json"), begun):
                return False
            if not running and (not is_starting or now - begun > STARTUP_S):
                return False
        time.sleep(min(POLL_INTERVAL_S, deadline - now))


def is_delivered(run_directory: str, writer: str, lines: int) -> bool:
    """Has the broker acknowledged everything? Then the shipper has said so, or has already deleted the journal."""
    try:
        with open(os.path.join(run_directory, f"{writer}.state"), "rb") as file:
            state = orjson.loads(file.read())
        if state["sent"] >= lines:
            return True
    except (OSError, ValueError, TypeError, KeyError):
        pass  # not there yet, or there no more
    try:
        names = os.listdir(run_directory)
    except OSError:
        return True
    return not any((parsed := parse_segment_name(name)) and parsed[0] == writer for name in names)


def _says_unreachable(path: str, since: float) -> bool:
    """Does the shipper's status, written since then, say that Kafka can't be reached?"""
    try:
        age_s = time.time() - os.stat(path).st_mtime
        if age_s > time.monotonic() - since + STATUS_INTERVAL_S:
            return False
        with open(path, "rb") as file:
            return orjson.loads(file.read()).get("reachable") is False
    except (OSError, ValueError, AttributeError):
        return False
