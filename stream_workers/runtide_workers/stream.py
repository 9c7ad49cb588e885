"""Faust, set up so that nothing is lost, and the one agent that feeds the sink.

Each choice here answers a defect that was reproduced (docs/decisions): by default Faust acknowledges what a failing
agent held, and commits past messages that were not acknowledged in order. What is safe: one agent, concurrency 1,
`noack_take`, acknowledgements in order and only after the batch is stored, nothing taken that does not follow what came
before, and no recovery inside the process: it ends, and is restarted.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable
from typing import Any

import faust
import mode
from aiokafka.partitioner import murmur2

from runtide.events import EVENTS_TOPIC, project_topic
from runtide_workers.delivery import Closing, Delivery, ReadAhead, by_size
from runtide_workers.envelope import Message
from runtide_workers.fetching import fetch_soon
from runtide_workers.health import Meter, Partition
from runtide_workers.settings import WorkerSettings
from runtide_workers.unbroken import Unbroken, first_from

log = logging.getLogger(__name__)

APP_ID = "runtide-sink"  # the consumer group, whose committed offsets tell shippers what is stored
CONSUMER_FETCH_BYTES = 9 << 20  # at least the largest message


class _App(faust.App):
    def _create_directories(self) -> None:
        """None: they are for Tables, and a killed worker would leave them behind."""


def build(
    settings: WorkerSettings,
    delivery: Delivery,
    meter: Meter,
    *,
    on_assigned: Callable[[], None],
    on_failed: Callable[[BaseException], None],
) -> faust.App:
    """The app, not started. `on_failed` is told of what the worker can't go on after; nothing is acknowledged then."""
    app = _App(
        APP_ID,
        broker=[f"kafka://{server.strip()}" for server in settings.kafka.split(",")],
        broker_credentials=_credentials(settings.kafka_options),
        value_serializer="raw",
        key_serializer="raw",
        agent_supervisor=mode.CrashingSupervisor,
        stream_wait_empty=False,
        stream_buffer_maxsize=settings.buffer_messages,
        broker_max_poll_records=settings.poll_messages,
        broker_commit_interval=1.0,
        broker_commit_every=1000,
        broker_session_timeout=settings.session_timeout_s,
        broker_heartbeat_interval=settings.heartbeat_s,
        broker_rebalance_timeout=30.0,
        broker_request_timeout=max(30.0, settings.session_timeout_s),
        broker_max_poll_interval=600.0,
        consumer_max_fetch_size=CONSUMER_FETCH_BYTES,
        consumer_auto_offset_reset="earliest",
        producer_request_timeout=30.0,
        topic_allow_declare=False,
        topic_disable_leader=True,
        table_standby_replicas=0,
        web_enabled=False,
        worker_redirect_stdouts=False,
    )
    fetch_soon(app)
    names = {EVENTS_TOPIC, *map(project_topic, settings.isolated)}
    topic = app.topic(*sorted(names), value_type=bytes, value_serializer="raw", key_type=bytes, key_serializer="raw")

    async def sink(stream: Any) -> None:
        """Reads on while a batch is stored. It does not return until the app is stopped, whatever happens: that would
        let Faust acknowledge and go on."""
        ahead: ReadAhead[Any] = ReadAhead()
        storing = asyncio.create_task(guarded(store(stream, ahead)))
        try:
            await guarded(read(stream, ahead))
            await asyncio.Event().wait()
        finally:
            storing.cancel()

    async def read(stream: Any, ahead: ReadAhead[Any]) -> None:
        unbroken = Unbroken(lambda place: _committed(app, place), between)
        async for events in stream.noack_take(settings.take_messages, within=settings.take_within_s):
            try:
                for event in events:
                    await unbroken.check((event.message.topic, event.message.partition), event.message.offset)
            except Exception as error:  # noqa: BLE001 - as above
                on_failed(error)
                await asyncio.Event().wait()  # in the loop: once it is left, Faust acknowledges what it still holds
            await ahead.put(events, sum(len(event.message.value or b"") for event in events))

    async def between(place: Partition, offset: int) -> int:
        return await first_from(settings.kafka, settings.kafka_options, place, offset, settings.session_timeout_s)

    async def store(stream: Any, ahead: ReadAhead[Any]) -> None:
        while True:
            events = await ahead.take()
            began = time.monotonic()
            done = 0
            for batch in by_size([_message(event.message) for event in events]):
                await delivery.store(batch)
                for event in events[done : done + len(batch)]:
                    await stream.ack(event)
                done += len(batch)
                await app.consumer.commit()  # at once: `Run.finish` may be waiting for it
            await asyncio.sleep(began + settings.batch_period_s - time.monotonic())

    async def guarded(work: Awaitable[None]) -> None:
        try:
            await work
        except Closing:
            pass
        except asyncio.CancelledError:
            raise
        except BaseException as error:  # noqa: BLE001 - whatever it is, it must not reach Faust
            on_failed(error)

    app.agent(topic, name="sink", concurrency=1)(sink)

    async def assigned(*arguments: Any, **_: Any) -> None:
        places: set[Any] = arguments[-1]
        meter.own({(place.topic, place.partition) for place in places if place.topic in names})
        log.info("partitions: %s", ", ".join(map(str, sorted({number for _, number in meter.assigned}))) or "none")
        on_assigned()

    async def revoked(*_: Any, **__: Any) -> None:
        on_assigned()

    app.on_partitions_assigned.connect(assigned, weak=False)
    app.on_partitions_revoked.connect(revoked, weak=False)
    meter.highwater = lambda place: _highwater(app, place)
    return app


async def learn_positions(app: faust.App, meter: Meter) -> None:
    """Where partitions stand of which nothing was stored yet, so that an idle one counts as up to date."""
    for place in meter.assigned - meter.next_offset.keys():
        position = await asyncio.wait_for(app.consumer.position(faust.types.TP(*place)), 5.0)
        if position is not None and place in meter.assigned:
            meter.next_offset.setdefault(place, position)


def owner(app: faust.App, meter: Meter) -> Callable[[str], bool]:
    """Whether a run's events come to this worker now: producers choose the partition by the run id (docs/events.md).

    All topics of events have as many partitions, and Faust gives those of the same number to the same worker.
    """
    total = 0

    def owns(run_id: str) -> bool:
        nonlocal total
        total = _partitions(app) or total  # a broker that has just started may not know the topic for a moment
        if not total:  # not known (yet): two workers that follow a run say the same of it, under the same id
            return True
        return (EVENTS_TOPIC, (murmur2(run_id.encode()) & 0x7FFFFFFF) % total) in meter.assigned

    return owns


def _partitions(app: faust.App) -> int:
    """Of `EVENTS_TOPIC`, as Kafka told the consumer. In Faust's `topic_partitions` only the group's leader has it."""
    consumer: Any = app.consumer
    try:
        return len(consumer._thread._ensure_consumer().partitions_for_topic(EVENTS_TOPIC) or ())
    except Exception:  # noqa: BLE001 - the consumer is not started
        return 0


def _committed(app: faust.App, place: Partition) -> int | None:
    """As Faust has it since it was given the partition: from there it reads on."""
    consumer: Any = app.consumer
    committed: int | None = consumer._committed_offset.get(faust.types.TP(*place))
    return committed


def _highwater(app: faust.App, place: Partition) -> int | None:
    """From the fetch responses: the only end of a partition that every broker tells right."""
    try:
        end: int | None = app.consumer.highwater(faust.types.TP(*place))
    except Exception:  # noqa: BLE001 - the partition was just taken away, or the consumer is not started
        return None
    return end


def _message(message: Any) -> Message:
    headers = message.headers or ()
    pairs = headers.items() if isinstance(headers, dict) else headers
    return Message(
        topic=message.topic,
        partition=message.partition,
        offset=message.offset,
        timestamp_ms=int(message.timestamp * 1000),
        key=message.key,
        value=message.value,
        headers=[(name, value) for name, value in pairs],
    )


def _credentials(options: Any) -> Any:
    """aiokafka's options as Faust wants them."""
    protocol = options.get("security_protocol", "PLAINTEXT")
    if protocol == "SSL":
        return faust.SSLCredentials(context=options["ssl_context"])
    if protocol.startswith("SASL_"):
        return faust.SASLCredentials(
            username=options["sasl_plain_username"],
            password=options["sasl_plain_password"],
            mechanism=options["sasl_mechanism"],
            ssl_context=options.get("ssl_context"),
        )
    return None
