"""What a stack consists of: kinds of children that all know the same few verbs, so that the supervisor has one loop."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Protocol

from runtide_workers.embedded import probes
from runtide_workers.embedded.broker import Broker
from runtide_workers.embedded.child import ChildProcess, spawn
from runtide_workers.embedded.clickhouse import ClickHouse
from runtide_workers.embedded.home import Home
from runtide_workers.embedded.ports import Ports
from runtide_workers.embedded.topics import BrokenLog, begin_topics

DASHBOARD = "runtide_dashboard"
_PRIVATE_ENV = ("RUNTIDE_KAFKA", "RUNTIDE_CLICKHOUSE")  # prefixes: the stack speaks to its own parts only


class Service(Protocol):
    """One child process. `word` tells its command line from others'."""

    name: str
    port: int
    log: Path
    word: str

    @property
    def pid(self) -> int | None:
        """While it runs, else None."""

    @property
    def exit_code(self) -> int | None:
        """Of the last one that ended (negative: the signal), else None."""

    def start(self) -> None:
        """Start it anew. Raises RuntimeError or OSError when it cannot be."""

    def probe(self) -> probes.Answer:
        """Ask it once, for at most a few seconds."""

    def stop(self, timeout_s: float) -> None:
        """Ask it to end, and make it after `timeout_s`; harmless when it does not run."""

    def kill(self) -> None:
        """SIGKILL, and wait until it is gone."""


class BrokerService:
    """The embedded broker; each start is an empty one under a fresh cluster id."""

    name = "broker"
    word = "tansu"
    forgets = True

    def __init__(self, home: Home, ports: Ports) -> None:
        self.port, self.log = ports.kafka, home.log("broker")
        self._broker = Broker(self.port, self.log)
        self._broken_log = BrokenLog(self.log)

    @property
    def bootstrap(self) -> str:
        return self._broker.bootstrap

    @property
    def pid(self) -> int | None:
        return self._broker.pid

    @property
    def exit_code(self) -> int | None:
        return self._broker.exit_code

    def begin_topics(self) -> list[str]:
        """Create the topics, empty. Returns their names."""
        created = begin_topics(self.bootstrap)
        self.is_broken()  # what it had to refuse before it had topics is gone with them
        return created

    def held_bytes(self) -> int:
        """Of memory that only another start gives back."""
        return self._broker.rss_bytes()

    def start(self) -> None:
        self._broken_log = BrokenLog(self.log)
        self._broker.start()

    def is_broken(self) -> bool:
        """Has it begun to hide messages that it acknowledged? Then only another start helps."""
        return self._broken_log.seen()

    def probe(self) -> probes.Answer:
        return probes.kafka(self.port)

    def stop(self, timeout_s: float) -> None:
        self._broker.stop(timeout_s)

    def kill(self) -> None:
        self._broker.kill()


class ClickHouseService:
    """The embedded ClickHouse; its data stay in the home."""

    name = "clickhouse"
    word = "runtide_workers.embedded.clickhouse"

    def __init__(self, home: Home, ports: Ports) -> None:
        self.port, self.log = ports.clickhouse, home.log("clickhouse")
        self._server = ClickHouse(home.clickhouse, self.port, home.passwords(), log_path=self.log)

    def url(self, role: str) -> str:
        return self._server.url(role)

    @property
    def pid(self) -> int | None:
        return self._server.pid

    @property
    def exit_code(self) -> int | None:
        return self._server.exit_code

    def start(self) -> None:
        self._server.start()

    def probe(self) -> probes.Answer:
        return probes.http_get(self.port, "/ping")

    def stop(self, timeout_s: float) -> None:
        self._server.stop(timeout_s)

    def kill(self) -> None:
        self._server.kill()


class Program(ChildProcess):
    """A child that is a command: the workers and the dashboard."""

    def __init__(
        self,
        name: str,
        argv: list[str],
        *,
        word: str,
        port: int,
        log: Path,
        env: Mapping[str, str],
        health: str,
    ) -> None:
        self.name, self.word, self.port, self.log = name, word, port, log
        self._argv, self._env, self._health = argv, dict(env), health

    def start(self) -> None:
        if self.pid is None:
            self._process = spawn(self._argv, log_path=self.log, env=self._env)

    def probe(self) -> probes.Answer:
        return probes.http_get(self.port, self._health)


def worker(index: int, home: Home, ports: Ports, kafka: str, clickhouse: str) -> Program:
    """A worker process. The URL holds a password, so it travels in the environment and not on the command line."""
    port = ports.worker(index)
    argv = [sys.executable, "-m", "runtide_workers.app", "--port", str(port), "--id", str(index)]
    return Program(
        f"worker {index}", argv, word="runtide_workers.app", port=port, log=home.log(f"worker-{index}"),
        env=environment(home, kafka, clickhouse), health="/healthz",
    )  # fmt: skip


def dashboard(home: Home, ports: Ports, kafka: str, clickhouse: str, responder: str) -> Program:
    """The dashboard, on loopback. It is started by name: workers do not depend on the pages."""
    argv = [sys.executable, "-m", DASHBOARD, "--port", str(ports.dashboard)]
    return Program(
        "dashboard",
        argv,
        word=DASHBOARD,
        port=ports.dashboard,
        log=home.log("dashboard"),
        env=environment(home, kafka, clickhouse) | {"RUNTIDE_CLICKHOUSE_RESPONDER": responder},
        health="/_stcore/health",
    )


def environment(home: Home, kafka: str, clickhouse: str) -> dict[str, str]:
    """A child's environment: ours, with this stack's addresses in place of any others and no relative import paths."""
    env = {name: value for name, value in os.environ.items() if not name.startswith(_PRIVATE_ENV)}
    env |= {"RUNTIDE_HOME": str(home.path), "RUNTIDE_KAFKA": kafka, "RUNTIDE_CLICKHOUSE": clickhouse}
    env |= {"PYTHONUNBUFFERED": "1", "PYTHONSAFEPATH": "1"}  # a `types.py` where `runtide up` was typed is not ours
    paths = [os.path.abspath(path) for path in env.get("PYTHONPATH", "").split(os.pathsep) if path]
    if paths:
        env["PYTHONPATH"] = os.pathsep.join(paths)
    return env
