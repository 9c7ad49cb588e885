"""File locks (`flock`): the kernel drops them when their process dies, whatever killed it."""

from __future__ import annotations

import contextlib
import fcntl
import os
import time
import weakref

_PATIENCE_STEP_S = 0.05

_held: weakref.WeakSet[FileLock] = weakref.WeakSet()


class FileLock:
    """An exclusive lock on a file of its own, which stays behind unlocked."""

    def __init__(self, path: str) -> None:
        self.path = path
        self._fd = -1

    @classmethod
    def inherited(cls, path: str, fd: int) -> FileLock:
        """The lock on `path` that the process which started this one took, and left open as `fd`."""
        os.set_inheritable(fd, False)
        lock = cls(path)
        lock._hold(fd)
        return lock

    def fileno(self) -> int:
        """The open file that bears the lock; whoever has a copy of it holds the lock too."""
        return self._fd

    def acquire(self, patience_s: float = 0.0) -> bool:
        """Take the lock; False if another holds it longer than `patience_s`. Raises OSError if it can't be made."""
        if self._fd >= 0:
            return True
        deadline = time.monotonic() + patience_s
        fd = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        while True:
            try:
                fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if time.monotonic() >= deadline:
                    os.close(fd)
                    return False
                time.sleep(_PATIENCE_STEP_S)
            except OSError:
                os.close(fd)
                raise
        self._hold(fd)
        return True

    def _hold(self, fd: int) -> None:
        self._fd = fd
        _held.add(self)
        with contextlib.suppress(OSError):  # the disk may be full; and it is for people, the lock itself says all
            os.ftruncate(fd, 0)
            os.pwrite(fd, b"%d\n" % os.getpid(), 0)

    def release(self) -> None:
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1
            _held.discard(self)


def is_held(path: str) -> bool:
    """True while some process holds the lock. A missing or unreadable file is not held."""
    try:
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return False
    try:
        # Shared, so that probes don't see each other; a starting shipper is patient enough to outlast one.
        fcntl.flock(fd, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except OSError:
        return False
    finally:
        os.close(fd)
    return False


def _drop_in_child() -> None:
    # A forked child shares the parent's lock; closing its copy leaves the parent's lock in place.
    for lock in list(_held):
        lock.release()


os.register_at_fork(after_in_child=_drop_in_child)
