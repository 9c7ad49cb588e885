"""Some threads that do the same thing to many items: network and disk are waited for, several at a time."""

from __future__ import annotations

import threading
from collections.abc import Callable
from queue import Queue
from types import TracebackType
from typing import Generic, Self, TypeVar

Item = TypeVar("Item")
THREADS = 4


class Crew(Generic[Item]):
    """`with Crew(act) as crew: crew.give(item)`. The first error stops all and is raised by `give` or at the end.

    Threads are daemons: a program that ends does not wait for them, unlike for those of concurrent.futures. No more
    than two items per thread wait.
    """

    def __init__(self, act: Callable[[Item], object], threads: int = THREADS) -> None:
        self._act = act
        self._queue: Queue[Item | None] = Queue(threads * 2)
        self._error: BaseException | None = None
        self._threads = [
            threading.Thread(target=self._work, name="runtide-store", daemon=True) for _ in range(threads)
        ]  # fmt: skip

    def give(self, item: Item) -> None:
        """Waits while there is too much to do."""
        if self._error is not None:
            raise self._error
        self._queue.put(item)

    def __enter__(self) -> Self:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if error is not None:
            self._error = error  # what still waits is dropped
        for _ in self._threads:
            self._queue.put(None)
        for thread in self._threads:
            thread.join()
        if error is None and self._error is not None:
            raise self._error

    def _work(self) -> None:
        while (item := self._queue.get()) is not None:
            if self._error is not None:
                continue
            try:
                self._act(item)
            except BaseException as error:  # noqa: BLE001 - it is raised where the items come from
                self._error = error
