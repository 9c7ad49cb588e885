"""Outages are waited out with the batch in hand, and batches are cut by size."""

import asyncio
from collections.abc import Sequence

import pytest

from runtide_storage.errors import Unreachable
from runtide_workers import delivery
from runtide_workers.delivery import Closing, Delivery, ReadAhead, by_size
from runtide_workers.envelope import Message
from runtide_workers.health import Meter
from runtide_workers.sink import Stored


def messages(*sizes: int) -> list[Message]:
    return [Message("t", 0, offset, 1_000, None, b"x" * size, ()) for offset, size in enumerate(sizes)]


class Flaky:
    """Unreachable so many times, then well."""

    def __init__(self, failures: int) -> None:
        self.failures = failures
        self.calls = 0

    def store(self, batch: Sequence[Message]) -> Stored:
        self.calls += 1
        if self.calls <= self.failures:
            raise Unreachable("down")
        return Stored(len(batch), points=10)


@pytest.fixture(autouse=True)
def short_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(delivery, "BACKOFF_S", 0.001)
    monkeypatch.setattr(delivery, "BACKOFF_MAX_S", 0.004)


def test_an_outage_is_waited_out_and_logged_once(caplog: pytest.LogCaptureFixture) -> None:
    async def scenario() -> tuple[Flaky, Meter]:
        sink, meter = Flaky(5), Meter()
        await Delivery(sink, meter, lambda _: None).store(messages(1, 1))
        return sink, meter

    sink, meter = asyncio.run(scenario())
    assert sink.calls == 6
    assert (meter.points, meter.messages, meter.outage) == (10, 2, None)
    assert [record.message.split(" ")[0] for record in caplog.records] == ["holding", "storing"]


def test_closing_gives_up_a_batch_that_cannot_be_stored() -> None:
    async def scenario() -> None:
        held = Delivery(Flaky(10**9), Meter(), lambda _: None)
        task = asyncio.create_task(held.store(messages(1)))
        await asyncio.sleep(0.02)
        assert await held.close(5.0)
        with pytest.raises(Closing):
            await task
        with pytest.raises(Closing):
            await held.store(messages(1))

    asyncio.run(scenario())


def test_closing_waits_for_the_batch_in_hand() -> None:
    class Slow:
        def store(self, batch: Sequence[Message]) -> Stored:
            import time

            time.sleep(0.05)
            return Stored(len(batch))

    async def scenario() -> int:
        meter = Meter()
        slow = Delivery(Slow(), meter, lambda _: None)
        task = asyncio.create_task(slow.store(messages(1)))
        await asyncio.sleep(0.01)
        assert await slow.close(5.0)
        assert task.done() or (await task)
        return meter.messages

    assert asyncio.run(scenario()) == 1


@pytest.mark.parametrize(
    ("sizes", "cut"),
    [
        ((), []),
        ((5,), [1]),
        ((50,), [1]),
        ((5, 5, 5), [2, 1]),
        ((50, 5, 5), [1, 2]),
        ((5, 50, 5), [1, 1, 1]),
        ((10, 10), [1, 1]),
    ],
)
def test_batches_are_cut_by_size(sizes: tuple[int, ...], cut: list[int]) -> None:
    batch = messages(*sizes)
    parts = list(by_size(batch, 10))
    assert [len(part) for part in parts] == cut
    assert [each for part in parts for each in part] == batch


def test_what_is_read_while_a_batch_is_stored_is_the_next_batch_and_no_more_than_fits() -> None:
    async def scenario() -> tuple[list[Sequence[int]], int]:
        ahead: ReadAhead[int] = ReadAhead(bytes_max=100, count_max=1_000)
        read = 0

        async def reader() -> None:
            nonlocal read
            for number in range(50):
                await ahead.put([2 * number, 2 * number + 1], size_bytes=20)
                read += 2

        reading = asyncio.create_task(reader())
        taken: list[Sequence[int]] = []
        most_ahead = 0
        while sum(map(len, taken)) < 100:
            taken.append(await ahead.take())
            for _ in range(20):  # a store that takes long
                await asyncio.sleep(0)
            most_ahead = max(most_ahead, read - sum(map(len, taken)))
        await reading
        return taken, most_ahead

    taken, most_ahead = asyncio.run(scenario())
    assert [number for batch in taken for number in batch] == list(range(100))
    assert most_ahead == 10  # 100 bytes
    assert [len(batch) for batch in taken[1:-1]] == [10] * len(taken[1:-1])


def test_small_messages_are_counted_too() -> None:
    async def scenario() -> None:
        ahead: ReadAhead[int] = ReadAhead(bytes_max=100, count_max=3)
        await ahead.put([1, 2, 3], size_bytes=0)
        waits = asyncio.create_task(ahead.put([4], size_bytes=0))
        await asyncio.sleep(0)
        assert not waits.done()
        assert await ahead.take() == [1, 2, 3]
        assert await ahead.take() == [4]

    asyncio.run(scenario())
