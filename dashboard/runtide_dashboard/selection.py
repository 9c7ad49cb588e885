"""Rows are selected by position, while the table goes on changing: how a selection keeps meaning the same runs."""

from __future__ import annotations

from collections.abc import Sequence


def hold(shown: Sequence[str], now: Sequence[str], *, holding: bool) -> tuple[list[str], int]:
    """The rows to show, and how many new ones wait.

    While something is selected (`holding`), the rows `shown` keep their places even if the order has changed, and new
    ones wait. Otherwise it is the present order.
    """
    if not holding or not shown:
        return list(now), 0
    known = set(shown)
    return list(shown), sum(1 for ref in now if ref not in known)


def chosen(rows: Sequence[int], shown: Sequence[str]) -> list[str]:
    """The runs at these rows, from the top; positions that don't exist any more are left out."""
    return [shown[row] for row in sorted(set(rows)) if 0 <= row < len(shown)]


def places(chosen: Sequence[str], shown: Sequence[str]) -> list[int]:
    """The rows at which these runs are; those not shown are left out."""
    where = {ref: row for row, ref in enumerate(shown)}
    return sorted(where[ref] for ref in chosen if ref in where)
