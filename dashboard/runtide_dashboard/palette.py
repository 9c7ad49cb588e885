"""Which run gets which stroke: one of eight colours, solid, dashed or dotted.

A run's colour is its rank by start within its project: it keeps it on every page, for every reader, for ever, and the
runs of one sweep differ. Runs that share a colour in one picture are told apart by their dashes.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping

COLOURS = 8
DASHES = 3
STYLES = COLOURS * DASHES


def styles(ranks: Mapping[str, int]) -> dict[str, int]:
    """The style of each run: colour + 8 x dash. `ranks`: run -> its place by start in its project, from 0."""
    used: Counter[int] = Counter()
    chosen: dict[str, int] = {}
    for run in sorted(ranks, key=lambda name: (ranks[name], name)):
        colour = ranks[run] % COLOURS
        chosen[run] = colour + COLOURS * (used[colour] % DASHES)
        used[colour] += 1
    return chosen
