"""The stream worker's process: `python -m runtide_workers.app` (or `runtide worker`).

Waits for its services, stores until it is told to end (SIGTERM, SIGINT), finishes the batch in hand, and exits with 0.
Exits with 1 when it can't go on, so that a supervisor starts it anew, and with 2 on wrong settings.
"""

from __future__ import annotations

import asyncio
import gc
import logging
import os
import signal
import socket
import sys
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from typing import Any, NoReturn

import faust
import uvloop
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.errors import KafkaError
from clickhouse_connect.driver.client import Client as Driver

from runtide.errors import SettingsError
from runtide.kafka_trouble import explain
from runtide_storage.connect import connect
from runtide_storage.errors import StorageError, Unreachable
from runtide_storage.users import AHEAD
from runtide_storage.writer import Writer
from runtide_workers import health, stream
from runtide_workers.alerting.service import Alerting, reader
from runtide_workers.delivery import Delivery
from runtide_workers.health import Meter
from runtide_workers.housekeeping import Housekeeping
from runtide_workers.liveness import Liveness
from runtide_workers.outlet import Outlet
from runtide_workers.repetition import Repetition
from runtide_workers.rollup import Rollup
from runtide_workers.settings import WorkerSettings, load
from runtide_workers.sink import Sink, Stored, TooManyBad
from runtide_workers.topics import TopicError, ensure_topics_async
from runtide_workers.unbroken import PassedOver

log = logging.getLogger("runtide.worker")

RETRY_S = 0.5
STILL_WAITING_S = 10.0  # between two lines of the log about a service that is not there
INCARNATION_S = 5.0
STOP_S = 5.0  # for Faust
LAST_ROLLUP_S = 5.0


class OtherBroker(Exception):
    """The broker forgot everything and started again: positions in the old log mean nothing in the new one."""


class Worker:
    """One worker from start to end. `open_storage` gives a new connection each time; tests put a dying one there."""

    def __init__(self, settings: WorkerSettings, open_storage: Callable[[], Writer] | None = None) -> None:
        self.settings = settings
        self.meter = Meter()
        self._open_storage = open_storage or (lambda: Writer(self._connect()))
        self._ending = asyncio.Event()
        self._failure: BaseException | None = None

    def end(self) -> None:
        """Finish what is in hand and return from `run`. To be called on the event loop."""
        self._ending.set()

    def fail(self, error: BaseException) -> None:
        self._failure = self._failure or error
        self._ending.set()

    async def run(self) -> int:
        """The exit code: 0 after `end`, 1 after a failure that the log names."""
        try:
            server = await health.serve(self.meter, self.settings.host, self.settings.port)
        except OSError as error:
            log.error(
                "port %d on %s is taken (%s): choose another --port", self.settings.port, self.settings.host, error
            )
            return 2
        try:
            await self._run()
        except (TopicError, StorageError) as error:
            self._failure = error
        finally:
            await server.cleanup()
        if self._failure is not None:
            told = isinstance(self._failure, (TooManyBad, OtherBroker, PassedOver, TopicError, StorageError))
            log.critical("stopped: %s", self._failure, exc_info=None if told else self._failure)
            return 1
        log.info("ended; %d points stored", self.meter.points)
        return 0

    async def _run(self) -> None:
        settings, meter = self.settings, self.meter
        storage = await self._until_there("ClickHouse", self._storage)
        background = await self._until_there("ClickHouse", self._storage)
        await self._until_there("Kafka", self._topics)
        broker = await self._until_there("Kafka", self._cluster_id)
        driver = await self._until_there("ClickHouse", lambda: asyncio.to_thread(self._connect))
        if storage is None or background is None or broker is None or driver is None:
            return  # told to end while waiting
        outlet = Outlet(settings.kafka, settings.kafka_options)
        await outlet.start()
        sink = Sink(storage, outlet.publish, broker, isolated=settings.isolated)
        rollup = Rollup(background, sink.storing)
        alerting = await self._until_there("ClickHouse", lambda: asyncio.to_thread(self._make_alerting, outlet))
        if alerting is None:
            await outlet.stop()
            return
        meter.more_figures = alerting.figures

        def stored(batch: Stored) -> None:
            rollup.note(batch)
            alerting.note(batch)

        delivery = Delivery(sink, meter, stored)
        liveness = Liveness(background, reader(driver), outlet.publish, meter, f"{socket.gethostname()}/{settings.id}")

        def assigned() -> None:
            sink.forget()
            rollup.repair_later()
            alerting.own(stream.owner(app, meter))

        app = stream.build(settings, delivery, meter, on_assigned=assigned, on_failed=self.fail)
        tasks: list[asyncio.Task[None]] = []
        try:
            await self._until_there("ClickHouse", rollup.repair)
            alerting.start()
            await app.start()
            log.info("worker %s stores from %s (%s)", settings.id, settings.kafka, broker)
            for work in (
                rollup.run(),
                liveness.run(settings.beat_s),
                Housekeeping(driver, on_deleted=sink.forget).run(),
                self._positions(app),
                self._watch_broker(broker),
                self._watch(app),
            ):
                tasks.append(asyncio.create_task(work))
                tasks[-1].add_done_callback(self._task_ended)
            await self._ending.wait()
            await self._drain(app, delivery)
        except (Unreachable, KafkaError) as error:
            self.fail(error)
        finally:
            for task in tasks:
                task.cancel()
            await self._bounded("background work to end", STOP_S, asyncio.gather(*tasks, return_exceptions=True))
            await self._bounded("Faust to stop", STOP_S, app.stop())
            await self._bounded("alerts in hand", STOP_S, asyncio.to_thread(alerting.stop, STOP_S))
            await self._bounded("the last rollup", LAST_ROLLUP_S, rollup.flush())
            await self._bounded("the last beat", STOP_S, asyncio.to_thread(liveness.beat))
            await self._bounded("Kafka to take the last messages", STOP_S, outlet.stop())

    async def _drain(self, app: faust.App, delivery: Delivery) -> None:
        log.info("ending: the batch in hand first")
        if not await delivery.close(self.settings.drain_s):
            log.warning(
                "the batch in hand was not stored in %.0f s; the next worker will store it", self.settings.drain_s
            )
        if not app.should_stop:
            await self._bounded("the commit", STOP_S, app.consumer.commit())

    async def _bounded(self, what: str, seconds: float, work: Awaitable[Any]) -> None:
        """Nothing at the end may hang or hide what came before, not even work that swallows its cancellation."""
        task = asyncio.ensure_future(work)
        done, _ = await asyncio.wait({task}, timeout=seconds)
        if not done:
            task.add_done_callback(lambda late: late.cancelled() or late.exception())  # however it ends, nobody asks
            task.cancel()
            log.warning("did not wait for %s: not done in %.0f s", what, seconds)
        elif not task.cancelled() and (error := task.exception()) is not None:
            log.warning("did not wait for %s: %r", what, error)

    async def _until_there(self, name: str, attempt: Callable[[], Awaitable[Any]]) -> Any:
        """Try until it works; None when told to end meanwhile."""
        loop = asyncio.get_running_loop()
        told_s = -STILL_WAITING_S
        while not self._ending.is_set():
            try:
                return await attempt()
            except (Unreachable, KafkaError, OSError, TimeoutError) as failure:
                error = failure if isinstance(failure, Unreachable) else await explain(failure, self._connection)
                self.meter.outage = f"waiting for {name}: {error}"
                if loop.time() - told_s >= STILL_WAITING_S:
                    told_s = loop.time()
                    log.warning("waiting for %s: %s", name, error)
            with suppress(TimeoutError):
                await asyncio.wait_for(self._ending.wait(), RETRY_S)
        return None

    def _make_alerting(self, outlet: Outlet) -> Alerting:
        settings = self.settings
        return Alerting(
            self._connect, outlet.publish, settings.alerts, settings.dashboard,
            detect=settings.detect,
        )  # fmt: skip

    @property
    def _connection(self) -> dict[str, Any]:
        return {"bootstrap_servers": self.settings.kafka, **self.settings.kafka_options}

    def _connect(self) -> Driver:
        return connect(self.settings.clickhouse, settings=AHEAD)

    async def _storage(self) -> Writer:
        writer = await asyncio.to_thread(self._open_storage)
        self.meter.outage = None
        return writer

    async def _topics(self) -> bool:
        created = await ensure_topics_async(
            self.settings.kafka, options=self.settings.kafka_options, isolated=self.settings.isolated
        )
        if created:
            log.info("created topics %s", ", ".join(created))
        admin = AIOKafkaAdminClient(**self._connection)
        try:
            await admin.start()
            await admin.find_coordinator(stream.APP_ID)  # without the right to the group, Faust would wait in silence
        finally:
            await admin.close()
        return True

    async def _cluster_id(self) -> str:
        admin = AIOKafkaAdminClient(**self._connection)
        try:
            await admin.start()
            self.meter.outage = None
            return str((await admin.describe_cluster())["cluster_id"] or "")
        finally:
            await admin.close()

    async def _positions(self, app: faust.App) -> None:
        while True:
            await asyncio.sleep(1.0)
            with suppress(TimeoutError, KafkaError):
                await stream.learn_positions(app, self.meter)

    async def _watch_broker(self, broker: str) -> None:
        while True:
            await asyncio.sleep(INCARNATION_S)
            try:
                now = await asyncio.wait_for(self._cluster_id(), INCARNATION_S)
            except (KafkaError, OSError, TimeoutError):
                continue
            if now != broker:
                raise OtherBroker(f"Kafka at {self.settings.kafka} is another cluster now: {now}, it was {broker}")

    async def _watch(self, app: faust.App) -> None:
        """Faust may crash on its own account."""
        while not app.should_stop:  # noqa: ASYNC110 - Faust offers no event for both ways of stopping
            await asyncio.sleep(0.2)
        raise RuntimeError("Faust stopped") from app.crash_reason

    def _task_ended(self, task: asyncio.Task[None]) -> None:
        if not task.cancelled():
            self.fail(task.exception() or RuntimeError(f"{task.get_name()} ended"))


async def _until_signalled(worker: Worker) -> NoReturn:
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, worker.end)
    code = await worker.run()
    logging.shutdown()
    os._exit(code)  # a thread that still waits for an answer of storage must not hold the process up


def run(worker: Worker) -> NoReturn:
    """Run until a signal ends it or it fails, and end the process."""
    gc.set_threshold(50_000, 20, 100)  # a message decodes to thousands of objects without a cycle among them
    logging.basicConfig(stream=sys.stderr, level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    for noisy in ("faust", "mode", "aiokafka", "runtide_workers.fetching"):
        logging.getLogger(noisy).setLevel(logging.WARNING)
    for handler in logging.getLogger().handlers:
        handler.addFilter(Repetition("aiokafka"))  # brokers that are down made it write 200 lines a second
    uvloop.run(_until_signalled(worker))
    raise AssertionError("not reached")


def main(arguments: Sequence[str] | None = None) -> int:
    """The command: 2 if the settings can't be used, else it ends the process itself."""
    try:
        worker = Worker(load(arguments))
    except (SettingsError, StorageError) as error:
        print(f"runtide worker: {error}", file=sys.stderr)
        return 2
    run(worker)


if __name__ == "__main__":
    sys.exit(main())
