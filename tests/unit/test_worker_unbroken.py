"""Messages that Kafka has must not be passed over; holes of the log may."""

from __future__ import annotations

import asyncio

import pytest

from runtide_workers.health import Partition
from runtide_workers.unbroken import PassedOver, Unbroken

PLACE = ("runtide.events", 3)


class Kafka:
    """`has`: the offsets that there are."""

    def __init__(self, has: range | list[int], committed: int | None = None) -> None:
        self.has, self.committed = has, committed
        self.asked = 0

    async def first_from(self, place: Partition, offset: int) -> int:
        assert place == PLACE
        self.asked += 1
        return min(each for each in self.has if each >= offset)

    def read(self, *offsets: int) -> None:
        """All in one stream."""
        unbroken = Unbroken(lambda _: self.committed, self.first_from)

        async def check() -> None:
            for offset in offsets:
                await unbroken.check(PLACE, offset)

        asyncio.run(check())


def test_what_follows_costs_no_question() -> None:
    kafka = Kafka(range(100), committed=40)
    kafka.read(40, 41, 42, 43)
    kafka.read(38, 39, 40, 41)  # what an earlier worker stored and did not commit comes again
    kafka.read(40, 41, 42, 40, 41, 42, 43)  # after a rebalance
    Kafka(range(100)).read(0, 1)
    assert kafka.asked == 0


@pytest.mark.parametrize("offsets", [(41,), (40, 42), (40, 41, 40, 43), (40, 41, 43)])
def test_one_message_that_is_passed_over_is_noticed(offsets: tuple[int, ...]) -> None:
    with pytest.raises(PassedOver, match="but Kafka has 4"):
        Kafka(range(100), committed=40).read(*offsets)


def test_before_anything_is_committed_the_first_one_counts() -> None:
    with pytest.raises(PassedOver, match="goes on at 1, but Kafka has 0"):
        Kafka(range(100)).read(1)


def test_holes_of_the_log_are_none_of_ours() -> None:
    Kafka([*range(40), *range(45, 60)], committed=40).read(45, 46)  # the markers of a transaction
    Kafka(range(500, 600), committed=40).read(500)  # retention was faster than the worker
    Kafka(range(500, 600)).read(500)


def test_what_another_worker_stored_meanwhile_is_not_missed() -> None:
    kafka = Kafka(range(100), committed=10)
    unbroken = Unbroken(lambda _: kafka.committed, kafka.first_from)
    asyncio.run(unbroken.check(PLACE, 10))
    kafka.committed = 50  # the partition went away and came back
    asyncio.run(unbroken.check(PLACE, 50))
    assert kafka.asked == 0
