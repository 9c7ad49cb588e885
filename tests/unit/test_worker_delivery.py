"""Outages are waited out with the batch in hand, and batches are cut by size."""

import asyncio
from collections.abc import Sequence

import pytest

from runtide_storage.errors import Unreachable
from runtide_workers import delivery
from runtide_workers.delivery import Closing, Delivery, by_size
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
