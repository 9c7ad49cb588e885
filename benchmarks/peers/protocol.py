"""The one interface that every tracker is measured through.

Adapters run inside their peer's environment, where nothing of Runtide is installed: this module, and all that they
import when they are loaded themselves, is the standard library.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import ClassVar

CLOSED = "127.0.0.1:9"  # a port of this machine that nobody listens on

Log = Callable[[int, dict[str, float]], object]  # step, metrics: what a training loop calls
Point = tuple[str, int, float]  # metric, step, value


class Adapter(ABC):
    """One tracker, set up as its documentation says. Each measurement makes one in a process of its own."""

    title: ClassVar[str]
    venv: ClassVar[str]  # also the name of its requirements
    distribution: ClassVar[str]  # whose version is shown
    statement: ClassVar[str]  # what a training script imports
    environment: ClassVar[dict[str, str]] = {}  # "{folder}" stands for the run's own; says what is switched off, too
    reader: ClassVar[str] = ""  # its own way to its history; "": only what uploads it knows the files

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    @abstractmethod
    def init(self, run: str) -> Log:
        """Import what is needed and begin a run. Returns its log function."""

    @abstractmethod
    def finish(self) -> None:
        """Return when all that was logged is where its reader finds it."""

    @abstractmethod
    def read(self, run: str, names: Iterable[str]) -> Iterator[Point]:
        """All points of these metrics, also of a run that was killed. The time until the last one counts."""

    def fill(self, run: str, name: str, values: Iterable[float]) -> None:
        """Log one metric for `read`, by the fastest way that its documentation has."""
        log = self.init(run)
        for step, value in enumerate(values):
            log(step, {name: value})
        self.finish()
