"""The SDK's own threads: all daemons, all named, none started before it has something to do."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from queue import SimpleQueue

from runtide.refusals import warn

Job = Callable[[], object]


class Pulse:
    """A thread that does things now and then."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._stopped = threading.Event()
        self._beats: list[_Beat] = []
        self._thread: threading.Thread | None = None

    def every(self, interval_s: float, job: Job, first_s: float | None = None) -> None:
        """Add a job, before `start`. `first_s`: when to do it first; default: after one interval."""
        self._beats.append(_Beat(interval_s, job, interval_s if first_s is None else first_s))

    def start(self) -> None:
        if self._thread is None and self._beats:
            self._thread = _started(self._name, self._run)

    def stop(self) -> None:
        """No job begins after this. Doesn't wait for one that is under way."""
        self._stopped.set()

    def _run(self) -> None:
        begun = time.monotonic()
        for beat in self._beats:
            beat.due = begun + beat.first_s
        while True:
            due = min(beat.due for beat in self._beats)
            if self._stopped.wait(max(0.0, due - time.monotonic())):
                return
            for beat in self._beats:
                if beat.due <= time.monotonic() and not self._stopped.is_set():
                    _do(beat.job)
                    beat.due = time.monotonic() + beat.interval_s


class Jobs:
    """A thread that does things once, one after another, in the order given."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._lock = threading.Lock()
        self._queue: SimpleQueue[Job] = SimpleQueue()
        self._open = 0
        self._idle = threading.Event()
        self._idle.set()
        self._thread: threading.Thread | None = None

    def submit(self, job: Job) -> None:
        with self._lock:
            self._open += 1
            self._idle.clear()
            self._queue.put(job)
            if self._thread is None:
                self._thread = _started(self._name, self._run)

    def wait(self, timeout_s: float) -> bool:
        """Wait until all is done. False: it isn't."""
        return self._idle.wait(max(0.0, timeout_s))

    def _run(self) -> None:
        while True:
            _do(self._queue.get())
            with self._lock:
                self._open -= 1
                if not self._open:
                    self._idle.set()
                    self._thread = None
                    return


class _Beat:
    __slots__ = ("due", "first_s", "interval_s", "job")

    def __init__(self, interval_s: float, job: Job, first_s: float) -> None:
        self.interval_s = interval_s
        self.job = job
        self.first_s = first_s
        self.due = 0.0


def _started(name: str, target: Callable[[], None]) -> threading.Thread | None:
    thread = threading.Thread(target=target, name=name, daemon=True)
    try:
        thread.start()
    except RuntimeError:  # no more threads, or the interpreter is on its way out
        return None
    return thread


def _do(job: Job) -> None:
    try:
        job()
    except Exception as error:  # noqa: BLE001 - a thread of ours must not die of one bad job
        warn(f"{getattr(job, '__qualname__', job)}: {type(error).__name__}: {error}")
