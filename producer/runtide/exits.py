"""How a process ends, as far as it can know itself, so that each run says the right goodbye.

- An exception nobody caught, KeyboardInterrupt included, passes `sys.excepthook`: chained here.
- `sys.exit(3)` can't be seen at exit, since Python forgets the SystemExit before it calls `atexit` functions: therefore
  `sys.exit` is wrapped to note its code. `raise SystemExit(3)` without `with runtide.init()` goes unseen.
- Signals and `os._exit` leave no time for a goodbye: the shipper sees the lock free and writes `end` itself. No signal
  handler is installed, since a trainer's own must keep working.
"""

from __future__ import annotations

import atexit
import os
import sys
import threading
from collections.abc import Callable
from contextlib import suppress
from types import TracebackType
from typing import Any, NamedTuple, NoReturn, Protocol

from runtide import redact

ERROR_CHARS_MAX = 16 << 10  # of a traceback, its end


class Ending(NamedTuple):
    exit_code: int
    error: str | None


class Endable(Protocol):
    """A run, seen from here."""

    @property
    def step(self) -> int: ...
    def end(self, ending: Ending) -> None: ...
    def before_fork(self) -> None: ...
    def after_fork_in_parent(self) -> None: ...
    def after_fork_in_child(self) -> None: ...


class ProcessEnd:
    """Watches over the live runs of this process. Installs its hooks with the first run, never at import."""

    def __init__(self) -> None:
        self._live: list[Endable] = []
        self._failure: Ending | None = None
        self._exit_note: tuple[int, list[int]] | None = None  # code, and the steps of the live runs at that moment
        self._installed = False
        self._previous_hook: Callable[..., object] = sys.excepthook
        self._previous_exit: Callable[..., NoReturn] = sys.exit

    def watch(self, run: Endable) -> None:
        """From now on the run is told when the process forks or ends."""
        self._live.append(run)
        if not self._installed:
            self._installed = True
            self._previous_hook, sys.excepthook = sys.excepthook, self._on_exception
            self._previous_exit, sys.exit = sys.exit, self._on_sys_exit
            atexit.register(self._at_exit)
            os.register_at_fork(
                before=self._before_fork,
                after_in_parent=self._after_fork_in_parent,
                after_in_child=self._after_fork_in_child,
            )

    def unwatch(self, run: Endable) -> None:
        if run in self._live:
            self._live.remove(run)

    def _on_exception(self, kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
        if not hasattr(sys, "ps1"):  # at a prompt an exception ends nothing
            with suppress(Exception):
                self._failure = ending_of(error)
        self._previous_hook(kind, error, trace)

    def _on_sys_exit(self, status: Any = None, /) -> NoReturn:
        if threading.current_thread() is threading.main_thread():  # elsewhere it ends only that thread
            self._exit_note = (_code(status), [run.step for run in self._live])
        self._previous_exit(status)

    def _at_exit(self) -> None:
        ending = self._failure or Ending(0, None)
        # A SystemExit that somebody caught ended nothing: then the runs have moved on since.
        if self._failure is None and self._exit_note and self._exit_note[1] == [run.step for run in self._live]:
            ending = Ending(self._exit_note[0], None)
        for run in tuple(self._live):
            with suppress(Exception):
                run.end(ending)

    def _before_fork(self) -> None:
        for run in tuple(self._live):
            run.before_fork()

    def _after_fork_in_parent(self) -> None:
        for run in tuple(self._live):
            run.after_fork_in_parent()

    def _after_fork_in_child(self) -> None:
        for run in tuple(self._live):
            run.after_fork_in_child()


process_end = ProcessEnd()


def ending_of(error: BaseException | None) -> Ending:
    """What an exception that ends a run (or None) means."""
    if error is None:
        return Ending(0, None)
    if isinstance(error, SystemExit):
        return Ending(_code(error.code), None)
    if isinstance(error, KeyboardInterrupt):
        return Ending(130, "KeyboardInterrupt")
    return Ending(1, _trace(error, error.__traceback__))


def _code(status: object) -> int:
    if status is None:
        return 0
    return int(status) if isinstance(status, int) else 1  # a text is printed, and the code is 1


def _trace(error: BaseException, trace: TracebackType | None) -> str:
    import traceback

    lines = traceback.format_exception(type(error), error, trace)
    return redact.text("".join(lines)[-ERROR_CHARS_MAX:], assignments=True)
