"""Child processes that never outlive this process.

On Linux a child asks the kernel to be killed when its parent goes (PR_SET_PDEATHSIG), so that even `kill -9` of a
supervisor leaves no orphan behind. The kernel means the parent *thread*: a child spawned by a short-lived thread dies
with that thread. Hence every spawn is handed to one daemon thread that lives as long as the process.
"""

from __future__ import annotations

import ctypes
import os
import queue
import signal
import subprocess
import sys
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path

_PR_SET_PDEATHSIG = 1  # from linux/prctl.h
_LIBC = (
    ctypes.CDLL(None) if sys.platform == "linux" else None
)  # loaded now: nothing may be loaded between fork and exec

_Reply = queue.SimpleQueue["subprocess.Popen[bytes] | OSError | subprocess.SubprocessError"]
_Request = tuple[Sequence[str], Path | None, Mapping[str, str] | None, Path | None, _Reply]

_lock = threading.Lock()
_requests: queue.SimpleQueue[_Request] | None = None
_owner_pid = 0


class ChildProcess:
    """A program that may run as our child, and how to end it. Who inherits starts it."""

    stop_grace_s = 5.0
    _process: subprocess.Popen[bytes] | None = None  # the last that was started

    @property
    def pid(self) -> int | None:
        """Process id while it runs, else None."""
        process = self._process
        return process.pid if process is not None and process.poll() is None else None

    @property
    def exit_code(self) -> int | None:
        """Exit code of one that was started and is gone (negative: the signal), else None."""
        return self._process.poll() if self._process is not None else None

    def ask_to_stop(self) -> None:
        """SIGTERM, without waiting; harmless when it does not run."""
        if self._process is not None and self._process.poll() is None:
            self._process.terminate()

    def stop(self, timeout_s: float | None = None) -> None:
        """End it: SIGTERM, and SIGKILL after `timeout_s` (None: `stop_grace_s`); harmless when it does not run."""
        self.ask_to_stop()
        if self._process is not None:
            try:
                self._process.wait(self.stop_grace_s if timeout_s is None else timeout_s)
            except subprocess.TimeoutExpired:
                self.kill()

    def kill(self) -> None:
        """SIGKILL, and wait until it is gone."""
        if self._process is not None and self._process.poll() is None:
            self._process.kill()
            self._process.wait()


def spawn(
    argv: Sequence[str],
    *,
    log_path: Path | None = None,
    env: Mapping[str, str] | None = None,
    cwd: Path | None = None,
) -> subprocess.Popen[bytes]:
    """Start `argv` in a session of its own, killed when this process dies (on Linux; elsewhere it must be stopped).

    Output is appended to `log_path`, or dropped. A session of its own keeps the terminal's Ctrl-C for the supervisor,
    who stops its children in order. Raises OSError when the program cannot be started.
    """
    reply: _Reply = queue.SimpleQueue()
    _spawner().put((argv, log_path, env, cwd, reply))
    answer = reply.get()
    if isinstance(answer, BaseException):
        raise answer
    return answer


def _spawner() -> queue.SimpleQueue[_Request]:
    global _requests, _owner_pid
    with _lock:
        if _requests is None or _owner_pid != os.getpid():  # a forked child has no copy of the thread
            _requests, _owner_pid = queue.SimpleQueue(), os.getpid()
            threading.Thread(target=_serve, args=(_requests,), name="runtide-spawn", daemon=True).start()
        return _requests


def _serve(requests: queue.SimpleQueue[_Request]) -> None:
    while True:
        argv, log_path, env, cwd, reply = requests.get()
        try:
            reply.put(_popen(argv, log_path, env, cwd))
        except (OSError, subprocess.SubprocessError) as error:
            reply.put(error)


def _popen(
    argv: Sequence[str], log_path: Path | None, env: Mapping[str, str] | None, cwd: Path | None
) -> subprocess.Popen[bytes]:
    if log_path is not None:
        log_path.parent.mkdir(parents=True, exist_ok=True)
    parent = os.getpid()

    def die_with_parent() -> None:
        if _LIBC is not None:
            _LIBC.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
            if os.getppid() != parent:  # the parent died before the request took effect
                os._exit(1)

    with open(log_path or os.devnull, "ab") as log:
        return subprocess.Popen(
            list(argv),
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            env=dict(env) if env is not None else None,
            cwd=cwd,
            start_new_session=True,
            preexec_fn=die_with_parent,  # noqa: PLW1509 - takes no lock: two calls into libc, resolved at import
        )
