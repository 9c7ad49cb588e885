"""What the workers need of storage. `runtide_storage.writer.Writer` is it; tests put a dying one in its place."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray


class StoredWriter(Protocol):
    """A writer as storage knows it: its attempt, and which of its lines are stored ([first, next) of seq)."""

    @property
    def attempt(self) -> int: ...
    @property
    def rank(self) -> int: ...
    @property
    def intervals(self) -> Sequence[tuple[int, int]]: ...
    @property
    def point_at_ms(self) -> int: ...


class Storage(Protocol):
    """Blocking calls. Each raises `Unreachable` (the same call may work later) or `Rejected` (it never will)."""

    def points(self, columns: dict[str, NDArray[np.generic]]) -> None: ...
    def rows(self, table: str, rows: Sequence[dict[str, Any]]) -> None: ...
    def load_writers(self, pairs: Sequence[tuple[int, int]]) -> Mapping[tuple[int, int], StoredWriter]: ...
    def load_attempts(self, runs: Sequence[int]) -> Mapping[int, Sequence[tuple[int, int, Any, Any]]]: ...
    def refold(self, runs: Sequence[int]) -> None: ...
