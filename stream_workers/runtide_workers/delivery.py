"""From Kafka's messages to a stored batch, however long that takes, and only then the acknowledgement."""

from __future__ import annotations

import asyncio
import logging
import random
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Generic, Protocol, TypeVar

from runtide_storage.errors import Unreachable
from runtide_workers.envelope import Message
from runtide_workers.health import Meter
from runtide_workers.sink import Stored

log = logging.getLogger(__name__)
T = TypeVar("T")

BACKOFF_S = 0.2
BACKOFF_MAX_S = 5.0
BATCH_BYTES_MAX = 24 << 20  # of messages stored together: about 1.5 M points of lines of 100
AHEAD_BYTES_MAX = 32 << 20  # of messages read while a batch is stored; a message may have 8 MiB
AHEAD_MESSAGES_MAX = 8_192


class Batches(Protocol):
    """`Sink`, as seen from here: blocking, and `store` may be repeated after `Unreachable`."""

    def store(self, messages: Sequence[Message]) -> Stored: ...


class Closing(Exception):
    """The worker ends before the batch could be stored; the next one will do it."""


class Delivery:
    """Stores one batch at a time, in a thread, so that the event loop goes on serving Kafka and health checks."""

    def __init__(self, sink: Batches, meter: Meter, on_stored: Callable[[Stored], None]) -> None:
        self._sink = sink
        self._meter = meter
        self._on_stored = on_stored
        self._closing = asyncio.Event()
        self._idle = asyncio.Event()
        self._idle.set()

    @property
    def closing(self) -> bool:
        return self._closing.is_set()

    async def close(self, timeout_s: float) -> bool:
        """Take no further batch, and wait for the one in hand. False if it did not end in time."""
        self._closing.set()
        try:
            await asyncio.wait_for(self._idle.wait(), timeout_s)
        except TimeoutError:
            return False
        return True

    async def store(self, messages: Sequence[Message]) -> Stored:
        """Until it is stored. Raises `Closing`, and what `Sink.store` raises for good."""
        if self.closing:
            raise Closing
        self._idle.clear()
        try:
            return await self._store(messages)
        finally:
            self._idle.set()

    async def _store(self, messages: Sequence[Message]) -> Stored:
        backoff_s, since = BACKOFF_S, None
        self._meter.took(messages)
        while True:
            started = time.monotonic()
            try:
                stored = await asyncio.to_thread(self._sink.store, messages)
            except Unreachable as error:
                if since is None:
                    since = started
                    self._meter.outage = str(error)
                    log.warning("holding a batch of %d messages until it can be stored: %s", len(messages), error)
                await self._pause(backoff_s * random.uniform(0.5, 1.0))
                backoff_s = min(backoff_s * 2, BACKOFF_MAX_S)
                continue
            if since is not None:
                self._meter.outage = None
                log.warning("storing again after %.1f s", time.monotonic() - since)
            self._meter.stored(stored, messages, time.monotonic() - started)
            self._on_stored(stored)
            return stored

    async def _pause(self, seconds: float) -> None:
        try:
            await asyncio.wait_for(self._closing.wait(), seconds)
        except TimeoutError:
            return
        raise Closing


class ReadAhead(Generic[T]):
    """What was read while a batch was being stored, in order: the slower the store, the larger the next batch.

    For one task that puts and one that takes.
    """

    def __init__(self, bytes_max: int = AHEAD_BYTES_MAX, count_max: int = AHEAD_MESSAGES_MAX) -> None:
        self._bytes_max, self._count_max = bytes_max, count_max
        self._waiting: list[T] = []
        self._bytes = 0
        self._changed = asyncio.Event()

    async def put(self, some: Sequence[T], size_bytes: int) -> None:
        """Add to the end; waits first while there is too much already."""
        while self._bytes >= self._bytes_max or len(self._waiting) >= self._count_max:
            await self._next_change()
        self._waiting += some
        self._bytes += size_bytes
        self._changed.set()

    async def take(self) -> Sequence[T]:
        """All there is, once there is any."""
        while not self._waiting:
            await self._next_change()
        taken, self._waiting, self._bytes = self._waiting, [], 0
        self._changed.set()
        return taken

    async def _next_change(self) -> None:
        self._changed.clear()
        await self._changed.wait()


def by_size(messages: Sequence[Message], bytes_max: int = BATCH_BYTES_MAX) -> Iterator[Sequence[Message]]:
    """Cut into runs of at most `bytes_max`, or of one message that is larger."""
    start = size = 0
    for index, message in enumerate(messages):
        weight = len(message.value or b"")
        if index > start and size + weight > bytes_max:
            yield messages[start:index]
            start, size = index, 0
        size += weight
    if start < len(messages):
        yield messages[start:]
