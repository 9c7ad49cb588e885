"""A run's state as a sign and a word: colour is never the only channel."""

from __future__ import annotations

from typing import Final

LIVE: Final = "running"

_SIGNS: Final = {
    "running": ("●", "running", "green"),
    "stalled": ("◐", "stalled", "orange"),
    "finished": ("✓", "finished", "gray"),
    "failed": ("✕", "failed", "red"),
    "crashed": ("⚠", "crashed", "red"),
    "killed": ("■", "killed", "orange"),
}
STATES: Final = tuple(_SIGNS)


def state_of(state: str, health: str = "ok") -> str:
    """One word for state and health: a running run that makes no progress is `stalled`."""
    return "stalled" if state == LIVE and health == "stalled" else state


def label(state: str) -> str:
    """ "● running"; a state of a later version is shown as it is."""
    sign, word, _ = _SIGNS.get(state, ("○", state, "gray"))
    return f"{sign} {word}"


def colour(state: str) -> str:
    """Name of one of Streamlit's theme colours."""
    return _SIGNS.get(state, ("○", state, "gray"))[2]


def is_live(state: str) -> bool:
    return state in {LIVE, "stalled"}
