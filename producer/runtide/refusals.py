"""What the SDK had to refuse or lose: counted always, warned about seldom, reported to the run.

Training must go on whatever it logs, so nothing is raised; but nothing disappears silently either.
"""

from __future__ import annotations

import time
from contextlib import suppress

WARN_INTERVAL_S = 60.0  # per reason: a hostile value in a training loop must not flood the log
REASONS_MAX = 64  # different reasons remembered; the rest is counted together
OTHER_REASON = "other reasons"
LINES_LOST = "lines lost: "  # how the reasons begin for which whole lines are lost


class Refusals:
    """Counts per reason. For any thread: dict operations are atomic, and a count lost in a race is harmless."""

    def __init__(self, run_name: str = "") -> None:
        self.run_name = run_name
        self.total = 0
        self._unreported: dict[str, int] = {}
        self._unwarned: dict[str, int] = {}
        self._warned_at: dict[str, float] = {}

    def add(self, reason: str, detail: str = "", count: int = 1) -> None:
        """Count lost or refused things (0: just a condition to tell). `reason` groups, `detail` is for the warning."""
        if reason not in self._unwarned and len(self._unwarned) >= REASONS_MAX:
            reason = OTHER_REASON
        self.total += count
        if count:
            self._unreported[reason] = self._unreported.get(reason, 0) + count
        self._unwarned[reason] = self._unwarned.get(reason, 0) + count
        now = time.monotonic()
        if now - self._warned_at.get(reason, -WARN_INTERVAL_S) >= WARN_INTERVAL_S:
            # Noted before the warning, so that a log handler that logs to Runtide can't recurse.
            self._warned_at[reason] = now
            counted, self._unwarned[reason] = self._unwarned[reason], 0
            times = f"{counted} x " if counted > 1 else ""
            warn(f"run {self.run_name}: {times}{reason}" + (f" ({detail})" if detail else ""))

    def take(self, prefix: str = "") -> dict[str, int]:
        """The counts since the last call, for a `drops` event; of the reasons that begin with `prefix`."""
        taken, self._unreported = self._unreported, {}
        self.give_back({reason: count for reason, count in taken.items() if not reason.startswith(prefix)})
        return {reason: count for reason, count in taken.items() if reason.startswith(prefix)}

    def give_back(self, counts: dict[str, int]) -> None:
        """Return what `take` gave because it could not be reported."""
        for reason, count in counts.items():
            self._unreported[reason] = self._unreported.get(reason, 0) + count


def warn(message: str) -> None:
    """Say something to the logger "runtide". Never raises."""
    import logging  # here: a healthy run never needs it, and it costs 5 ms of import

    with suppress(Exception):  # a user's handler may do anything
        logging.getLogger("runtide").warning(message)
