"""What libraries say hundreds of times a second while a service is away: once in a while is enough for a log."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable

PERIOD_S = 30.0


class Repetition(logging.Filter):
    """For a handler: of what loggers below `prefix` say, each message (before its arguments) once in `PERIOD_S`, then
    with the number of times that it was said in between.
    """

    def __init__(self, prefix: str, clock: Callable[[], float] = time.monotonic) -> None:
        super().__init__()
        self._prefix = prefix
        self._clock = clock
        self._said: dict[str, tuple[float, int]] = {}  # logger and message -> when, and how often since then

    def filter(self, record: logging.LogRecord) -> bool:
        if not f"{record.name}.".startswith(f"{self._prefix}."):
            return True
        key = f"{record.name} {str(record.msg)[:40]}"
        at, left_out = self._said.get(key, (float("-inf"), 0))
        now = self._clock()
        if now - at < PERIOD_S:
            self._said[key] = at, left_out + 1
            return False
        self._said[key] = now, 0
        if left_out:
            record.msg, record.args = f"{record.getMessage()} (and {left_out} times like it)", ()
        return True
