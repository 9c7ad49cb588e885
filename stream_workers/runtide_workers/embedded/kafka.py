"""Apache Kafka as the local stack's broker, one node that keeps what it has: where Java and Kafka's jars are there.

`KAFKA_HOME` names the folder of a Kafka release (its `libs` hold the jars), as Kafka's own scripts have it.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import uuid
from base64 import b64encode
from pathlib import Path

from runtide_workers.embedded import probes
from runtide_workers.embedded.child import ChildProcess, spawn
from runtide_workers.embedded.home import Home
from runtide_workers.embedded.ports import Ports
from runtide_workers.topics import ensure_topics

HEAP = ("-Xms128m", "-Xmx512m", "-XX:+UseSerialGC", "-Djava.awt.headless=true")
FORMAT_S = 60.0
_FOREIGN_ENV = ("KAFKA_OPTS", "KAFKA_HEAP_OPTS", "JAVA_TOOL_OPTIONS", "CLASSPATH")


class ApacheKafka(ChildProcess):
    """A broker that is its own controller, on loopback, with its log in `<home>/kafka`."""

    name = "broker"
    word = "kafka.Kafka"
    forgets = False

    def __init__(self, home: Home, ports: Ports) -> None:
        """Raises RuntimeError when Java or the jars are missing; the message says what to do."""
        self.port, self.log = ports.kafka, home.log("broker")
        self._java, self._jars = _java(), _jars()
        self._folder = home.path / "kafka"
        self._file = self._folder / "server.properties"
        self._controller = ports.kafka_controller

    @property
    def bootstrap(self) -> str:
        return f"127.0.0.1:{self.port}"

    def start(self) -> None:
        """Start it on what it had before. Raises RuntimeError or OSError when it can't be."""
        if self.pid is not None:
            return
        self._folder.mkdir(mode=0o700, exist_ok=True)
        self._file.write_text("".join(f"{name}={value}\n" for name, value in self._properties().items()))
        if not (self._folder / "data" / "meta.properties").exists():
            self._format()
        self._process = spawn(self._argv("kafka.Kafka", str(self._file)), log_path=self.log, env=_environment())

    def begin_topics(self) -> list[str]:
        """Create the topics that are missing. Returns their names."""
        return ensure_topics(self.bootstrap)

    def is_broken(self) -> bool:
        return False

    def held_bytes(self) -> int:
        """Of memory that only another start would give back: none, messages are on disk and expire there."""
        return 0

    def probe(self) -> probes.Answer:
        return probes.kafka(self.port)

    def _format(self) -> None:
        """Give the empty log its cluster id."""
        cluster_id = b64encode(uuid.uuid4().bytes, altchars=b"Aa").decode().rstrip("=")  # must not begin with "-"
        argv = self._argv("kafka.tools.StorageTool", "format", "-t", cluster_id, "-c", str(self._file))
        done = subprocess.run(
            argv, capture_output=True, text=True, timeout=FORMAT_S, check=False, env=_environment(), cwd=self._folder
        )
        if done.returncode != 0:
            said = (done.stderr or done.stdout).strip().splitlines()
            raise RuntimeError(f"Apache Kafka can't format {self._folder}: {said[-1] if said else done.returncode}")

    def _argv(self, *words: str) -> list[str]:
        return [self._java, *HEAP, "-cp", f"{self._jars}/*", *words]

    def _properties(self) -> dict[str, object]:
        return {
            "process.roles": "broker,controller",
            "node.id": 1,
            "listeners": f"PLAINTEXT://127.0.0.1:{self.port},CONTROLLER://127.0.0.1:{self._controller}",
            "advertised.listeners": f"PLAINTEXT://127.0.0.1:{self.port}",
            "controller.listener.names": "CONTROLLER",
            "controller.quorum.voters": f"1@127.0.0.1:{self._controller}",
            "log.dirs": self._folder / "data",
            "auto.create.topics.enable": "false",
            "offsets.topic.replication.factor": 1,
            "offsets.topic.num.partitions": 6,
            "transaction.state.log.replication.factor": 1,
            "transaction.state.log.min.isr": 1,
            "group.initial.rebalance.delay.ms": 0,
            "log.cleaner.dedupe.buffer.size": 8 << 20,  # the default would not fit a small heap
        }


def _java() -> str:
    home = os.environ.get("JAVA_HOME")
    found = shutil.which("java", path=os.path.join(home, "bin")) if home else shutil.which("java")
    if found is None:
        raise RuntimeError("--broker kafka needs Java 17 or newer: install it, or set JAVA_HOME")
    return found


def _jars() -> Path:
    home = os.environ.get("KAFKA_HOME", "")
    if not home:
        raise RuntimeError("--broker kafka needs KAFKA_HOME, the folder of an Apache Kafka release (4.0 or newer)")
    jars = Path(home).absolute() / "libs"
    if not any(jars.glob("kafka_2.13-*.jar")):
        raise RuntimeError(f"KAFKA_HOME={home}: there is no libs/kafka_2.13-*.jar in it")
    return jars


def _environment() -> dict[str, str]:
    return {name: value for name, value in os.environ.items() if name not in _FOREIGN_ENV}
