"""The last value of each metric that this process has logged to a run, read back from its journal when asked for.

So `log` does nothing for it: it is for people who look now and then, such as a scraper.
"""

from __future__ import annotations

import os
from typing import Any

import orjson

from runtide.events import segment_name
from runtide.journal import Journal

READ_BYTES_MAX = 32 << 20  # at once; where more was written since the last time, the newest part is read


class LastValues:
    """How far a writer's journal was read, and what was found. Not thread safe."""

    def __init__(self, journal: Journal) -> None:
        self.values: dict[str, Any] = {}  # as the journal has them: "NaN", "Infinity", "-Infinity" are texts
        self.step: int | None = None  # of the last line that was not about the machine
        self.points = 0
        self._journal = journal
        self._segment = 0
        self._offset = 0

    def read(self) -> None:
        """Read on to the end."""
        newest = self._journal._segment  # before the rest is read: no line comes after it
        self._read_rest()
        while self._segment < newest:
            self._segment, self._offset = self._segment + 1, 0
            self._read_rest()

    def _read_rest(self) -> None:
        header = self._journal.header
        if header is None:
            return
        path = os.path.join(self._journal.directory, segment_name(header.writer, self._segment))
        try:
            with open(path, "rb") as file:
                size = os.fstat(file.fileno()).st_size
                self._offset = max(self._offset, size - READ_BYTES_MAX)
                file.seek(self._offset)
                data = file.read(READ_BYTES_MAX)
        except OSError:  # delivered and deleted meanwhile
            return
        whole = data[: data.rfind(b"\n") + 1]
        self._offset += len(whole)
        for line in whole.splitlines():
            self._take(line)

    def _take(self, line: bytes) -> None:
        try:
            found = orjson.loads(line)
        except orjson.JSONDecodeError:  # the part of one, where the beginning was left out
            return
        metrics = found.get("m")
        if metrics:
            self.values.update(metrics)
            self.points += len(metrics)
            if not all(name.startswith("system/") for name in metrics):
                self.step = found["s"]
