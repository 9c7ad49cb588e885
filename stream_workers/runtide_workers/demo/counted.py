"""Run a training script and count, apart from Runtide, what it logged.

Usage: python -m runtide_workers.demo.counted RECORD MODULE [argument ...]

The count is what the demo holds Runtide to, so it must not come from Runtide. It is rewritten in place after each
`run.log` returned: 24 bytes that survive a SIGKILL of the script.
"""

import os
import runpy
import struct
import sys
from pathlib import Path
from typing import Any, NamedTuple

import runtide

LAYOUT = struct.Struct("<QQq")


class Count(NamedTuple):
    """What one script's `log` calls that returned amount to: calls, scalars, and the last step (-1: none yet)."""

    calls: int
    points: int
    step: int


def read(record: Path) -> Count:
    try:
        return Count(*LAYOUT.unpack(record.read_bytes()))
    except (FileNotFoundError, struct.error):  # the script has not logged yet
        return Count(0, 0, -1)


def count_into(record: Path) -> None:
    """From now on keep `record` equal to what `run.log` was given in this process."""
    descriptor = os.open(record, os.O_CREAT | os.O_WRONLY, 0o644)
    original = runtide.Run.log
    calls = points = 0

    def log(self: runtide.Run, data: Any, step: int | None = None, *args: Any, **kwargs: Any) -> None:
        nonlocal calls, points
        original(self, data, step, *args, **kwargs)
        calls, points = calls + 1, points + len(data)
        os.pwrite(descriptor, LAYOUT.pack(calls, points, -1 if step is None else step), 0)

    runtide.Run.log = log  # type: ignore[method-assign]


def main() -> None:
    record, module, *arguments = sys.argv[1:]
    count_into(Path(record))
    sys.argv = [module, *arguments]
    runpy.run_module(module, run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    main()
