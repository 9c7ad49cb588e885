"""The write side of a journal: one process's append-only files, `<dir>/<run>/<writer>.<segment>.jsonl`.

A line is safe once `append` has returned: it is in the kernel's page cache, which SIGKILL doesn't touch.

- The newest segment is locked (`flock`) while its writer lives. A segment appears under its name only when it is locked
  and has its header: it is made as `.<name>.tmp` first and renamed.
- A line is one `write(2)`. What comes out short (disk full) is cut off again, counted, and training goes on.
- Segments are turned over at `segment_bytes`. When all journals of the directory together exceed `journal_bytes_max`,
  new lines are refused until the shipper has delivered and deleted old ones.
"""

from __future__ import annotations

import errno
import os
import resource
import time
from collections.abc import Callable
from dataclasses import replace
from os import write as _write

from runtide.events import Header, segment_name
from runtide.refusals import Refusals
from runtide.run_directory import RunDirectory, any_writer_lives, take_lock

REOPEN_INTERVAL_S = 10.0  # between attempts to open a journal that could not be opened
STRETCH_BYTES = 1 << 20  # how much longer a segment gets when the next one can't be made
WAITING_LINES_MAX = 10_000  # lines logged by signal handlers while a segment is turned over

_LOST = {
    errno.ENOSPC: "lines lost: disk full",
    errno.EDQUOT: "lines lost: disk quota exceeded",
    errno.EFBIG: "lines lost: file size limit",
    errno.EROFS: "lines lost: read-only file system",
}


class Journal:
    """One writer's journal. Not thread safe: the run's lock guards it. Only programming errors raise.

    `make_header(join)` gives the header of the first segment, `first_lines()` the lines that open the journal
    (`start`); both are called when the journal is really opened, which in a forked child is at its first line.
    """

    __slots__ = (
        "_busy",
        "_first_lines",
        "_limit",
        "_make_header",
        "_parked_fd",
        "_refusals",
        "_reopen_at",
        "_segment",
        "_segment_bytes",
        "_torn",
        "_used_max",
        "_waiting",
        "closed",
        "directory",
        "fd",
        "full",
        "header",
        "lines",
        "size",
    )

    def __init__(
        self,
        directory: str,
        make_header: Callable[[bool], Header],
        first_lines: Callable[[], list[bytes]],
        refusals: Refusals,
        *,
        segment_bytes: int,
        journal_bytes_max: int,
    ) -> None:
        self.directory = directory
        self.fd = -1  # -1: every write fails with EBADF and so reaches `_append_with_care`
        self.header: Header | None = None
        self.lines = 0  # also the next line's seq
        self.size = 0  # of the current segment, in bytes
        self.closed = False
        self.full = False  # all journals together are too large: lines are refused
        self._make_header = make_header
        self._first_lines = first_lines
        self._refusals = refusals
        self._segment = 0
        self._segment_bytes = segment_bytes
        self._used_max = journal_bytes_max
        self._limit = segment_bytes
        self._parked_fd = -1
        self._torn = False  # the segment (parked) ends in a part of a line: what follows needs another one
        self._reopen_at = 0.0
        self._busy = False
        self._waiting: list[bytes] = []

    def append(self, line: bytes) -> bool:
        """Write one line, newline included. False: it is lost, and counted."""
        # Counted before it is written: a signal handler that logs right after the write may turn the segment over.
        size = len(line)
        self.lines += 1
        self.size += size
        try:
            written = _write(self.fd, line)
        except OSError as error:
            return self._append_with_care(line, error.errno or 0, 0)
        if written != size:
            return self._append_with_care(line, 0, written)
        if self.size >= self._limit:
            self._at_limit()
        return True

    def open(self) -> bool:
        """Open the first segment now. False: it can't be, which is counted and tried again now and then."""
        self._reopen_at = time.monotonic() + REOPEN_INTERVAL_S
        try:
            with RunDirectory(self.directory) as names:
                join = any_writer_lives(self.directory, names)
                header = self._make_header(join)
                fd, size = _new_segment(self.directory, header, 0)
        except OSError as error:
            self._refusals.add(f"journal can't be opened: {_text(error)}", f"in {self.directory}; training goes on", 0)
            return False
        self.fd, self.size, self.header = fd, size, header
        for line in self._first_lines():
            self.append(line)
        return True

    def note_usage(self, used_bytes: int) -> None:
        """Tell how much all journals of the directory hold, this one included."""
        if self.closed or self.header is None:
            return
        room = self._used_max - used_bytes
        if room <= 0:
            self._park()
        else:
            self.full = False
            if self._parked_fd >= 0 and not self._torn:
                self.fd, self._parked_fd = self._parked_fd, -1
            self._limit = min(self._segment_bytes, self.size + room)

    def close(self) -> None:
        """Seal the journal: no line can follow, and its lock is free."""
        self.closed = True
        self._release()

    def abandon(self) -> None:
        """In a forked child: let go of the parent's file. Its lock stays with the parent."""
        self.closed = True
        self._release()

    def _release(self) -> None:
        for fd in (self.fd, self._parked_fd):
            if fd >= 0:
                try:
                    os.close(fd)
                except OSError:
                    pass
        self.fd = self._parked_fd = -1

    def _append_with_care(self, line: bytes, error: int, written: int) -> bool:
        """What `append` does after a write that failed, or wrote only a part."""
        self.lines -= 1
        self.size -= len(line)
        if self.closed:
            self._refusals.add("lines after finish")
            return False
        if self._busy:  # a signal handler or a log handler logs in the middle of what follows
            if written:
                self._cut_off(written)
            if len(self._waiting) < WAITING_LINES_MAX:
                self._waiting.append(line)
                return True
            self._refusals.add("lines lost: too many at once")
            return False
        self._busy = True
        try:
            if written:
                error = self._reason_of_part(len(line))
                self._cut_off(written)
            stored = self._append_again(line, error)
        finally:
            self._busy = False
        self._append_waiting()
        return stored

    def _append_again(self, line: bytes, error: int) -> bool:
        if self._torn and not self.full:
            if not self._leave_torn():
                self._refuse(errno.ENOSPC)
                return False
            return self._append_once(line)
        if self.fd < 0 and not self.full:
            if self.header is None and time.monotonic() >= self._reopen_at and self.open():
                return self._append_once(line)
            self._refusals.add("lines lost: no journal", f"{self.directory} can't be written")
            return False
        if self.full:
            self._refusals.add(
                "lines lost: journal full", f"{self._used_max} bytes wait for delivery in {self.directory}"
            )
            return False
        # A file size limit (ulimit -f) is no reason to lose anything as long as a new file can be begun.
        if error == errno.EFBIG and self._turn_over():
            return self._append_once(line)
        self._refuse(error)
        return False

    def _append_once(self, line: bytes) -> bool:
        self.lines += 1
        self.size += len(line)
        try:
            written = _write(self.fd, line)
            error = 0 if written == len(line) else errno.ENOSPC
        except OSError as failure:
            written, error = 0, failure.errno or errno.EIO
        if not error:
            return True
        self.lines -= 1
        self.size -= len(line)
        if written:
            self._cut_off(written)
        self._refuse(error)
        return False

    def _refuse(self, error: int) -> None:
        reason = _LOST.get(error, f"lines lost: {os.strerror(error)}")
        self._refusals.add(reason, f"in {self.directory}; training goes on")

    def _reason_of_part(self, line_bytes: int) -> int:
        """Why a write came out short: the system says so only with the next write."""
        limit = resource.getrlimit(resource.RLIMIT_FSIZE)[0]
        too_large = limit != resource.RLIM_INFINITY and self.size + line_bytes > limit
        return errno.EFBIG if too_large else errno.ENOSPC

    def _append_waiting(self) -> None:
        waiting, self._waiting = self._waiting, []
        for line in waiting:
            self.append(line)

    def _cut_off(self, written: int) -> None:
        """Remove the part of a line that came out before the disk was full."""
        try:
            if os.fstat(self.fd).st_size != self.size + written:
                raise OSError(errno.EBUSY, "a signal handler has logged behind it")
            os.ftruncate(self.fd, self.size)
        except OSError:
            self.lines += 1  # the torn line stays, as the last of its segment: it has a seq
            self.size += written
            self._torn = True
            self._leave_torn()

    def _leave_torn(self) -> bool:
        if self._parked_fd >= 0:
            self.fd, self._parked_fd = self._parked_fd, -1
        self._torn = not self._turn_over()
        if self._torn:
            self._parked_fd, self.fd = self.fd, -1
        return not self._torn

    def _at_limit(self) -> None:
        if self._busy:
            return
        self._busy = True
        try:
            if self.size < self._limit:
                pass  # a signal handler that logged just now has turned it over
            elif self.size < self._segment_bytes:
                self._park()
            elif not self._turn_over():
                self._limit = self.size + STRETCH_BYTES
        finally:
            self._busy = False
        if self._waiting:
            self._append_waiting()

    def _park(self) -> None:
        """Stop writing until `note_usage` brings good news. The segment stays open and locked."""
        self.full = True
        if self.fd >= 0:
            self._parked_fd, self.fd = self.fd, -1

    def _turn_over(self) -> bool:
        """Begin the next segment, then let go of this one: at no moment is the writer without a lock."""
        header = self.header
        if header is None or self.lines == header.seq:
            return False
        old, self.fd = self.fd, -1  # so that a signal handler's line waits instead of slipping into the old segment
        header = replace(header, seq=self.lines)
        try:
            self.fd, self.size = _new_segment(self.directory, header, self._segment + 1)
        except OSError:
            self.fd = old
            return False
        self.header = header
        self._segment += 1
        self._limit = self._segment_bytes
        try:
            os.close(old)
        except OSError:
            pass
        return True


def _new_segment(directory: str, header: Header, segment: int) -> tuple[int, int]:
    """A new segment's descriptor and size, locked and with its header. Raises `OSError` and leaves nothing behind."""
    name = segment_name(header.writer, segment)
    path, draft = os.path.join(directory, name), os.path.join(directory, f".{name}.tmp")
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_APPEND | os.O_CLOEXEC
    try:
        fd = os.open(draft, flags, 0o600)
    except FileNotFoundError:  # the shipper has just deleted the empty directory
        os.makedirs(directory, mode=0o700, exist_ok=True)
        fd = os.open(draft, flags, 0o600)
    try:
        take_lock(fd)
        line = header.encode()
        if _write(fd, line) != len(line):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        os.rename(draft, path)
    except BaseException:
        os.close(fd)
        try:
            os.unlink(draft)
        except OSError:
            pass
        raise
    return fd, len(line)


def _text(error: OSError) -> str:
    return error.strerror or type(error).__name__
