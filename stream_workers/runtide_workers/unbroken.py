"""Notices messages that are passed over between Kafka and the sink, before anything behind them is acknowledged.

When partitions are handed out again while a fetch is under way, Faust may drop what the fetch brought and go on behind
it, and it commits what was acknowledged although the first message is missing. So every message has to follow the one
before it, or begin at or before what is committed. Where it does not, Kafka is asked what lies in between: usually
nothing, for a log has holes where old messages were deleted or a transaction ended.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from aiokafka import AIOKafkaConsumer, TopicPartition

from runtide_workers.health import Partition


class PassedOver(Exception):
    """Messages that Kafka has did not arrive. A worker that starts again reads them."""


class Unbroken:
    """Of one stream. `committed`: the offset up to which a partition is acknowledged, without it; None: nothing is.

    `first_from`: the offset of the first message at or behind one.
    """

    def __init__(
        self, committed: Callable[[Partition], int | None], first_from: Callable[[Partition, int], Awaitable[int]]
    ) -> None:
        self._committed = committed
        self._first_from = first_from
        self._due: dict[Partition, int] = {}  # the offset that comes next

    async def check(self, place: Partition, offset: int) -> None:
        """The next message of the stream. Raises `PassedOver`, and `KafkaError` or `TimeoutError` if nobody can say."""
        due = self._due.get(place, 0)
        if offset > due:
            due = max(due, self._committed(place) or 0)  # another worker may have had the partition meanwhile
        if offset > due:
            first = await self._first_from(place, due)
            if first < offset:
                topic, number = place
                raise PassedOver(f"{topic}[{number}] goes on at {offset}, but Kafka has {first}: it is read again")
        self._due[place] = offset + 1


async def first_from(kafka: str, options: Mapping[str, Any], place: Partition, offset: int, timeout_s: float) -> int:
    """The offset of the first message of a partition at or behind `offset`. Raises `KafkaError` or `TimeoutError`."""
    consumer = AIOKafkaConsumer(
        bootstrap_servers=kafka, enable_auto_commit=False, auto_offset_reset="earliest",
        max_partition_fetch_bytes=1 << 20, **options,
    )  # fmt: skip
    await consumer.start()
    try:
        where = TopicPartition(*place)
        consumer.assign([where])
        consumer.seek(where, offset)
        for found in (await consumer.getmany(where, timeout_ms=int(timeout_s * 1000), max_records=1)).values():
            return int(found[0].offset)
        raise TimeoutError(f"no message of {place} behind {offset} in {timeout_s:.0f} s")
    finally:
        await consumer.stop()
