"""Queries to Arrow. Values travel as parameters; only integers and the package's own SQL become part of a statement."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any, TypeVar

import pyarrow as pa
from clickhouse_connect.driver.client import Client as Driver

from runtide_storage.connect import address, read_errors
from runtide_storage.errors import QueryError, Unreachable

_SETTINGS = {
    "max_query_size": 16 << 20,  # many integer ids
    "optimize_move_to_prewhere_if_final": 1,  # of a condition on the sorting key only; up to ten times faster
    "output_format_arrow_string_as_string": 1,
    "output_format_arrow_low_cardinality_as_dictionary": 0,
}

_AT_ONCE = {"optimize_read_in_order": 0}  # to sort what is small is a fifth faster than to read it in order
ONE_THREAD = {"max_threads": 1}  # for a lookup beside another: dividing it among cores costs more than it gains
_TOO_MANY_ROWS = 158  # the server's error code
_THREADS_MAX = 8  # as many connections as the driver keeps

A = TypeVar("A")
B = TypeVar("B")


class Reader:
    """Runs queries through one client, which threads may share. Raises `Unreachable` and `QueryError`."""

    def __init__(self, client: Driver) -> None:
        self._client = client
        self._threads = ThreadPoolExecutor(_THREADS_MAX, thread_name_prefix="runtide-reader")  # starts none yet

    @property
    def is_readonly(self) -> bool:
        """Whether the server itself lets this user only read."""
        setting = self._client.server_settings.get("readonly")
        return setting is not None and str(setting.value) != "0"

    def arrow(
        self, sql: str, parameters: Mapping[str, Any] | None = None, settings: Mapping[str, Any] | None = None
    ) -> pa.Table:
        """The whole answer as one table."""
        with self._errors():
            table: pa.Table = self._client.query_arrow(
                sql, dict(parameters or {}), settings=_SETTINGS | dict(settings or {})
            )
        return table

    @contextmanager
    def _errors(self) -> Iterator[None]:
        """Those of the server; and a server whose disk is full, say, begins an answer well and does not end it."""
        where = address(self._client)
        with read_errors(where):
            try:
                yield
            except pa.ArrowInvalid as error:
                raise Unreachable(f"ClickHouse at {where} broke off its answer: {error}") from error

    def arrow_if_small(self, sql: str, rows_read_max: int) -> pa.Table | None:
        """The answer; None if it takes reading more rows than that, which the server often knows before it reads."""
        try:
            return self.arrow(sql, settings=_AT_ONCE | {"max_rows_to_read": rows_read_max})
        except QueryError as error:
            if getattr(error.__cause__, "code", None) == _TOO_MANY_ROWS:
                return None
            raise

    def stream(self, sql: str, parameters: Mapping[str, Any] | None = None) -> Iterator[pa.Table]:
        """The answer block by block, for what may not fit into memory."""
        with (
            self._errors(),
            self._client.query_arrow_stream(sql, dict(parameters or {}), settings=_SETTINGS) as blocks,
        ):
            for block in blocks:
                yield pa.Table.from_batches([block])

    def rows(
        self, sql: str, parameters: Mapping[str, Any] | None = None, settings: Mapping[str, Any] | None = None
    ) -> list[dict[str, Any]]:
        """The answer as dicts: for what is small."""
        found: list[dict[str, Any]] = self.arrow(sql, parameters, settings).to_pylist(maps_as_pydicts="lossy")
        return found

    def together(self, first: Callable[[], A], second: Callable[[], B]) -> tuple[A, B]:
        """Both answers, asked for at the same time. `second` may do the same again."""
        pending = self._threads.submit(first)
        try:
            answer = second()
        except BaseException:
            pending.cancel()
            raise
        return pending.result(), answer

    def close(self) -> None:
        """Give the connections back."""
        self._threads.shutdown()
        self._client.close()


def integers(values: Iterable[int]) -> str:
    """`1, 2, 3`: ids for an IN. Nothing but digits can come out of it."""
    return ", ".join(f"{value:d}" for value in values)
