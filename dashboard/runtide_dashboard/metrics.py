"""Which of a project's metrics to show when nobody has said."""

from __future__ import annotations

from collections.abc import Sequence

from runtide_dashboard.differences import goal_of

TABLE_DEFAULT = 2
COMPARE_DEFAULT = 4

_BACKGROUND = ("system/", "sys/", "_")  # about the machine, not about the model


_PROGRESS = ("token", "epoch", "sample", "example", "flop", "hour", "elapsed")  # what people draw curves along


def along(names: Sequence[str]) -> str:
    """Which of them (at least one) curves are drawn along when nobody has said: what counts progress, if any does."""
    names = ordered(names)
    return next((name for word in _PROGRESS for name in names if word in name.lower()), names[0])


def ordered(names: Sequence[str]) -> list[str]:
    """The most telling first: evaluation before training, what has a goal before what has none, the machine's last."""

    def place(name: str) -> tuple[bool, bool, bool, bool, str]:
        lower = name.lower()
        goal = goal_of(name)
        held_out = any(word in lower for word in ("val", "eval", "test"))
        return lower.startswith(_BACKGROUND), goal is None, not held_out, goal != "minimize", lower

    return sorted(names, key=place)


def most_telling(names: Sequence[str], count: int = TABLE_DEFAULT) -> list[str]:
    """Up to `count` of them; the machine's only if there is nothing else."""
    model = [name for name in ordered(names) if not name.lower().startswith(_BACKGROUND)]
    return (model or ordered(names))[:count]
