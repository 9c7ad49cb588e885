"""The link to Kafka: producing messages, and asking what the sink has committed."""

from __future__ import annotations

import asyncio
import contextlib
import os
import random
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from aiokafka import AIOKafkaProducer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.errors import KafkaConnectionError, KafkaError, MessageSizeTooLargeError
from aiokafka.structs import RecordMetadata

from runtide.events import EVENTS_TOPIC, MESSAGE_BYTES_MAX, REPORT_HEADER, VERSION
from runtide.shipper.tail import Message

SINK_GROUP = "runtide-sink"
LINGER_MS = 10  # the poll interval does the batching; this joins what one poll sends
BATCH_BYTES = 900_000  # per partition; Apache Kafka takes 1 MiB unless told otherwise
REQUEST_TIMEOUT_S = 10.0
QUESTION_TIMEOUT_S = 5.0  # for small requests; a broker that hangs longer is as good as gone
NEW_BROKER_S = 0.5  # a broker that nothing was stored from yet is looked at twice, so far apart
BACKOFF_S = (0.25, 5.0)  # first and longest pause between attempts to connect, before jitter


class LinkDown(Exception):
    """Kafka can't be used right now; the message says why."""


@dataclass(frozen=True, slots=True)
class Committed:
    """The sink's committed offsets by partition, as one incarnation of the broker (`cluster_id`) has them."""

    cluster_id: str
    offsets: Mapping[int, int]


class Link:
    """A connection that is made, used until something fails, and made anew."""

    def __init__(self, kafka: str, environ: Mapping[str, str] | None = None) -> None:
        self.kafka = kafka
        self.cluster_id = ""  # as last seen; "" before the first connection
        self.batch_bytes = BATCH_BYTES
        self._environ = environ
        self._idempotent = True
        self._producer: AIOKafkaProducer | None = None
        self._admin: AIOKafkaAdminClient | None = None
        self._partitions: list[TopicPartition] = []
        self._closing: set[asyncio.Task[None]] = set()

    async def connect(self) -> None:
        """One attempt. Raises LinkDown."""
        self.disconnect()
        try:
            options = self._options()
            async with asyncio.timeout(2 * REQUEST_TIMEOUT_S):
                self._admin = AIOKafkaAdminClient(request_timeout_ms=int(QUESTION_TIMEOUT_S * 1000), **options)
                await self._admin.start()
                self.cluster_id = await self._ask_cluster_id(self._admin)
                await self._find_topic(self._admin)
                if not await self._is_in_use(self._admin):
                    # An embedded broker that has just started makes its topics twice (runtide_workers.embedded.topics):
                    # what is sent in between would be gone.
                    await asyncio.sleep(NEW_BROKER_S)
                    if await self._ask_cluster_id(self._admin) != self.cluster_id:
                        raise LinkDown("it started anew")
                    await self._find_topic(self._admin)
                self._producer = await self._start_producer(options)
        except LinkDown:
            self.disconnect()
            raise
        except asyncio.CancelledError:
            self.disconnect()
            raise
        except Exception as error:
            self.disconnect()
            raise LinkDown(_reason(error)) from error

    def disconnect(self) -> None:
        """Let go of the connection at once; what it still holds is given up in the background."""
        producer, admin = self._producer, self._admin
        self._producer = self._admin = None
        for closing in (_abandon(producer) if producer else None, admin.close() if admin else None):
            if closing is not None:
                task = asyncio.ensure_future(_quietly(closing))
                self._closing.add(task)
                task.add_done_callback(self._closing.discard)

    async def close(self, timeout_s: float) -> None:
        """Disconnect and wait, bounded, until the sockets are closed."""
        self.disconnect()
        if self._closing:
            await asyncio.wait(set(self._closing), timeout=timeout_s)
        for task in set(self._closing):
            task.cancel()

    async def send(
        self, run: str, writer: str, message: Message, report: bytes | None = None
    ) -> asyncio.Future[RecordMetadata]:
        """Hand one message over; the future is done when all replicas have it. Waits while the buffer is full.

        `report`: what the shipper says of itself, to go along.

        Raises LinkDown, or MessageSizeTooLargeError.
        """
        if self._producer is None:
            raise LinkDown("not connected")
        headers = [
            ("runtide-v", b"%d" % VERSION),
            ("run", run.encode()),
            ("writer", writer.encode()),
            ("first", b"%d" % message.first),
            ("count", b"%d" % message.count),
        ]
        if report is not None:
            headers.append((REPORT_HEADER, report))
        try:
            sending = self._producer.send(EVENTS_TOPIC, message.value, key=run.encode(), headers=headers)
            future: asyncio.Future[RecordMetadata] = await sending
            return future
        except MessageSizeTooLargeError:
            raise
        except KafkaError as error:
            raise LinkDown(_reason(error)) from error

    async def committed(self) -> Committed:
        """What the sink has committed. The broker's identity is the same before and after. Raises LinkDown."""
        admin = self._admin
        if admin is None:
            raise LinkDown("not connected")
        try:
            async with asyncio.timeout(QUESTION_TIMEOUT_S):
                while True:
                    before = await self._ask_cluster_id(admin)
                    found = await admin.list_consumer_group_offsets(SINK_GROUP, partitions=self._partitions)
                    if await self._ask_cluster_id(admin) == before:
                        return Committed(before, {tp.partition: each.offset for tp, each in found.items()})
        except (KafkaError, OSError, TimeoutError) as error:
            raise LinkDown(_reason(error)) from error

    async def _find_topic(self, admin: AIOKafkaAdminClient) -> None:
        # All topics are listed, because asking for one by its name would make some brokers create it.
        if EVENTS_TOPIC not in await admin.list_topics():
            raise LinkDown(f"no topic {EVENTS_TOPIC} yet: start a worker or run `runtide migrate`")
        described = (await admin.describe_topics([EVENTS_TOPIC]))[0]["partitions"]
        self._partitions = [TopicPartition(EVENTS_TOPIC, each["partition"]) for each in described]

    async def _is_in_use(self, admin: AIOKafkaAdminClient) -> bool:
        """Has the sink stored anything from this broker yet?"""
        found = await admin.list_consumer_group_offsets(SINK_GROUP, partitions=self._partitions)
        return any(each.offset >= 0 for each in found.values())

    async def _ask_cluster_id(self, admin: AIOKafkaAdminClient) -> str:
        return str((await admin.describe_cluster())["cluster_id"] or "")

    async def _start_producer(self, options: dict[str, Any]) -> AIOKafkaProducer:
        while True:
            producer = AIOKafkaProducer(
                acks="all",
                enable_idempotence=self._idempotent,
                linger_ms=LINGER_MS,
                compression_type=_compression(),
                max_batch_size=self.batch_bytes,
                max_request_size=MESSAGE_BYTES_MAX,
                request_timeout_ms=int(REQUEST_TIMEOUT_S * 1000),
                retry_backoff_ms=100,
                metadata_max_age_ms=60_000,
                **options,
            )
            try:
                await producer.start()
            except KafkaError as error:
                await _quietly(producer.stop())
                if not self._idempotent or isinstance(error, KafkaConnectionError):
                    raise
                self._idempotent = False  # Tansu: identities make up for it
            except BaseException:
                await _quietly(producer.stop())
                raise
            else:
                return producer

    def _options(self) -> dict[str, Any]:
        from runtide.settings import kafka_client_options

        options = dict(kafka_client_options(os.environ if self._environ is None else self._environ))
        return {"bootstrap_servers": self.kafka, "client_id": "runtide-shipper", **options}


def backoff_s(failures: int) -> float:
    """The pause after the n-th failure in a row: doubling up to a limit, with jitter: a fleet mustn't march in step."""
    first, longest = BACKOFF_S
    return min(first * 2.0 ** min(failures - 1, 16), longest) * random.uniform(0.5, 1.0)


def _compression() -> str | None:
    try:
        import cramjam  # noqa: F401
    except ImportError:
        return None  # gzip would cost more CPU than the loopback or LAN traffic is worth
    return "lz4"


def _reason(error: BaseException) -> str:
    text = str(error).strip()
    name = type(error).__name__
    return f"{name}: {text}" if text and name not in text else text or name


async def _abandon(producer: AIOKafkaProducer) -> None:
    """Close without sending what is still in the producer: by now it may reach a broker that has started anew, as if it
    came from nowhere. All of it is sent again, in order, by the next connection."""
    producer._closed = True  # else its destructor complains; there is no public way to stop without a flush
    producer._sender.sender_task.cancel()
    await producer.client.close()
    await producer._sender.close()


async def _quietly(closing: Any) -> None:
    with contextlib.suppress(Exception):  # it is given up anyway
        await closing
