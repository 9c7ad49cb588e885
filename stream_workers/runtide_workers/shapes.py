"""The sets of metric names that lines carry. A process logs few different ones, so each is checked and hashed once."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from runtide.events import name_fault
from runtide_storage.ids import key_id

BAD_SHAPE = -1  # holds a name that the contract forbids
NAMES_MAX = 1_000_000  # names kept between batches, about 200 MB at worst
SYSTEM_PREFIX = "system/"  # what the SDK samples by itself: no sign of progress


@dataclass(frozen=True, slots=True)
class Table:
    """Shape i has the keys unique[ranks[starts[i] : starts[i] + lens[i]]]."""

    unique: NDArray[np.uint64]  # sorted
    ranks: NDArray[np.int64]
    starts: NDArray[np.int64]
    lens: NDArray[np.int64]
    has_user_metric: NDArray[np.bool_]


class Shapes(dict[tuple[Any, ...], int]):
    """Names of a line, in their order -> number of the shape. Learns on first sight."""

    def __init__(self) -> None:
        super().__init__()
        self._names: list[tuple[str, ...]] = []
        self._keys: list[NDArray[np.uint64]] = []
        self._user: list[bool] = []
        self._total = 0
        self._table: Table | None = None

    def __missing__(self, names: tuple[str, ...]) -> int:
        if any(name_fault(name) is not None for name in names):
            return BAD_SHAPE  # not kept: bad names are rare and may be endless
        number = len(self._names)
        self[names] = number
        self._names.append(names)
        self._keys.append(np.fromiter(map(key_id, names), np.uint64, len(names)))
        self._user.append(not all(name.startswith(SYSTEM_PREFIX) for name in names))
        self._total += len(names)
        self._table = None
        return number

    def names(self, number: int) -> Iterator[tuple[int, str]]:
        return zip(self._keys[number].tolist(), self._names[number], strict=True)

    def table(self) -> Table:
        if self._table is None:
            lens = np.fromiter(map(len, self._names), np.int64, len(self._names))
            keys = np.concatenate(self._keys) if self._keys else np.empty(0, np.uint64)
            unique, ranks = np.unique(keys, return_inverse=True)
            self._table = Table(unique, ranks, np.cumsum(lens) - lens, lens, np.array(self._user, dtype=np.bool_))
        return self._table

    def trim(self) -> None:
        """Between batches: forget all when there is too much. Numbers given before are void then."""
        if self._total > NAMES_MAX:
            self.clear()
            self.__init__()  # type: ignore[misc]
