"""Signals that ask a process to end: the first one politely, the second one at once."""

from __future__ import annotations

import signal
import threading
from types import FrameType
from typing import Self


class KillRequested(Exception):
    """Asked a second time: end now."""


class Interrupts:
    """Counts SIGINT, SIGTERM and SIGHUP while its `with` block runs; main thread only."""

    def __init__(self) -> None:
        self.count = 0
        self._wake = threading.Event()
        self._before: dict[signal.Signals, signal._HANDLER] = {}

    def pause(self, seconds: float) -> None:
        """Sleep, or less if a signal comes. Raises KillRequested once there were two."""
        if seconds > 0:
            self._wake.wait(seconds)
            self._wake.clear()
        if self.count > 1:
            raise KillRequested

    def _arrived(self, _number: int, _frame: FrameType | None) -> None:
        self.count += 1
        self._wake.set()

    def __enter__(self) -> Self:
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            self._before[number] = signal.signal(number, self._arrived)
        return self

    def __exit__(self, *_: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)
