"""Log files of children: kept small, and read for the reason of a death."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path

BYTES_MAX = 32 << 20
BYTES_KEPT = 4 << 20


def trim(path: Path) -> None:
    """Keep the end of a log that has grown too long. Its writer appends (O_APPEND) and does not notice."""
    try:
        if path.stat().st_size <= BYTES_MAX:
            return
        with path.open("rb+") as file:
            file.seek(-BYTES_KEPT, os.SEEK_END)
            file.readline()
            end = file.read()
            path.with_suffix(".log.1").write_bytes(end)
            file.truncate(0)
    except OSError:
        pass  # a log is not worth a stack


def append(path: Path, text: str) -> None:
    """One dated line."""
    try:
        with path.open("a", encoding="utf-8", errors="backslashreplace") as file:
            file.write(f"{time.strftime('%Y-%m-%d %H:%M:%S')} {text}\n")
    except OSError:
        pass  # as in `trim`


def death(exit_code: int | None) -> str:
    """How a child ended, in words."""
    if exit_code is None:
        return "could not be started"
    if exit_code < 0:
        try:
            return f"was killed by {signal.Signals(-exit_code).name}"
        except ValueError:
            return f"was killed by signal {-exit_code}"
    return f"ended with code {exit_code}"


def tail(path: Path, lines: int = 12, bytes_max: int = 16_384) -> list[str]:
    """The last lines of a log; [] if there is none."""
    try:
        with path.open("rb") as file:
            file.seek(max(0, path.stat().st_size - bytes_max))
            text = file.read().decode(errors="replace")
    except OSError:
        return []
    return [line.rstrip() for line in text.splitlines() if line.strip()][-lines:]
