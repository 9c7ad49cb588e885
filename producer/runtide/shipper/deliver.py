"""The link to Kafka: producing messages, and asking what the sink has committed."""

from __future__ import annotations

import asyncio
import contextlib
import os
import random
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from aiokafka import AIOKafkaProducer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.errors import (
    KafkaConnectionError,
    KafkaError,
    MessageSizeTooLargeError,
    TopicAuthorizationFailedError,
)
from aiokafka.structs import RecordMetadata

from runtide.events import EVENTS_TOPIC, MESSAGE_BYTES_MAX, REPORT_HEADER, VERSION, Header, project_topic
from runtide.kafka_trouble import cause, in_words, is_denial
from runtide.shipper.progress import Place
from runtide.shipper.tail import Message

SINK_GROUP = "runtide-sink"
LINGER_MS = 10  # the poll interval does the batching; this joins what one poll sends
BATCH_BYTES = 900_000  # per partition; Apache Kafka takes 1 MiB unless told otherwise
REQUEST_TIMEOUT_S = 10.0
QUESTION_TIMEOUT_S = 5.0  # for small requests; a broker that hangs longer is as good as gone
TOPICS_S = 10.0  # how old what is known of the topics may be
NEW_BROKER_S = 0.5  # a broker that nothing was stored from yet is looked at twice, so far apart
BACKOFF_S = (0.25, 5.0)  # first and longest pause between attempts to connect, before jitter


class LinkDown(Exception):
    """Kafka can't be used right now; the message says why."""


class Denied(LinkDown):
    """Kafka does not let us in with these settings, or we don't trust it by them."""


class Refused(Exception):
    """Kafka takes no messages of this project from us; the message says what to do. Those of others it may take."""


@dataclass(frozen=True, slots=True)
class Committed:
    """The sink's committed offsets, as one incarnation of the broker (`cluster_id`) has them."""

    cluster_id: str
    offsets: Mapping[Place, int]


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
        self._partitions: dict[str, list[TopicPartition]] = {}  # of each topic of events that we may write to
        self._used: set[str] = set()  # topics that something was sent to
        self._topics_s = 0.0  # when they were looked for
        self._closing: set[asyncio.Task[None]] = set()

    async def connect(self) -> None:
        """One attempt. Raises LinkDown."""
        self.disconnect()
        options: dict[str, Any] = {}
        try:
            options = self._options()
            async with asyncio.timeout(2 * REQUEST_TIMEOUT_S):
                self._admin = AIOKafkaAdminClient(request_timeout_ms=int(QUESTION_TIMEOUT_S * 1000), **options)
                await self._admin.start()
                self.cluster_id = await self._ask_cluster_id(self._admin)
                await self._find_topics(self._admin)
                if not await self._is_in_use(self._admin):
                    # An embedded broker that has just started makes its topics twice (runtide_workers.embedded.topics):
                    # what is sent in between would be gone.
                    await asyncio.sleep(NEW_BROKER_S)
                    if await self._ask_cluster_id(self._admin) != self.cluster_id:
                        raise LinkDown("it started anew")
                    await self._find_topics(self._admin)
                self._producer = await self._start_producer(options)
        except LinkDown:
            self.disconnect()
            raise
        except asyncio.CancelledError:
            self.disconnect()
            raise
        except Exception as error:
            self.disconnect()
            reason = await cause(error, options)
            raise (Denied if is_denial(reason) else LinkDown)(in_words(reason)) from error

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
        self, header: Header, message: Message, report: bytes | None = None
    ) -> asyncio.Future[RecordMetadata]:
        """Hand one message over; the future is done when all replicas have it. Waits while the buffer is full.

        `report`: what the shipper says of itself, to go along.

        Raises LinkDown, Refused, or MessageSizeTooLargeError.
        """
        if self._producer is None or self._admin is None:
            raise LinkDown("not connected")
        key = header.run.encode()
        headers = [
            ("runtide-v", b"%d" % VERSION),
            ("run", key),
            ("writer", header.writer.encode()),
            ("first", b"%d" % message.first),
            ("count", b"%d" % message.count),
        ]
        if report is not None:
            headers.append((REPORT_HEADER, report))
        try:
            if time.monotonic() - self._topics_s > TOPICS_S:
                async with asyncio.timeout(QUESTION_TIMEOUT_S):
                    await self._find_topics(self._admin)
            topic = self._topic_of(header.project)
            future: asyncio.Future[RecordMetadata] = await self._producer.send(
                topic, message.value, key=key, headers=headers
            )
        except MessageSizeTooLargeError:
            raise
        except TopicAuthorizationFailedError as error:
            raise Refused(in_words(error)) from error
        except (KafkaError, OSError, TimeoutError) as error:
            raise LinkDown(in_words(error)) from error
        self._used.add(topic)
        return future

    async def committed(self) -> Committed:
        """What the sink has committed. The broker's identity is the same before and after. Raises LinkDown."""
        admin = self._admin
        if admin is None:
            raise LinkDown("not connected")
        places = [place for topic in self._used for place in self._partitions.get(topic, ())]
        try:
            async with asyncio.timeout(QUESTION_TIMEOUT_S):
                while True:
                    before = await self._ask_cluster_id(admin)
                    found = await admin.list_consumer_group_offsets(SINK_GROUP, partitions=places)
                    if await self._ask_cluster_id(admin) == before:
                        return Committed(before, {(tp.topic, tp.partition): each.offset for tp, each in found.items()})
        except (KafkaError, OSError, TimeoutError) as error:
            raise LinkDown(in_words(error)) from error

    def _topic_of(self, project: str) -> str:
        """Its own where it has one, else the one of all. Raises Refused."""
        own = project_topic(project)
        topic = own if own in self._partitions else EVENTS_TOPIC
        if topic not in self._partitions:
            raise Refused(
                f"neither topic {own} nor {EVENTS_TOPIC} is there for this user: grant it Write on one of them"
            )
        return topic

    async def _find_topics(self, admin: AIOKafkaAdminClient) -> None:
        """Which topics of events are there for us: where Kafka knows rights, it lists only what we may write to."""
        # All topics are listed, because asking for one by its name would make some brokers create it.
        listed = await admin.list_topics()
        found = {name for name in listed if name == EVENTS_TOPIC or name.startswith(project_topic(""))}
        if not found:
            missing = f"no topic {EVENTS_TOPIC} yet: start a worker or run `runtide migrate`"
            if self._options().get("sasl_mechanism"):
                raise LinkDown(f"{missing}, and grant this user Write on it (SECURITY.md)")
            raise LinkDown(missing)
        described = await admin.describe_topics(sorted(found))
        self._partitions = {
            each["topic"]: [TopicPartition(each["topic"], part["partition"]) for part in each["partitions"]]
            for each in described
        }
        self._topics_s = time.monotonic()

    async def _is_in_use(self, admin: AIOKafkaAdminClient) -> bool:
        """Has the sink stored anything from this broker yet?"""
        places = [place for places in self._partitions.values() for place in places]
        found = await admin.list_consumer_group_offsets(SINK_GROUP, partitions=places)
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
