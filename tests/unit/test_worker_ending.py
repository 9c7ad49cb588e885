"""The end of a worker waits for nothing for ever."""

import asyncio
import logging

import pytest

from runtide_workers.app import Worker
from runtide_workers.settings import load


async def stubborn() -> None:
    """Swallows the first cancellation, as a call to a broker that is gone may."""
    try:
        await asyncio.sleep(3600)
    except asyncio.CancelledError:
        await asyncio.sleep(3600)


async def fail() -> None:
    raise OSError("gone")


def test_work_that_swallows_its_cancellation_does_not_hold_the_end_up(caplog: pytest.LogCaptureFixture) -> None:
    async def end() -> None:
        worker = Worker(load([]))
        await asyncio.wait_for(worker._bounded("stubborn work", 0.01, stubborn()), 20)
        await worker._bounded("what fails", 1, fail())

    with caplog.at_level(logging.WARNING):
        asyncio.run(end())
    assert [record.getMessage() for record in caplog.records] == [
        "did not wait for stubborn work: not done in 0 s",
        "did not wait for what fails: OSError('gone')",
    ]
