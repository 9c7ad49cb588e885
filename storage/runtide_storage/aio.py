"""The query API for asyncio: each method of `Client`, in a thread of its own."""

from __future__ import annotations

import asyncio
import functools
from collections.abc import AsyncIterator, Callable, Coroutine
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Concatenate, ParamSpec, Self, TypeVar

from runtide_storage.client import Client
from runtide_storage.result import Result

THREADS_MAX = 8  # questions at once; more wait

P = ParamSpec("P")
R = TypeVar("R")


def _awaited(
    method: Callable[Concatenate[Client, P], R],
) -> Callable[Concatenate[AsyncClient, P], Coroutine[Any, Any, R]]:
    async def ask(self: AsyncClient, /, *args: P.args, **kwargs: P.kwargs) -> R:
        return await self._in_thread(lambda: method(self._connected(), *args, **kwargs))

    functools.update_wrapper(ask, method)
    return ask


class AsyncClient:
    """Reads what is stored, without blocking the event loop. Use it in one loop, with `async with`, or `close` it.

    Methods, their arguments, answers and errors are those of `Client`; `points` is an asynchronous iterator. Connects
    at the first question. Who cancels a call no longer waits; the server goes on with it, within its limits.
    """

    def __init__(self, url: str | None = None) -> None:
        self._connected = functools.cache(lambda: Client(url))
        self._threads = ThreadPoolExecutor(THREADS_MAX, thread_name_prefix="runtide-aio")

    runs = _awaited(Client.runs)
    count = _awaited(Client.count)
    run = _awaited(Client.run)
    values = _awaited(Client.values)
    events = _awaited(Client.events)
    summaries = _awaited(Client.summaries)
    metrics = _awaited(Client.metrics)
    compare = _awaited(Client.compare)
    diff = _awaited(Client.diff)
    causes = _awaited(Client.causes)
    repeated = _awaited(Client.repeated)
    recorded = _awaited(Client.recorded)
    lineage = _awaited(Client.lineage)
    baseline_band = _awaited(Client.baseline_band)
    history = _awaited(Client.history)
    sql = _awaited(Client.sql)
    alerts = _awaited(Client.alerts)
    alert = _awaited(Client.alert)
    mutes = _awaited(Client.mutes)
    verdicts = _awaited(Client.verdicts)
    plans = _awaited(Client.plans)
    baselines = _awaited(Client.baselines)
    marks = _awaited(Client.marks)
    finals = _awaited(Client.finals)
    peaks = _awaited(Client.peaks)
    dead_letters = _awaited(Client.dead_letters)
    pipeline = _awaited(Client.pipeline)
    export = _awaited(Client.export)

    async def points(self, ref: str, metric: str) -> AsyncIterator[Result]:
        """Every current point of a curve, in order of step and time, block by block: step, ts, value."""
        blocks = await self._in_thread(lambda: self._connected().points(ref, metric))
        while (block := await self._in_thread(lambda: next(blocks, None))) is not None:
            yield block

    async def close(self) -> None:
        """Give the connections back, after the questions that are still being answered."""
        await asyncio.to_thread(self._threads.shutdown)
        if self._connected.cache_info().currsize:
            await asyncio.to_thread(self._connected().close)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def _in_thread(self, ask: Callable[[], R]) -> R:
        return await asyncio.get_running_loop().run_in_executor(self._threads, ask)
