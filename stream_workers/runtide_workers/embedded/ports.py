"""Which port is whose, and who sits on a port that is taken."""

from __future__ import annotations

import errno
import socket
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

DEFAULT_BASE = 17700
WORKERS_MAX = 32
_FIRST_WORKER = 10  # base + 10; 4 ... 9 are kept for services to come


class PortTakenError(RuntimeError):
    """A port of the stack is in use; the message names it, its holder and the way out."""


@dataclass(frozen=True, slots=True)
class Ports:
    """The ports of a stack, all on loopback.

    base + 0 Kafka, + 1 ClickHouse, + 2 dashboard, + 3 the controller of Apache Kafka, + 10 + i worker i.
    """

    base: int = DEFAULT_BASE

    def __post_init__(self) -> None:
        highest = 65_535 - _FIRST_WORKER - WORKERS_MAX
        if not 1024 <= self.base <= highest:
            raise ValueError(f"--port-base {self.base}: expected 1024 to {highest}")

    @property
    def kafka(self) -> int:
        return self.base

    @property
    def clickhouse(self) -> int:
        return self.base + 1

    @property
    def dashboard(self) -> int:
        return self.base + 2

    @property
    def kafka_controller(self) -> int:
        return self.base + 3

    def worker(self, index: int) -> int:
        return self.base + _FIRST_WORKER + index

    def used(self, workers: int, dashboard: bool, apache_kafka: bool = False) -> Iterator[tuple[str, int]]:
        """(what for, port) of everything that such a stack listens on."""
        yield "the broker", self.kafka
        yield "ClickHouse", self.clickhouse
        if apache_kafka:
            yield "Kafka's controller", self.kafka_controller
        if dashboard:
            yield "the dashboard", self.dashboard
        for index in range(workers):
            yield f"worker {index}", self.worker(index)

    def require_free(self, workers: int, dashboard: bool, apache_kafka: bool = False) -> None:
        """Raises PortTakenError for the first port that somebody else listens on."""
        for purpose, port in self.used(workers, dashboard, apache_kafka):
            if not is_free(port):
                raise PortTakenError(
                    f"port {port}, which {purpose} needs, is taken by {holder(port)}: "
                    f"stop that, or choose another --port-base (now {self.base})"
                )


def is_free(port: int) -> bool:
    """Whether 127.0.0.1:`port` can be listened on now."""
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError as error:
            if error.errno in (errno.EADDRINUSE, errno.EACCES):
                return False
            raise
    return True


def holder(port: int) -> str:
    """Who listens on `port`, for people: "nginx (pid 123)", or a guess where the system does not tell."""
    import psutil

    closing = False
    try:
        for connection in psutil.net_connections(kind="tcp"):
            if not connection.laddr or connection.laddr.port != port:
                continue
            if connection.pid:
                process = psutil.Process(connection.pid)
                return f"{_name(process)} (pid {process.pid}{_of_stack(process)})"
            closing = closing or connection.status != psutil.CONN_LISTEN
    except psutil.Error:
        pass
    return "a connection that is just closing" if closing else "another user's process"


def _name(process: Any) -> str:
    """The program, and for an interpreter also what it runs: "python3.11 -m http.server"."""
    import psutil

    try:
        command = process.cmdline()
    except psutil.Error:
        command = []
    name = str(process.name())
    if not name.startswith("python") or len(command) < 2:
        return name
    return " ".join([name, *command[1:3]])[:80]


def _of_stack(process: Any) -> str:
    """Another stack's part is easier to find by its home."""
    for parent in process.parents():
        command = parent.cmdline()
        if "runtide_workers.embedded.detached" in command and "--home" in command:
            return f", of the stack in {command[command.index('--home') + 1]}"
    return ""
