"""CPU seconds of a set of processes, and when the work that they were given is really over."""

from __future__ import annotations

import time
from collections.abc import Iterable

import psutil

QUIET_S = 2.0
QUIET_CPU = 0.15  # of a core: an idle worker and an idle ClickHouse with its merges done stay below
SETTLE_MAX_S = 180.0


def cpu_s(pids: Iterable[int]) -> float:
    """CPU seconds that these processes have used so far, user and system. One that ended counts nothing."""
    total = 0.0
    for pid in pids:
        try:
            times = psutil.Process(pid).cpu_times()
        except psutil.NoSuchProcess:
            continue
        total += times.user + times.system
    return total


def settle(pids: Iterable[int]) -> None:
    """Return once the processes have gone quiet: merges and tiers belong to the cost of the points that caused them."""
    watched = list(pids)
    deadline = time.monotonic() + SETTLE_MAX_S
    before = cpu_s(watched)
    while time.monotonic() < deadline:
        began = time.monotonic()
        time.sleep(QUIET_S)
        now = cpu_s(watched)
        if (now - before) / (time.monotonic() - began) < QUIET_CPU:
            return
        before = now
