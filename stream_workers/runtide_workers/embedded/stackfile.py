"""`stack.json`: where the parts of a stack listen and which processes they are, for SDK, tools and the next supervisor.

It is there while a supervisor runs, and stays behind when one is killed: then it tells whom to clean away.
"""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from runtide_workers.embedded.home import Home, write_private

_SAME_START_S = 1.5  # the kernel counts a start in ticks since boot: the same process may read a little differently
_GONE_PATIENCE_S = 5.0


@dataclass(frozen=True, slots=True)
class ProcessMark:
    """A process that can be told from a later one that happens to get the same id."""

    pid: int
    started: float  # seconds since 1970
    word: str  # of its command line

    @classmethod
    def of(cls, pid: int, word: str) -> ProcessMark | None:
        """None when the process is gone."""
        import psutil

        try:
            return cls(pid, psutil.Process(pid).create_time(), word)
        except psutil.Error:
            return None

    def is_alive(self) -> bool:
        import psutil

        try:
            process = psutil.Process(self.pid)
            return (
                abs(process.create_time() - self.started) < _SAME_START_S
                and process.status() != psutil.STATUS_ZOMBIE
                and any(self.word in part for part in process.cmdline())
            )
        except (psutil.Error, ValueError, OverflowError):  # the latter of a number that no process can have
            return False

    def kill(self, patience_s: float = _GONE_PATIENCE_S) -> bool:
        """SIGKILL it if it is still the same process, and wait for its end. True: it was alive."""
        import psutil

        if not self.is_alive():
            return False
        try:
            psutil.Process(self.pid).kill()
        except psutil.Error:
            return True
        deadline = time.monotonic() + patience_s
        while self.is_alive() and time.monotonic() < deadline:
            time.sleep(0.02)
        return True

    def as_json(self) -> dict[str, Any]:
        return {"pid": self.pid, "started": self.started, "word": self.word}

    @classmethod
    def from_json(cls, found: Any) -> ProcessMark | None:
        try:
            return cls(int(found["pid"]), float(found["started"]), str(found["word"]))
        except (TypeError, KeyError, ValueError, OverflowError):
            return None


def read(home: Home) -> dict[str, Any]:
    """The stack's own words; {} if there is no stack, or a file that is no JSON object."""
    try:
        found = json.loads(home.stack_file.read_text())
    except (OSError, ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}


def write(home: Home, described: Mapping[str, Any]) -> None:
    write_private(home.stack_file, json.dumps(described, indent=1) + "\n")


def remove(home: Home) -> None:
    home.stack_file.unlink(missing_ok=True)


def processes(described: Mapping[str, Any]) -> dict[str, ProcessMark]:
    """Service name -> its process, as last written."""
    services = described.get("services")
    if not isinstance(services, dict):
        return {}
    marks = {
        name: ProcessMark.from_json(facts.get("process")) for name, facts in services.items() if isinstance(facts, dict)
    }
    return {name: mark for name, mark in marks.items() if mark is not None}


def clean_up(home: Home) -> list[str]:
    """Kill what a supervisor that was killed left behind, and forget it. Returns the names of what still lived.

    Only for whoever holds the home's lock: else the stack is alive and well.
    """
    described = read(home)
    killed = [name for name, mark in processes(described).items() if mark.kill()]
    remove(home)
    return killed
