"""What a shipper says of itself along with what it sends, in a header of a message (docs/events.md)."""

from __future__ import annotations

from collections.abc import Callable

import orjson

from runtide.identity import host_name
from runtide.shipper.status import ShipperStatus

EVERY_S = 2.0
_TOLD = (
    "directory", "pid", "journals", "writers", "lag_s", "resent_lines", "oversize_lines", "lost_files", "failures",
)  # fmt: skip


class Reports:
    """When to report: now and then, and until no backlog is left. `measure` brings the shipper's status up to date."""

    def __init__(self, measure: Callable[[], ShipperStatus]) -> None:
        self._measure = measure
        self._due_s = 0.0
        self._told_bytes = 0  # the backlog of the last report

    def along(self, on_its_way_bytes: int, now: float) -> bytes | None:
        """What to say along with the last message of a round; None: nothing. `now`: monotonic seconds."""
        if now < self._due_s and not self._told_bytes:
            return None
        self._due_s = now + EVERY_S
        status = self._measure()
        self._told_bytes = max(status.backlog_bytes - on_its_way_bytes, 0)
        return encode(status, self._told_bytes)


def encode(status: ShipperStatus, backlog_bytes: int) -> bytes:
    """The header's value. Of the backlog it tells what is not handed to Kafka yet."""
    facts = {name: getattr(status, name) for name in _TOLD}
    return orjson.dumps({"host": host_name(), **facts, "backlog_bytes": backlog_bytes})
