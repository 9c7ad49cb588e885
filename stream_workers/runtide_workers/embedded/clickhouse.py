"""The embedded ClickHouse: the real engine from the `chdb` wheel, serving its own HTTP interface on loopback.

chdb is ClickHouse's LocalServer inside Python. It has no documented way to listen, but it knows `SYSTEM START LISTEN
HTTP` and reads `config.xml` of the working directory. So `python -m runtide_workers.embedded.clickhouse DIR` enters a
folder with our configuration, starts listening, and stays inside a query that reads a pipe; closing the pipe ends the
engine cleanly. All that depends on this trick is in `_serve`; chdb is pinned, and a release that drops it gets a clear
sentence.
"""

from __future__ import annotations

import hashlib
import http.client
import os
import secrets
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Self
from urllib.parse import quote

from runtide_workers.embedded.child import ChildProcess, spawn
from runtide_workers.embedded.clickhouse_config import ROLES, Limits, config_xml, users_xml

HOST = "127.0.0.1"
DATABASE = "runtide"
_PARENT_CHECK_S = 0.5
_LAST_CONNECTIONS_S = 1.5
_MARK = "runtide: "  # before what is meant for people, in a log where the engine writes too
_DROPPED = (
    "this chdb release can't listen for HTTP (SYSTEM START LISTEN): install the pinned one,"
    " pip install 'runtide[embedded]', or set RUNTIDE_CLICKHOUSE to a ClickHouse server"
)


class ClickHouseError(RuntimeError):
    """The embedded ClickHouse did not start or died; the message says why and where its log is."""


class ClickHouse(ChildProcess):
    """One engine over `data_dir`, in a process of its own, on 127.0.0.1:`http_port`.

    `passwords` maps the roles to theirs; a missing one is made up. `data_dir` holds the
    tables (`store/`), the configuration with hashed passwords (`etc/`, only for this user) and, without `log_path`, the
    log.
    """

    stop_grace_s = 10.0

    def __init__(
        self,
        data_dir: str | os.PathLike[str],
        http_port: int,
        passwords: Mapping[str, str] | None = None,
        *,
        log_path: str | os.PathLike[str] | None = None,
        limits: Limits | None = None,
    ) -> None:
        self.data_dir = Path(data_dir).resolve()
        self.http_port = http_port
        self.passwords = {role: (passwords or {}).get(role) or secrets.token_urlsafe(18) for role in ROLES}
        self.log_path = Path(log_path).resolve() if log_path is not None else self.data_dir / "clickhouse.log"
        self.limits = limits or Limits.of_this_machine()
        self._log_start_bytes = 0

    def url(self, role: str = "writer", database: str = DATABASE) -> str:
        """The URL for `role` (one of ROLES), password included."""
        return f"http://{role}:{quote(self.passwords[role], safe='')}@{HOST}:{self.http_port}/{database}"

    def start(self) -> None:
        """Start the engine. Raises ClickHouseError if the port is taken or the process can't be started."""
        if self.pid is not None:
            return
        with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind((HOST, self.http_port))
            except OSError as error:
                raise ClickHouseError(f"port {self.http_port} is taken: choose another --port-base") from error
        self._write_configuration()
        self._log_start_bytes = self.log_path.stat().st_size if self.log_path.exists() else 0
        argv = [sys.executable, "-m", "runtide_workers.embedded.clickhouse", str(self.data_dir), str(os.getpid())]
        try:
            self._process = spawn(argv, log_path=self.log_path)
        except (OSError, subprocess.SubprocessError) as error:
            raise ClickHouseError(f"cannot start the embedded ClickHouse: {error}") from error

    def wait_ready(self, timeout_s: float = 60.0) -> None:
        """Return once the engine answers. Raises ClickHouseError if it dies or does not answer in `timeout_s`."""
        deadline = time.monotonic() + timeout_s
        while not self._answers():
            if self.pid is None:
                raise ClickHouseError(f"the embedded ClickHouse exited ({self.exit_code}): {self._last_words()}")
            if time.monotonic() > deadline:
                raise ClickHouseError(f"the embedded ClickHouse was not ready in {timeout_s:g} s; see {self.log_path}")
            time.sleep(0.05)

    def __enter__(self) -> Self:
        self.start()
        self.wait_ready()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def _write_configuration(self) -> None:
        etc = self.data_dir / "etc"
        etc.mkdir(parents=True, exist_ok=True)
        etc.chmod(0o700)
        hashes = {role: hashlib.sha256(word.encode()).hexdigest() for role, word in self.passwords.items()}
        (etc / "users.xml").write_text(users_xml(hashes, self.limits, DATABASE))
        config = config_xml(HOST, self.http_port, self.log_path, self.data_dir / "backups", self.limits)
        (etc / "config.xml").write_text(config)

    def _answers(self) -> bool:
        connection = http.client.HTTPConnection(HOST, self.http_port, timeout=2.0)
        try:
            connection.request("GET", "/ping")
            return connection.getresponse().status == http.client.OK
        except (OSError, http.client.HTTPException):
            return False
        finally:
            connection.close()

    def _last_words(self) -> str:
        try:
            with open(self.log_path, "rb") as log:
                log.seek(self._log_start_bytes)
                lines = log.read().decode("utf-8", "replace").strip().splitlines()
        except OSError:
            lines = []
        told = [line.rpartition(_MARK)[2] for line in lines if _MARK in line]
        errors = [line for line in lines if "DB::Exception" in line]
        why = _explain(errors[-1], self.data_dir) if errors else (told or lines or ["it said nothing"])[-1]
        return f"{why} (log: {self.log_path})"


def _explain(error: str, data_dir: Path) -> str:
    """The engine's own line in words that name the fix."""
    if "Cannot lock file" in error:
        return f"another process uses {data_dir}: stop it, or choose another RUNTIDE_HOME"
    if "Address already in use" in error:
        return "its port is taken: choose another --port-base"
    return _DROPPED if "SYNTAX_ERROR" in error or "NOT_IMPLEMENTED" in error else error


def _serve(data_dir: Path, parent_pid: int) -> str | None:
    """Be the engine until a signal or the parent's end. Returns what went wrong, or None."""
    os.chdir("/")  # importing chdb opens a throw-away session, which must not see our config.xml
    try:
        from chdb import _chdb
    except ImportError as error:
        return f"the embedded ClickHouse is not installed ({error}): pip install 'runtide[embedded]'"
    query = getattr(_chdb, "query", None)
    if query is None:
        return _DROPPED
    os.chdir(data_dir / "etc")
    ended = threading.Event()
    read_end, write_end = os.pipe()

    def engine() -> None:
        sql = f"SYSTEM START LISTEN HTTP; SELECT * FROM file({read_end:d}, 'LineAsString', 'line String')"  # noqa: S608
        try:
            query(sql, "TabSeparated", path=str(data_dir / "store"))  # its errors it prints or raises, as it likes
        finally:
            ended.set()

    thread = threading.Thread(target=engine, name="runtide-clickhouse", daemon=True)
    asked = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: asked.set())
    thread.start()
    # Where the kernel can't kill a child with its parent (not Linux), being adopted by another process is the sign.
    while not asked.wait(_PARENT_CHECK_S) and not ended.is_set() and os.getppid() == parent_pid:
        pass
    was_asked = not ended.is_set()
    os.close(write_end)
    thread.join(_LAST_CONNECTIONS_S)  # the engine would wait 5 s for clients that only keep a connection alive
    return None if was_asked else "the engine ended by itself"


def main(arguments: list[str]) -> int:
    if len(arguments) != 2:
        print(f"{_MARK}usage: python -m runtide_workers.embedded.clickhouse DATA_DIR PARENT_PID", file=sys.stderr)
        return 2
    problem = _serve(Path(arguments[0]), int(arguments[1]))
    if problem is not None:
        print(f"{_MARK}{problem}", file=sys.stderr, flush=True)
    # The engine's own threads may hold the interpreter's exit. What was inserted is on disk; merges begin anew.
    os._exit(0 if problem is None else 1)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
