"""The stage of the fault campaign: all parts as processes, how each is harmed, and how one knows that all is well."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import signal
import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import psutil
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.errors import KafkaError
from clickhouse_connect.driver.exceptions import Error as DriverError

from benchmarks.fault_ledger import Exactness, Ledger
from benchmarks.fault_plan import Fault
from benchmarks.fault_producers import FAMILY_PROJECT, TAG, Producer, Producers
from runtide_storage.errors import StorageError
from tests.fixtures.apache_kafka import ApacheKafka
from tests.fixtures.stack import is_shipper_of
from tests.fixtures.waiting import wait_until
from tests.fixtures.webhook import Webhook
from tests.fixtures.workers import Services, WorkerProcess, running_services

RECOVERY_S_MAX = 900.0  # a machine that is busy with other things takes its time
TICK_S = 0.2
SNAPSHOTS = 6000  # of what was accepted when: 20 minutes

Snapshot = tuple[float, dict[int, tuple[Producer, int]]]  # when, and number -> process and accepted calls


@dataclass
class Stage:
    """Everything that runs. Whoever waits must do it with `pause`, which looks after the processes."""

    services: Services
    kafka: ApacheKafka
    producers: Producers
    webhook: Webhook
    env: dict[str, str]
    lag_s_max: float  # recovered: all that was accepted so long ago is stored
    ledger: Ledger = field(init=False)
    workers: list[WorkerProcess] = field(default_factory=list)
    worker_exits: int = 0  # of workers that gave up by themselves, as after a long outage they may
    snapshots: deque[Snapshot] = field(default_factory=lambda: deque(maxlen=SNAPSHOTS))

    def __post_init__(self) -> None:
        self.ledger = Ledger(self.services.query)
        self._numbers = itertools.count()

    # What runs.

    def add_worker(self) -> None:
        self.workers.append(self.services.worker(number=next(self._numbers), env=self.env))

    def remove_worker(self, pick: float) -> None:
        """End one in order (SIGTERM)."""
        gone = self.workers.pop(int(pick * len(self.workers)))
        gone.process.terminate()

    def tend(self) -> None:
        """What a supervisor does: whoever ended is started anew."""
        self.producers.tend()
        for worker in [worker for worker in self.workers if worker.process.poll() is not None]:
            self.workers.remove(worker)
            self.worker_exits += 1
            self.add_worker()

    def pause(self, seconds: float) -> None:
        until = time.monotonic() + seconds
        while (left := until - time.monotonic()) > 0:
            self.tend()
            self.snapshots.append(
                (time.monotonic(), {each.number: (each, each.accepted()) for each in self.producers.alive})
            )
            time.sleep(min(left, TICK_S))

    def shippers(self) -> list[psutil.Process]:
        journals = self.producers.home / "journal"
        return [process for process in psutil.process_iter() if is_shipper_of(process, journals)]

    # What is done to it.

    def harm(self, fault: Fault) -> float:
        """Do it, and return once it is over: killed, or awake again; when that was. Who was killed is started again."""
        pids = self._pids(fault)
        if fault.kind == "SIGSTOP":
            for pid in pids:
                _send(pid, signal.SIGSTOP)
            try:
                self.pause(fault.stopped_s)
            finally:
                for pid in pids:
                    _send(pid, signal.SIGCONT)
            return time.monotonic()
        over = time.monotonic()
        if fault.part == "trainer":
            self.producers.kill(fault.pick)
        elif fault.part == "worker":
            worker = self.workers.pop(int(fault.pick * len(self.workers)))
            worker.process.kill()
            worker.process.wait()
            self.add_worker()
        elif fault.part == "clickhouse":
            self.services.clickhouse.kill()
            self.services.clickhouse.start()
        elif fault.part == "shipper":
            for pid in pids:
                _send(pid, signal.SIGKILL)  # a trainer starts the next one
        else:
            node = self.kafka.nodes[int(fault.part[-1]) - 1]
            node.kill()
            node.start()
        return over

    def _pids(self, fault: Fault) -> list[int]:
        match fault.part:
            case "trainer":
                return [self.producers.one(fault.pick).process.pid]
            case "worker":
                return [self.workers[int(fault.pick * len(self.workers))].process.pid]
            case "clickhouse":
                return [self.services.clickhouse.pid or 0]
            case "shipper":
                wait_until(lambda: self.shippers() != [], 30, or_else="there is no shipper")
                return [process.pid for process in self.shippers()]
            case _:
                return [self.kafka.nodes[int(fault.part[-1]) - 1].pid or 0]

    # How one knows.

    def lag_s(self) -> tuple[float, Snapshot | None]:
        """How long ago that was accepted of which all is stored, and the snapshot of then; inf if nobody can say."""
        if not self.snapshots:
            return float("inf"), None
        try:
            arrived = self.ledger.arrived({each for _, calls in self.snapshots for each, _ in calls.values()})
        except (DriverError, StorageError, OSError):
            return float("inf"), None
        for at, calls in reversed(self.snapshots):
            if all(arrived.get(number, 0) >= accepted for number, (_, accepted) in calls.items()):
                while self.snapshots[0][0] < at:
                    self.snapshots.popleft()
                return time.monotonic() - at, (at, calls)
        return float("inf"), None

    def recovered(self, since: float, timeout_s: float = RECOVERY_S_MAX) -> tuple[float, Snapshot]:
        """Wait until the lag is small and something accepted after `since` is stored of all; the seconds since then."""
        deadline = time.monotonic() + timeout_s
        while True:
            self.pause(TICK_S)
            lag, snapshot = self.lag_s()
            if snapshot is not None and lag <= self.lag_s_max and snapshot[0] >= since:
                return time.monotonic() - since, snapshot
            if time.monotonic() > deadline:
                raise AssertionError(f"not recovered after {timeout_s:g} s: the lag is {lag:.1f} s\n{self.state()}")

    def whole(self, timeout_s: float = RECOVERY_S_MAX) -> None:
        """Wait until nothing is left of a fault: all replicas in sync, all workers healthy, a shipper there."""

        def is_whole() -> bool:
            self.pause(TICK_S)
            return (
                all(worker.health()["healthy"] for worker in self.workers)
                and bool(self.shippers())
                and asyncio.run(self._in_sync())
            )

        wait_until(is_whole, timeout_s, or_else=self.state, period_s=0)

    async def _in_sync(self) -> bool:
        admin = AIOKafkaAdminClient(bootstrap_servers=self.kafka.bootstrap, request_timeout_ms=5000)
        try:
            await admin.start()
            topics = await admin.describe_topics()
            return all(
                len(partition["isr"]) == len(self.kafka.nodes) for topic in topics for partition in topic["partitions"]
            )
        except (KafkaError, OSError, TimeoutError):
            return False
        finally:
            with contextlib.suppress(Exception):
                await admin.close()

    def exact(self, check: Callable[[], Exactness], timeout_s: float = 60.0) -> Exactness:
        """What `check` finds, once nothing is missing any more, or after `timeout_s`."""
        deadline = time.monotonic() + timeout_s
        while (found := check()).lost and time.monotonic() < deadline:
            self.pause(1.0)
        return found

    def state(self) -> str:
        workers = [(worker.process.poll(), worker.health().get("fault")) for worker in self.workers]
        nodes = [node.pid for node in self.kafka.nodes]
        return f"workers {workers}, brokers {nodes}, ClickHouse {self.services.clickhouse.pid}, {self.shippers()}"


def _send(pid: int, number: signal.Signals) -> None:
    with contextlib.suppress(ProcessLookupError):
        psutil.Process(pid).send_signal(number)


@contextmanager
def stage(home: Path, *, slots: int, families: int, calls_per_s: float, seed: int, lag_s_max: float) -> Iterator[Stage]:
    """Three brokers, ClickHouse, two workers, and the baselines of the families trained; all killed at the end."""
    (home / "end").unlink(missing_ok=True)
    kafka = ApacheKafka(home / "kafka", 3)
    with Webhook() as webhook, running_services(home, kafka) as services:
        config = home / "alerts.toml"
        config.write_text(
            f'[[notify]]\nurl = "{webhook.url}"\nseverity = "page"\n\n'
            f'[[project]]\nname = "{FAMILY_PROJECT}"\ncooldown_s = 0\n'  # each run stands for itself
        )
        producers = Producers(home, kafka.bootstrap, slots, families, calls_per_s, seed)
        env = {"RUNTIDE_ALERTS": str(config), "RUNTIDE_HOME": str(home)}
        made = Stage(services, kafka, producers, webhook, env, lag_s_max)
        try:
            made.add_worker()
            made.add_worker()
            for worker in made.workers:
                worker.wait_healthy(RECOVERY_S_MAX)
            _train_baselines(made)
            yield made
        finally:
            producers.destroy()
            for process in made.shippers():
                with contextlib.suppress(psutil.NoSuchProcess):
                    process.kill()
            if services.clickhouse.pid is not None:
                _send(services.clickhouse.pid, signal.SIGCONT)


def _train_baselines(made: Stage) -> None:
    runs = made.producers.baselines()
    for each in runs:
        each.process.wait(RECOVERY_S_MAX)
    asked = {"runs": [each.run for each in runs]}
    finished = "SELECT count() FROM runs FINAL WHERE run IN {runs:Array(UInt64)} AND state = 'finished'"
    wait_until(
        lambda: made.services.count(finished, **asked) == len(runs),
        RECOVERY_S_MAX,
        or_else="the baselines are not stored",
    )
    mark = {"project": FAMILY_PROJECT, "group": "", "kind": "tag", "value": TAG, "who": "", "reason": "", "active": 1}
    at = time.time_ns() // 1_000_000
    row = mark | {"at": at}
    made.services.driver.insert("baseline_marks", [list(row.values())], column_names=list(row))
    made.producers.tend()
