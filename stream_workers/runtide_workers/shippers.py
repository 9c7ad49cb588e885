"""What shippers say of themselves beside what they send, kept until it is written down."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import orjson

from runtide.events import REPORT_HEADER
from runtide_workers.envelope import Message

REPORT_BYTES_MAX = 4096
TEXT_CHARS_MAX = 512
_TEXTS = ("host", "directory")
_COUNTS = ("backlog_bytes", "resent_lines", "oversize_lines", "lost_files", "failures")
_SMALL_COUNTS = ("pid", "journals", "writers")

Row = dict[str, Any]


class Shippers:
    """The latest report of each shipper since they were last taken."""

    def __init__(self) -> None:
        self._rows: dict[tuple[str, str], Row] = {}

    def note(self, messages: Iterable[Message]) -> None:
        """Look for reports. One that can't be read is worth nothing: the message it came with is."""
        for message in messages:
            for name, value in message.headers:
                if name == REPORT_HEADER:
                    row = _row(value, message.timestamp_ms)
                    if row is not None:
                        self._rows[row["host"], row["directory"]] = row

    def take(self) -> list[Row]:
        """Rows for table `shippers`; they are forgotten here."""
        taken, self._rows = self._rows, {}
        return list(taken.values())


def _row(value: bytes | None, at_ms: int) -> Row | None:
    if value is None or len(value) > REPORT_BYTES_MAX:
        return None
    try:
        said = orjson.loads(value)
        row: Row = {"at": at_ms, "lag_s": min(max(0.0, float(said["lag_s"])), 1e9)}  # 0 of NaN
        row |= {name: said[name][:TEXT_CHARS_MAX] for name in _TEXTS}
        row |= {name: min(max(int(said[name]), 0), 2**63 - 1) for name in _COUNTS}
        row |= {name: min(max(int(said[name]), 0), 2**32 - 1) for name in _SMALL_COUNTS}
    except (ValueError, TypeError, KeyError, OverflowError):
        return None
    return row if all(isinstance(row[name], str) for name in _TEXTS) else None
