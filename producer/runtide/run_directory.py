"""A run's directory of journals: who writes there, is it locked, how much is in it."""

from __future__ import annotations

import fcntl
import os
import time

from runtide.events import JOURNAL_SUFFIX, parse_segment_name, segment_name

LOCK_WAIT_S = 0.020  # for the other ranks of a launch: each holds the lock for well under 1 ms
PAUSE_S = 0.001


class RunDirectory:
    """The run's directory, made if need be, locked against other writers that begin. Gives its names.

    The lock is on the directory itself, so nothing is left behind; the shipper may delete an empty directory any time.
    """

    def __init__(self, path: str) -> None:
        self._path = path
        self._fd = -1

    def __enter__(self) -> list[str]:
        deadline = time.monotonic() + LOCK_WAIT_S
        while True:
            os.makedirs(self._path, mode=0o700, exist_ok=True)
            try:
                self._fd = os.open(self._path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
                locked = take_lock(self._fd)
                if locked and os.stat(self._path).st_ino == os.fstat(self._fd).st_ino:
                    break
            except FileNotFoundError:  # deleted in between
                locked = False
            if time.monotonic() >= deadline:
                break  # begin all the same: at worst `join` is wrong
            self._close()
            time.sleep(PAUSE_S)
        try:
            return os.listdir(self._path)
        except OSError:
            return []

    def __exit__(self, *exc_info: object) -> None:
        self._close()

    def _close(self) -> None:
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1


def lock_is_free(path: str | os.PathLike[str]) -> bool:
    """True: the writer of this segment is gone for good, or has turned it over. False also where one can't know."""
    try:
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return False
    try:
        fcntl.flock(fd, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except OSError:
        return False
    finally:
        os.close(fd)
    return True


def any_writer_lives(directory: str, names: list[str]) -> bool:
    """Is another process, or another run of this one, writing to this run right now?"""
    newest: dict[str, int] = {}
    for name in names:
        parsed = parse_segment_name(name)
        if parsed is not None:
            newest[parsed[0]] = max(parsed[1], newest.get(parsed[0], 0))
    return any(_is_held(os.path.join(directory, segment_name(*item))) for item in newest.items())


def usage_bytes(root: str) -> int:
    """What all journals under `root` hold. Never raises."""
    total = 0
    try:
        with os.scandir(root) as runs:
            for run in runs:
                if not run.is_dir(follow_symlinks=False):
                    continue
                with os.scandir(run.path) as files:
                    total += sum(file.stat().st_size for file in files if file.name.endswith(JOURNAL_SUFFIX))
    except OSError:  # something was deleted meanwhile, which is good news
        pass
    return total


def _is_held(path: str) -> bool:
    for attempt in range(3):
        if lock_is_free(path) or not os.path.exists(path):
            return False
        if attempt < 2:  # the shipper takes a lock for a moment to see whether the writer lives
            time.sleep(PAUSE_S)
    return True


def take_lock(fd: int) -> bool:
    """Try to lock. True also where the file system has no locks: it is the best there is."""
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError:
        return True
    return True
