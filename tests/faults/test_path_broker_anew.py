"""An embedded broker that starts anew while old producers still try: nothing that it acknowledged may be hidden."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from aiokafka.errors import KafkaError

from runtide_workers.embedded.broker import Broker
from runtide_workers.embedded.topics import BrokenLog, begin_topics
from runtide_workers.topics import ensure_topics
from tests.fixtures.stack import free_port_base

TOPIC = "runtide.events"


@asynccontextmanager
async def producer_of(broker: Broker) -> AsyncIterator[AIOKafkaProducer]:
    producer = AIOKafkaProducer(bootstrap_servers=broker.bootstrap, acks="all", linger_ms=20)
    await producer.start()
    try:
        yield producer
    finally:
        await producer.stop()


async def log_of(broker: Broker) -> list[bytes]:
    consumer = AIOKafkaConsumer(bootstrap_servers=broker.bootstrap)
    await consumer.start()
    try:
        place = TopicPartition(TOPIC, 0)
        consumer.assign([place])
        consumer.seek(place, 0)
        found: list[bytes] = []
        while records := await consumer.getmany(place, timeout_ms=1000):
            found += [record.value for record in records[place]]
        return found
    finally:
        await consumer.stop()


async def send(producer: AIOKafkaProducer, *values: bytes) -> list[bytes]:
    """Send to partition 0 one after the other; returns what the broker acknowledged."""
    acknowledged = []
    for value in values:
        with suppress(KafkaError):  # refused
            await producer.send_and_wait(TOPIC, value, partition=0)
            acknowledged.append(value)
    return acknowledged


async def start_anew(broker: Broker, old: AIOKafkaProducer) -> None:
    """Kill the broker, start an empty one, and let an old producer get in before there are topics."""
    await send(old, b"before")
    fresh = asyncio.get_running_loop().create_future()
    fresh.set_result(True)
    old.client.force_metadata_update = lambda: fresh  # it has not asked again yet where the topic is
    broker.kill()
    broker.start()
    broker.wait_ready()
    strays = [await old.send(TOPIC, b"stray %d" % number, partition=0) for number in range(3)]  # one batch
    assert [(await stray).offset for stray in strays] == [0, 1, 2]


def test_topics_are_begun_without_what_old_producers_left(tmp_path: Path) -> None:
    async def scenario(broker: Broker) -> None:
        await asyncio.to_thread(begin_topics, broker.bootstrap)
        async with producer_of(broker) as old:
            await start_anew(broker, old)
            await asyncio.to_thread(begin_topics, broker.bootstrap)
            async with producer_of(broker) as new:
                values = [b"new %d" % number for number in range(20)]
                assert await send(new, *values) == values
            assert await log_of(broker) == values

    with Broker(free_port_base(), tmp_path / "broker.log") as broker:
        asyncio.run(scenario(broker))


def test_a_log_that_hides_messages_is_noticed(tmp_path: Path) -> None:
    """Topics that are merely created show what goes wrong, and that the broker's output gives it away."""

    async def scenario(broker: Broker) -> None:
        await asyncio.to_thread(begin_topics, broker.bootstrap)
        async with producer_of(broker) as old:
            await start_anew(broker, old)
            await asyncio.to_thread(ensure_topics, broker.bootstrap)
            watched = BrokenLog(tmp_path / "broker.log")
            async with producer_of(broker) as new:
                acknowledged = await send(new, *[b"new %d" % number for number in range(5)])
            assert set(acknowledged) - set(await log_of(broker)) != set()
            assert watched.seen()
            assert not watched.seen()

    with Broker(free_port_base(), tmp_path / "broker.log") as broker:
        asyncio.run(scenario(broker))
