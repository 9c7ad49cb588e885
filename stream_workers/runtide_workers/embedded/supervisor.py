"""Starts a stack's parts in order, keeps them alive, and ends them so that nothing is lost.

The broker is special: the embedded one forgets everything when it ends. Workers whose positions come from its former
life must never commit them into the new one, so whenever it goes the workers are killed *before* a new one starts. What
was not confirmed stored is sent again by the shippers, which notice the new cluster id. (Apache Kafka forgets nothing.)
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, Literal

from runtide.shipper.locks import FileLock
from runtide.shipper.spawn import ensure as ensure_shipper
from runtide_workers.embedded import logs, services, stackfile
from runtide_workers.embedded.children import Child
from runtide_workers.embedded.home import Home
from runtide_workers.embedded.interrupts import Interrupts, KillRequested
from runtide_workers.embedded.kafka import ApacheKafka
from runtide_workers.embedded.ports import Ports
from runtide_workers.embedded.probes import http_get_json

BROKER_BYTES_MAX = 2 << 30
READY_TIMEOUT_S = 90.0  # a loaded laptop; the first join of a consumer group alone takes about 5 s
START_ATTEMPTS = 3  # of one child while the stack comes up
DRAIN_TIMEOUT_S = 10.0
WORKER_STOP_S = 15.0
STOP_S = 8.0
SETTLE_S = (
    1.5  # shippers ask about once a second what is confirmed: let them see the last commits of a broker that goes
)
RECYCLE_PAUSE_S = 30.0  # between two, at least
TICK_S = 0.1
PROBE_PERIOD_S = 2.0
TRIM_PERIOD_S = 60.0
LOCK_PATIENCE_S = 0.5  # a probe holds the lock for microseconds


BrokerKind = Literal["embedded", "kafka"]


@dataclass(frozen=True, slots=True)
class Plan:
    """Which stack to run."""

    home: Home
    ports: Ports = field(default_factory=Ports)
    workers: int = 1
    dashboard: bool = True
    broker: BrokerKind = "embedded"
    broker_bytes_max: int = BROKER_BYTES_MAX


class AlreadyRunning(Exception):
    """Another supervisor holds this home."""


class StackError(Exception):
    """The stack cannot run; the message says why, `details` are the last lines of the log that knows more."""

    def __init__(self, message: str, details: Sequence[str] = ()) -> None:
        super().__init__(message)
        self.details = list(details)


class _StopRequested(Exception):
    """Asked to end while the stack was starting."""


class Supervisor:
    """One stack, from the first process to the last. Runs in the main thread of its process; use once."""

    def __init__(self, plan: Plan, tell: Callable[[str], None]) -> None:
        self._plan, self._home, self._tell = plan, plan.home, tell
        self._interrupts = Interrupts()
        self._state = "starting"
        self._began = time.time()
        self._next_look = self._next_trim = self._next_recycle = 0.0

    def run(self, on_ready: Callable[[dict[str, Any]], None]) -> None:
        """Start, call `on_ready` with the content of stack.json, watch until SIGINT or SIGTERM, stop.

        Raises AlreadyRunning, StackError, PortTakenError, OSError; nothing is left running then.
        """
        self._home.prepare()
        lock = FileLock(str(self._home.lock_file))
        if not lock.acquire(LOCK_PATIENCE_S):
            raise AlreadyRunning
        try:
            for name in stackfile.clean_up(self._home):
                self._say(f"ended a leftover {name} of a supervisor that was killed")
            self._plan.ports.require_free(self._plan.workers, self._plan.dashboard, self._plan.broker == "kafka")
            with self._interrupts:
                self._build()
                try:
                    self._start()
                    with suppress(OSError, ValueError):
                        on_ready(self._describe())
                    while not self._interrupts.count:
                        self._watch()
                        self._interrupts.pause(TICK_S)
                except (_StopRequested, KillRequested):
                    pass
                finally:
                    self._end()
        finally:
            stackfile.remove(self._home)
            lock.release()

    def _build(self) -> None:
        plan, home = self._plan, self._home
        try:
            kind = ApacheKafka if plan.broker == "kafka" else services.BrokerService
            self._broker: Child[Any] = Child(kind(home, plan.ports), self._say)
            self._clickhouse = Child(services.ClickHouseService(home, plan.ports), self._say)
            kafka, url = self._broker.service.bootstrap, self._clickhouse.service.url
            self._workers = [
                Child(services.worker(index, home, plan.ports, kafka, url("writer")), self._say)
                for index in range(plan.workers)
            ]
            self._dashboards = [
                Child(services.dashboard(home, plan.ports, kafka, url("reader"), url("responder")), self._say)
                for _ in range(int(plan.dashboard))
            ]
        except RuntimeError as error:
            raise StackError(str(error)) from error

    @property
    def _children(self) -> Iterator[Child[Any]]:
        yield self._broker
        yield self._clickhouse
        yield from self._workers
        yield from self._dashboards

    # ------------------------------------------------------------------ start

    def _start(self) -> None:
        began = time.monotonic()
        child: Child[Any]
        for child in (self._broker, self._clickhouse):  # neither needs the other
            self._launch(child)
        self._await(self._broker, began)
        self._step("topics", self._begin_topics, self._broker)  # soon: shippers may be waiting for the broker
        self._await(self._clickhouse, began)
        self._step("migrations", self._migrate, self._clickhouse)
        began = time.monotonic()
        served: list[Child[Any]] = [*self._workers, *self._dashboards]
        for child in served:
            self._launch(child)
        for child in served:
            self._await(child, began)
        self._state = "ready"
        self._write()
        self._adopt_journals()

    def _launch(self, child: Child[Any]) -> None:
        child.launch()
        self._write()

    def _await(self, child: Child[Any], began: float) -> None:
        """Wait until a child is ready. Raises StackError when it dies again and again, or takes too long."""
        service = child.service
        while service.pid is None or service.probe() != "ready":
            if self._interrupts.count:
                raise _StopRequested
            now = time.monotonic()
            if service.pid is None:
                again_at = child.restarts.died(now)
                if child.restarts.in_a_row >= START_ATTEMPTS:
                    raise self._failed(child, f"{logs.death(service.exit_code)} {START_ATTEMPTS} times")
                self._interrupts.pause(again_at - now)
                self._launch(child)
            elif now > began + READY_TIMEOUT_S:
                raise self._failed(child, f"was not ready after {READY_TIMEOUT_S:.0f} s")
            self._interrupts.pause(0.05)
        child.is_ready = True
        self._report(service.name, f"127.0.0.1:{service.port}", began)
        self._write()

    def _step(self, name: str, act: Callable[[], str], asked: Child[Any]) -> None:
        began = time.monotonic()
        try:
            outcome = act()
        except Exception as error:
            raise StackError(f"{name}: {error}; see {asked.service.log}") from error
        self._report(name, outcome, began)

    def _migrate(self) -> str:
        from runtide_storage.connect import connect
        from runtide_storage.migrate import migrate

        client = connect(self._clickhouse.service.url("writer"))
        try:
            applied = migrate(client)
        finally:
            client.close()
        return f"{len(applied)} applied" if applied else "up to date"

    def _begin_topics(self) -> str:
        created = self._broker.service.begin_topics()
        return f"{len(created)} created" if created else "all there"

    def _adopt_journals(self) -> None:
        """Ship what an earlier stack left unconfirmed, without waiting for somebody to train again."""
        with os.scandir(self._home.journal) as entries:
            if any(entry.is_dir() for entry in entries):
                kafka = self._broker.service.bootstrap
                env = services.environment(self._home, kafka, "")
                ensure_shipper(self._home.journal, kafka, env, at_once=True)

    def _failed(self, child: Child[Any], how: str) -> StackError:
        return StackError(f"{child.service.name} {how}; see {child.service.log}", logs.tail(child.service.log))

    # ------------------------------------------------------------------ watch

    def _watch(self) -> None:
        """One look at everything. Cheap: it runs ten times a second."""
        now = time.monotonic()
        if self._broker.service.is_broken():
            self._say("broker has mixed old messages with new ones: another one, and what it had is sent again")
            self._broker.service.kill()
        if self._broker.service.pid is None and self._broker.start_at is None:
            for worker in self._workers if self._broker.service.forgets else ():
                worker.hold()
            self._broker.bury()
            self._write()
        if self._broker.start_at is not None and now >= self._broker.start_at:
            self._renew_broker()
        children: list[Child[Any]] = [self._clickhouse, *self._dashboards]
        if self._broker.is_ready:  # without it a worker is not worth starting
            children += self._workers
        for child in children:
            if child.service.pid is None and child.start_at is None:
                child.bury()
                self._write()
            if child.start_at is not None and now >= child.start_at:
                self._launch(child)
        if now >= self._next_look:
            self._next_look = now + PROBE_PERIOD_S
            changed = [child for child in self._children if child.look()]  # all of them
            if changed:
                self._write()
            if self._broker.service.held_bytes() > self._plan.broker_bytes_max and now >= self._next_recycle:
                self._recycle_broker()
        if now >= self._next_trim:
            self._next_trim = now + TRIM_PERIOD_S
            for child in self._children:
                logs.trim(child.service.log)

    def _renew_broker(self) -> None:
        """Start the broker again, with its topics. Workers that it made die are started once it is ready."""
        began = time.monotonic()
        self._launch(self._broker)
        service = self._broker.service
        while service.pid is not None and service.probe() != "ready" and not self._interrupts.count:
            if time.monotonic() > began + READY_TIMEOUT_S:
                service.kill()
            self._interrupts.pause(0.05)
        if service.pid is None or self._interrupts.count:
            return
        try:
            self._begin_topics()
        except Exception as error:  # noqa: BLE001 - whatever it is: a broker without topics is of no use, take another
            self._say(f"topics: {error}")
            service.kill()
            return
        self._broker.is_ready = True
        self._report("broker", f"127.0.0.1:{service.port}" + ", empty" * service.forgets, began)
        self._write()

    def _recycle_broker(self) -> None:
        """Give its memory back: it never deletes what it holds. Drain first; what is not drained is sent again."""
        held = self._broker.service.held_bytes() >> 20
        self._say(f"broker holds {held} MiB: draining it, then starting an empty one")
        self._state = "recycling"
        self._write()
        self._drain()
        self._stop_workers()
        self._interrupts.pause(SETTLE_S)
        self._broker.service.stop(STOP_S)
        self._renew_broker()
        self._next_recycle = time.monotonic() + RECYCLE_PAUSE_S
        self._state = "ready"
        self._write()

    # ------------------------------------------------------------------ stop

    def _end(self) -> None:
        try:
            self._stop()
        except KillRequested:
            self._say("killing everything")
        finally:
            for child in reversed(list(self._children)):
                child.service.kill()

    def _stop(self) -> None:
        was_ready, self._state = self._state == "ready", "stopping"
        self._write()
        self._interrupts.pause(0)
        if was_ready:
            self._say("stopping: storing what is on its way (Ctrl-C again: kill)")
            self._drain()
        self._stop_workers()
        for child in reversed(list(self._children)):
            child.service.stop(STOP_S)
            self._interrupts.pause(0)
        if was_ready:
            self._say("stopped")

    def _drain(self) -> None:
        """Wait until the workers have stored everything that the broker holds, DRAIN_TIMEOUT_S at most."""
        deadline = time.monotonic() + DRAIN_TIMEOUT_S
        while any(child.is_ready for child in self._workers) and time.monotonic() < deadline:
            if not any(_lag(child.service) for child in self._workers):
                return
            self._interrupts.pause(0.2)

    def _stop_workers(self) -> None:
        for child in self._workers:
            child.service.ask_to_stop()
        deadline = time.monotonic() + WORKER_STOP_S
        while any(child.service.pid for child in self._workers) and time.monotonic() < deadline:
            self._interrupts.pause(0.05)
        for child in self._workers:
            child.hold()

    # ------------------------------------------------------------------ words

    def _say(self, text: str) -> None:
        logs.append(self._home.log("supervisor"), text)
        with suppress(OSError, ValueError):  # the terminal is gone, or a pipe closed: no reason to stop anything
            self._tell(text)

    def _report(self, name: str, outcome: str, began: float) -> None:
        self._say(f"{name:<12} {outcome:<28} {time.monotonic() - began:5.1f} s")

    def _write(self) -> None:
        try:
            stackfile.write(self._home, self._describe())
        except OSError as error:  # a full disk must not end what runs
            self._say(f"cannot write {self._home.stack_file}: {error.strerror}")

    def _describe(self) -> dict[str, Any]:
        """The content of stack.json."""
        url = self._clickhouse.service.url
        described: dict[str, Any] = {
            "version": 1,
            "state": self._state,
            "pid": os.getpid(),
            "started": self._began,
            "home": str(self._home.path),
            "port_base": self._plan.ports.base,
            "journal": str(self._home.journal),
            "logs": str(self._home.logs),
            "kafka": self._broker.service.bootstrap,
            "clickhouse": url("writer"),
            "clickhouse_reader": url("reader"),
            "clickhouse_analyst": url("analyst"),
        }
        if self._dashboards:
            described["dashboard"] = f"http://127.0.0.1:{self._plan.ports.dashboard}"
        described["services"] = {child.service.name: child.facts() for child in self._children}
        return described


def _lag(worker: services.Program) -> int:
    """Messages that this worker has still to store, by its own count; 0 when it can't tell."""
    _, said = http_get_json(worker.port, "/healthz")
    lag = said.get("lag") if isinstance(said, dict) else None
    return lag if isinstance(lag, int) else 0
