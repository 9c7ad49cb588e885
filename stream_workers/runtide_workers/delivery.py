"""From Kafka's messages to a stored batch, however long that takes, and only then the acknowledgement."""

from __future__ import annotations

import asyncio
import logging
import random
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Protocol

from runtide_storage.errors import Unreachable
from runtide_workers.envelope import Message
from runtide_workers.health import Meter
from runtide_workers.sink import Stored

log = logging.getLogger(__name__)

BACKOFF_S = 0.2
BACKOFF_MAX_S = 5.0
BATCH_BYTES_MAX = 24 << 20  # of messages stored together: about 1.5 M points of lines of 100


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
