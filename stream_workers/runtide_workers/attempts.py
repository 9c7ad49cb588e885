"""Which attempt of a run a new writer belongs to. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from runtide.events import Header

ATTEMPT_MAX = 2**16 - 1


class Joined(NamedTuple):
    """A writer that is counted already."""

    attempt: int
    rank: int


def attempt_of(header: Header, earlier: Sequence[Joined]) -> int:
    """The attempt of a writer first seen now, given the run's writers so far.

    A launch starts one process per rank, so a rank that is still missing joins the latest attempt, and one that is
    there already means a new launch. A header that says it joins, or which attempt it is, is believed.
    """
    if header.attempt is not None:
        return header.attempt
    if not earlier:
        return 1
    latest = max(joined.attempt for joined in earlier)
    ranks = {joined.rank for joined in earlier if joined.attempt == latest}
    if header.join or header.rank not in ranks:
        return latest
    return min(latest + 1, ATTEMPT_MAX)
