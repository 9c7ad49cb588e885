"""What was touched is rolled up once, and not forgotten when that fails."""

import asyncio
import threading
from collections.abc import Sequence

import pytest

from runtide_storage.errors import Unreachable
from runtide_storage.rollup import Touched
from runtide_workers import rollup as rollup_module
from runtide_workers.rollup import Rollup
from runtide_workers.sink import Stored


class Tiers:
    """Records rollups; unreachable so many times."""

    def __init__(self, storing: threading.Lock) -> None:
        self.storing = storing
        self.failures = 0
        self.done: list[tuple[Touched, bool, bool]] = []  # (what, with attempts, while nothing is stored)
        self.left: list[Touched] = []

    def rollup(self, touched: Sequence[Touched], several_attempts: set[int]) -> None:
        if self.failures:
            self.failures -= 1
            raise Unreachable("down")
        self.done += [(each, each.run in several_attempts, self.storing.locked()) for each in touched]

    def stale_rollups(self) -> list[Touched]:
        return self.left


@pytest.fixture
def storing() -> threading.Lock:
    return threading.Lock()


@pytest.fixture
def tiers(storing: threading.Lock) -> Tiers:
    return Tiers(storing)


def test_ranges_of_a_run_are_merged_and_done_once(tiers: Tiers, storing: threading.Lock) -> None:
    rollup = Rollup(tiers, storing)
    rollup.note(Stored(touched={1: (5, 9), 2: (0, 0)}))
    rollup.note(Stored(touched={1: (2, 7)}))
    asyncio.run(rollup.flush())
    asyncio.run(rollup.flush())
    assert tiers.done == [(Touched(1, 2, 9), False, False), (Touched(2, 0, 0), False, False)]
    assert rollup.pending == 0


def test_runs_with_several_attempts_wait_for_the_batch_that_is_being_stored(
    tiers: Tiers, storing: threading.Lock
) -> None:
    rollup = Rollup(tiers, storing)
    rollup.note(Stored(touched={1: (5, 9), 2: (0, 0)}, relaunched={2}))
    asyncio.run(rollup.flush())
    assert tiers.done == [(Touched(1, 5, 9), False, False), (Touched(2, 0, 0), True, True)]


def test_nothing_is_forgotten_in_an_outage(tiers: Tiers, storing: threading.Lock) -> None:
    rollup = Rollup(tiers, storing)
    tiers.failures = 1
    rollup.note(Stored(touched={1: (5, 9)}, relaunched={1}))

    async def scenario() -> None:
        with pytest.raises(Unreachable):
            await rollup.flush()
        rollup.note(Stored(touched={1: (3, 3)}))
        await rollup.flush()

    asyncio.run(scenario())
    assert tiers.done == [(Touched(1, 3, 9), True, True)]


def test_a_run_that_ends_does_not_wait_for_the_others(
    tiers: Tiers, storing: threading.Lock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rollup_module, "INTERVAL_S", 0.01)
    monkeypatch.setattr(rollup_module, "REST", 1e9)  # as under load: the next rollup of all is far away
    rollup = Rollup(tiers, storing)

    async def scenario() -> None:
        running = asyncio.create_task(rollup.run())
        rollup.note(Stored(touched={1: (0, 1)}))
        while not tiers.done:  # noqa: ASYNC110 - there is no event to wait for
            await asyncio.sleep(0.005)
        await rollup.flush(only=())  # which waits for the one that goes on
        rollup.note(Stored(touched={1: (2, 3), 2: (0, 9)}, ended={2, 3}))
        while len(tiers.done) == 1:  # noqa: ASYNC110
            await asyncio.sleep(0.005)
        await rollup.flush(only=())
        running.cancel()

    asyncio.run(scenario())
    assert tiers.done == [(Touched(1, 0, 1), False, False), (Touched(2, 0, 9), False, False)]


def test_what_an_earlier_worker_left_is_taken_up(tiers: Tiers, storing: threading.Lock) -> None:
    rollup = Rollup(tiers, storing)
    tiers.left = [Touched(7)]

    async def scenario() -> None:
        await rollup.repair()
        await rollup.flush()

    asyncio.run(scenario())
    assert tiers.done == [(Touched(7), True, True)]
