"""Which run gets which stroke: eight colours, then the same eight dashed, then dotted.

A run's place is its rank by start within its project, so it keeps its colour on every page, for every reader, for ever, and
runs of one sweep differ. Only when two chosen runs meet on the same place does the later one move on to the next free place.
"""

from __future__ import annotations

from collections.abc import Mapping

STYLES = 24  # 8 colours x 3 dashes


def styles(ranks: Mapping[str, int]) -> dict[str, int]:
    """The style (0-23) of each run. `ranks`: run -> its place by start in its project, from 0; equal places may occur."""
    taken: set[int] = set()
    chosen: dict[str, int] = {}
    for run in sorted(ranks, key=lambda name: (ranks[name], name)):
        wanted = ranks[run] % STYLES
        if len(taken) < STYLES:
            while wanted in taken:
                wanted = (wanted + 1) % STYLES
        taken.add(wanted)
        chosen[run] = wanted
    return chosen
