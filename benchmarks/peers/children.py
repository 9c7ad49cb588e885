"""Running a measurement: what it and all of its helpers used, and the end of those that won't end.

A keeper, a process of its own (`python -m benchmarks.peers.children`), stands between: all that it has below it was
started by the measurement, so that it may wait for every child and end every one. Who asks for a measurement has
other children, which are none of its business.
"""

from __future__ import annotations

import ctypes
import dataclasses
import json
import os
import resource
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import psutil

from benchmarks.peers.install import ROOT

_SET_CHILD_SUBREAPER = 36  # of prctl(2)
_POLL_S = 0.02
_TERMINATE_S = 5.0


@dataclasses.dataclass(frozen=True)
class Ended:
    exit_code: int | None  # None: it had to be ended
    cpu_s: float  # user and system, of the process and of all helpers that it started


def run(command: Sequence[str], environment: Mapping[str, str], log: Path, limit_s: float, linger_s: float) -> Ended:
    """Run it for `limit_s` seconds at most; its helpers may take `linger_s` more to end by themselves."""
    asked: dict[str, Any] = {"command": [*command], "environment": {**environment}, "log": str(log)}
    asked |= {"limit_s": limit_s, "linger_s": linger_s}
    keeper = [sys.executable, "-m", "benchmarks.peers.children"]
    kept = subprocess.run(keeper, input=json.dumps(asked), stdout=subprocess.PIPE, text=True, check=True, cwd=ROOT)
    return Ended(**json.loads(kept.stdout))


def _keep(command: list[str], environment: dict[str, str], log: Path, limit_s: float, linger_s: float) -> Ended:
    _adopt_orphans()
    exit_code: int | None = None
    try:
        with log.open("ab") as output:
            process = subprocess.Popen(
                command, env=environment, stdin=subprocess.DEVNULL, stdout=output, stderr=output,
                cwd=log.parent, start_new_session=True,
            )  # fmt: skip
        exit_code = process.wait(limit_s)
        _wait_for_helpers(linger_s)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
    finally:  # Ctrl-C too leaves nothing behind
        _end_helpers()
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return Ended(exit_code, used.ru_utime + used.ru_stime)


def _adopt_orphans() -> None:
    """Become the parent of helpers whose parent ends, so that their CPU is counted. Linux only: elsewhere it isn't."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_SET_CHILD_SUBREAPER, 1, 0, 0, 0)


def _helpers() -> list[psutil.Process]:
    """Those that are left of what was started here."""
    _reap()
    return [child for child in psutil.Process().children(recursive=True) if child.status() != psutil.STATUS_ZOMBIE]


def _wait_for_helpers(linger_s: float) -> None:
    deadline = time.monotonic() + linger_s
    while _alive() and time.monotonic() < deadline:
        time.sleep(_POLL_S)


def _end_helpers() -> None:
    for process in _alive():
        with suppress(psutil.NoSuchProcess):
            process.terminate()
    _wait_for_helpers(_TERMINATE_S)
    while left := _alive():
        for process in left:
            with suppress(psutil.NoSuchProcess):
                process.kill()
        time.sleep(_POLL_S)


def _alive() -> list[psutil.Process]:
    with suppress(psutil.NoSuchProcess):  # one ended while it was looked at
        return _helpers()
    return _helpers()


def _reap() -> None:
    """Take note of the adopted ones that have ended: only then does the kernel add their CPU to ours."""
    with suppress(ChildProcessError):
        while os.waitpid(-1, os.WNOHANG)[0]:
            pass


def _main() -> None:
    asked: dict[str, Any] = json.load(sys.stdin)
    ended = _keep(**asked | {"log": Path(asked["log"])})
    print(json.dumps(dataclasses.asdict(ended)))


if __name__ == "__main__":
    _main()
