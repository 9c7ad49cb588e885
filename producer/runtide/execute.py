"""`runtide exec -- CMD`: any command as a run, whatever language it is written in.

The command's output passes through and its end is kept; if wanted, the numbers in it become metrics. It finds
RUNTIDE_RUN_ID and RUNTIDE_PROJECT in its environment, so that a script that uses Runtide itself joins the same run.
"""

from __future__ import annotations

import os
import re
import shlex
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from types import FrameType
from typing import IO, Any

from runtide import redact, starting
from runtide._run import Run
from runtide.exits import Ending
from runtide.printed import Printed

TAIL_BYTES = 32 << 10  # of stdout and of stderr
NAME_CHARS_MAX = 80
READ_BYTES = 64 << 10
WAIT_S = 1.0
PIPES_WAIT_S = 2.0  # for output of grandchildren that outlive the command
EXIT_NOT_FOUND, EXIT_NOT_EXECUTABLE, EXIT_SIGNAL = 127, 126, 128  # as shells do
_SETTINGS = ("project", "id", "group", "tags", "dir", "mode", "resume")


def execute(
    argv: Sequence[str], *, patterns: Sequence[re.Pattern[str]] = (), pairs: bool = False, **init_kwargs: Any
) -> int:
    """Run a command as a tracked run and return its exit code: 128 + n if signal n ended it, 127 if there is no such
    command. Takes what `runtide.init` takes. SIGINT and SIGTERM are passed on. Raises `SettingsError` as `init` does.

    `patterns`, `pairs`: which numbers of its output become metrics (`runtide.printed.Printed`).
    """
    argv = [os.fspath(argument) for argument in argv]
    given = {("run_id" if name == "id" else name): init_kwargs.pop(name, None) for name in _SETTINGS}
    settings = init_kwargs.pop("settings", None)
    init_kwargs.setdefault("name", shlex.join(redact.arguments(argv))[:NAME_CHARS_MAX])
    run = starting.start(given, settings, command=argv, **init_kwargs)
    began = time.monotonic()
    with _signals_passed_on() as follow:
        try:
            process = subprocess.Popen(argv, env=_environment(run), stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        except OSError as error:
            print(f"runtide exec: {argv[0]}: {error.strerror}", file=sys.stderr)
            code = EXIT_NOT_FOUND if isinstance(error, FileNotFoundError) else EXIT_NOT_EXECUTABLE
            run._writer.end(Ending(code, f"{argv[0]}: {error.strerror}"))
            return code
        follow(process)
        readers = [Printed(run.log, patterns, pairs) if patterns or pairs else None for _ in range(2)]
        tails = [_Tail(process.stdout, sys.stdout, readers[0]), _Tail(process.stderr, sys.stderr, readers[1])]
        status = _wait(process)
    for tail in tails:
        tail.join(PIPES_WAIT_S)
    number = -status if status < 0 else None
    code = status if number is None else EXIT_SIGNAL + number
    facts = {
        "exec/argv": redact.arguments(argv),
        "exec/exit_code": code,
        "exec/signal": number and _signal_name(number),
        "exec/seconds": round(time.monotonic() - began, 3),
        "exec/stdout_tail": tails[0].text(),
        "exec/stderr_tail": tails[1].text(),
    }
    run._writer.emit_values("meta", facts)
    run._writer.end(Ending(code, f"ended by {_signal_name(number)}" if number else None))
    return code


def _wait(process: subprocess.Popen[bytes]) -> int:
    """Until it ends. In short waits: a signal that comes just before a long one would be handled after its end only."""
    while True:
        with suppress(subprocess.TimeoutExpired):
            return process.wait(WAIT_S)


class _Tail:
    """Passes a pipe on to a stream of ours, keeps the end of it, and lets `printed` read along."""

    def __init__(self, pipe: IO[bytes] | None, stream: Any, printed: Printed | None) -> None:
        self._pipe = pipe
        self._stream = stream
        self._printed = printed
        self._kept = bytearray()
        self._thread = threading.Thread(target=self._copy, name="runtide-exec-output", daemon=True)
        self._thread.start()

    def join(self, timeout_s: float) -> None:
        self._thread.join(timeout_s)

    def text(self) -> str:
        return redact.text(bytes(self._kept[-TAIL_BYTES:]).decode(errors="replace"), assignments=True)

    def _copy(self) -> None:
        if self._pipe is None:
            return
        fd = self._pipe.fileno()
        with suppress(OSError):
            while data := os.read(fd, READ_BYTES):
                self._kept += data
                del self._kept[:-TAIL_BYTES]
                self._pass_on(data)
                if self._printed is not None:
                    self._printed.feed(data)
        if self._printed is not None:
            self._printed.end()

    def _pass_on(self, data: bytes) -> None:
        # Our own reader may be gone (`| head`), and a test's stdout has no buffer: neither may stop the command.
        with suppress(OSError, ValueError):
            buffer = getattr(self._stream, "buffer", None)
            if buffer is None:
                self._stream.write(data.decode(errors="replace"))
            else:
                buffer.write(data)
            self._stream.flush()


def _environment(run: Run) -> dict[str, str]:
    """The command's: what makes a Runtide in it join this run, and Python's output come as it is written."""
    found = dict(os.environ)
    found["RUNTIDE_PROJECT"], found["RUNTIDE_RUN_ID"] = run.project, run.id
    found[starting.JOIN_VARIABLE] = f"{run.project}/{run.id}"
    found["RUNTIDE_MODE"], found["RUNTIDE_DIR"] = run.mode, os.path.dirname(run.dir)
    found.setdefault("PYTHONUNBUFFERED", "1")
    return found


@contextmanager
def _signals_passed_on() -> Iterator[Callable[[subprocess.Popen[bytes]], None]]:
    """Signals that would end us go to the command instead: gives the function that says which process that is."""
    # Ctrl-C at a terminal reaches the whole process group: the command has it already.
    at_terminal = os.isatty(0)
    followed: list[subprocess.Popen[bytes]] = []
    early: list[int] = []  # signals that came before there was a process

    def pass_on(number: int, _frame: FrameType | None = None) -> None:
        if not followed:
            early.append(number)
        elif not (at_terminal and number == signal.SIGINT):
            with suppress(ProcessLookupError):
                followed[0].send_signal(number)

    def follow(process: subprocess.Popen[bytes]) -> None:
        followed.append(process)
        for number in early:
            pass_on(number)

    if threading.current_thread() is not threading.main_thread():
        yield follow  # handlers can't be set here
        return
    before = {number: signal.signal(number, pass_on) for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)}
    try:
        yield follow
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"
