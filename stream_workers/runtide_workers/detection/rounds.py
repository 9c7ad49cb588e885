"""Groups of neighbouring elements, taken in turns: what depends on its predecessor is done for all groups at once."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from runtide_workers.detection.grid import Indices


def nth(key: Indices) -> Indices:
    """The place of each element in its group, from 0. Equal `key`s are neighbours and make a group."""
    place = np.arange(len(key))
    begins = np.append(True, np.diff(key) != 0)[: len(key)]
    return place - np.maximum.accumulate(np.where(begins, place, 0))


def rounds(key: Indices) -> Iterator[Indices]:
    """The indices of the first element of each group, then of the second, and so on."""
    turn = nth(key)
    yield from np.split(np.argsort(turn, kind="stable"), np.cumsum(np.bincount(turn))[:-1])
