"""What the workers themselves write to Kafka: dead letters and alerts, acknowledged by all replicas before we go on."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import orjson
from aiokafka import AIOKafkaProducer
from aiokafka.errors import KafkaError

from runtide.events import ALERTS_TOPIC, DEAD_LETTER_TOPIC, MESSAGE_BYTES_MAX
from runtide.kafka_trouble import explain
from runtide_storage.errors import Unreachable
from runtide_workers.decode import DeadLetter

log = logging.getLogger(__name__)

VALUE_BYTES_MAX = MESSAGE_BYTES_MAX
REQUEST_BYTES_MAX = MESSAGE_BYTES_MAX + (1 << 20)  # and room for the headers
REQUEST_TIMEOUT_MS = 10_000
SEND_TIMEOUT_S = 30.0
SEND_BYTES_MAX = 32 << 20  # that wait for the broker at a time


@dataclass(frozen=True, slots=True)
class Outgoing:
    """A Kafka message to send."""

    topic: str
    key: bytes | None
    value: bytes
    headers: tuple[tuple[str, bytes], ...] = ()


def dead_letter_message(letter: DeadLetter) -> Outgoing:
    """The original bytes, and where they came from. Only what no topic takes is cut, and says so."""
    message, value = letter.message, letter.value
    headers = [
        ("reason", letter.reason.encode()),
        ("detail", letter.detail.encode("utf-8", "backslashreplace")),
        ("topic", message.topic.encode()),
        ("partition", str(message.partition).encode()),
        ("offset", str(message.offset).encode()),
        ("line", str(letter.line).encode()),
    ]
    if len(value) > VALUE_BYTES_MAX:
        headers.append(("cut", str(len(value)).encode()))
        value = value[:VALUE_BYTES_MAX]
    return Outgoing(DEAD_LETTER_TOPIC, message.key, value, tuple(headers))


def alert_message(row: Mapping[str, Any]) -> Outgoing:
    """A row of `alerts` as JSON. It may be sent more than once: the id is the same then."""
    return Outgoing(ALERTS_TOPIC, str(row["run"]).encode(), orjson.dumps({**row, "run": str(row["run"])}))


class Outlet:
    """A producer that is built anew after a failure, since aiokafka's may not recover by itself."""

    def __init__(self, bootstrap: str, options: Mapping[str, Any] | None = None) -> None:
        self._bootstrap = bootstrap
        self._options = {"bootstrap_servers": bootstrap, **(options or {})}
        self._producer: AIOKafkaProducer | None = None
        self._loop: asyncio.AbstractEventLoop | None = None

    async def start(self) -> None:
        """Remember the loop that sends; the connection is made with the first message."""
        self._loop = asyncio.get_running_loop()

    async def stop(self) -> None:
        producer, self._producer = self._producer, None
        if producer is not None:
            await producer.stop()

    def publish(self, messages: Sequence[Outgoing]) -> None:
        """Send from another thread, and return once all are acknowledged. Raises `Unreachable`."""
        if self._loop is None:
            raise Unreachable("the outlet is not started")
        asyncio.run_coroutine_threadsafe(self.send(messages), self._loop).result()

    async def send(self, messages: Sequence[Outgoing]) -> None:
        """Send, in order. Raises `Unreachable`; some may have been sent then."""
        waiting: list[asyncio.Future[Any]] = []
        size = 0
        try:
            producer = await self._connected()
            for each in messages:
                waiting.append(
                    await producer.send(each.topic, value=each.value, key=each.key, headers=list(each.headers))
                )
                size += len(each.value)
                if size > SEND_BYTES_MAX:
                    await asyncio.wait_for(asyncio.gather(*waiting), SEND_TIMEOUT_S)
                    waiting, size = [], 0
            await asyncio.wait_for(asyncio.gather(*waiting), SEND_TIMEOUT_S)
        except (KafkaError, OSError, TimeoutError) as error:
            for future in waiting:
                future.cancel()
            reason = await explain(error, self._options)
            producer_failed, self._producer = self._producer, None
            if producer_failed is not None:
                await _close(producer_failed)
            raise Unreachable(f"Kafka at {self._bootstrap} does not take messages: {reason}") from error

    async def _connected(self) -> AIOKafkaProducer:
        if self._producer is None:
            producer = AIOKafkaProducer(
                acks="all",
                linger_ms=5,
                max_request_size=REQUEST_BYTES_MAX,
                max_batch_size=1 << 20,
                request_timeout_ms=REQUEST_TIMEOUT_MS,
                **self._options,
            )
            try:
                await producer.start()
            except BaseException:
                await _close(producer)
                raise
            self._producer = producer
        return self._producer


async def _close(producer: AIOKafkaProducer) -> None:
    try:
        await asyncio.wait_for(producer.stop(), 2.0)
    except (KafkaError, OSError, TimeoutError) as error:
        log.debug("a failed producer did not stop cleanly: %r", error)
