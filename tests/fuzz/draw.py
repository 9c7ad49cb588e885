"""Bytes as decisions: what a fuzzer mutates is turned into numbers, choices and texts by the target."""

from __future__ import annotations

import atexit
import shutil
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import TypeVar

T = TypeVar("T")


def scratch() -> Path:
    """A folder for the files of a target."""
    path = tempfile.mkdtemp(prefix="runtide-fuzz-")
    atexit.register(shutil.rmtree, path, ignore_errors=True)
    return Path(path)


class Draw:
    """Takes from the front. When all is taken, everything is 0, the first, or empty, so that loops end."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._at = 0

    @property
    def is_over(self) -> bool:
        return self._at >= len(self._data)

    def below(self, limit: int) -> int:
        """0 to limit - 1."""
        value = int.from_bytes(self.take(1 if limit <= 256 else 3), "little")
        return value % limit

    def flag(self) -> bool:
        return self.below(2) == 1

    def pick(self, choices: Sequence[T]) -> T:
        return choices[self.below(len(choices))]

    def take(self, size: int) -> bytes:
        """At most `size`."""
        taken = self._data[self._at : self._at + size]
        self._at += size
        return taken

    def some(self, most: int = 256) -> bytes:
        """So many bytes as the next one says."""
        return self.take(self.below(most))

    def text(self, most: int = 64) -> str:
        """Any text; of surrogates and other bytes that are no UTF-8 each one becomes a character of its own."""
        return self.some(most).decode("utf-8", "surrogateescape")

    def rest(self) -> bytes:
        return self.take(len(self._data))
