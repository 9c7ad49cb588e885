"""JAX: metrics that are still being computed are logged when they are ready, so that no step waits for them.

with Metrics() as metrics:
    for step in range(1000):
        state, found = train_step(state, batch)
        metrics.log(found, step=step)        # a pytree of scalars; returns at once
"""

from __future__ import annotations

import time
from collections import deque
from types import TracebackType
from typing import Any, Self

from runtide._run import Run
from runtide.integrations import current, harmless, library

PENDING_MAX = 64  # calls whose values are waited for; more would hide that logging is slower than training


class Metrics:
    """Logs pytrees of device scalars in the order of the calls, with the time of the call.

    What the device has not computed yet is not logged yet: at a SIGKILL those calls are lost, `pending_max` at most.
    `flush`, `close` and the end of a `with` wait for them. With one process per host, log from the first alone
    (`jax.process_index() == 0`), or give each process's metrics a name of its own.
    """

    def __init__(self, run: Run | None = None, pending_max: int = PENDING_MAX) -> None:
        self.run = current(run)
        self._jax = library("jax")
        self._pending: deque[tuple[dict[str, Any], int | None, float]] = deque()
        self._pending_max = max(0, pending_max)

    def log(self, metrics: Any, step: int | None = None) -> None:
        """`metrics`: any pytree of scalars; its keys, joined by "/", are the names."""
        with harmless(self.run, "JAX's metrics"):
            named = self._named(metrics)
            for value in named.values():
                if hasattr(value, "copy_to_host_async"):
                    value.copy_to_host_async()
            self._pending.append((named, step, time.time()))
            while self._pending and (len(self._pending) > self._pending_max or self._is_ready(self._pending[0][0])):
                self._log_oldest()

    def flush(self) -> None:
        """Wait for the device and log what is left."""
        while self._pending:
            self._log_oldest()

    close = flush

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.flush()

    def _named(self, metrics: Any) -> dict[str, Any]:
        leaves, _ = self._jax.tree_util.tree_flatten_with_path(metrics)
        return {"/".join(map(_key, path)) or "value": value for path, value in leaves}

    def _is_ready(self, named: dict[str, Any]) -> bool:
        return all(value.is_ready() for value in named.values() if hasattr(value, "is_ready"))

    def _log_oldest(self) -> None:
        named, step, called_at = self._pending.popleft()
        self.run.log(named, step=step, timestamp=called_at)


def _key(part: Any) -> str:
    """The name of one step into a pytree: of a dict, a sequence or an object."""
    for attribute in ("key", "name", "idx"):
        if hasattr(part, attribute):
            return str(getattr(part, attribute))
    return str(part)
