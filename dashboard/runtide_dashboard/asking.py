"""The one way from the pages to storage: a client that all readers share, and plain SQL through it.

Raises `runtide_storage.errors.StorageError`.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any, TypeVar

import streamlit as st
from streamlit.runtime.scriptrunner import add_script_run_ctx, get_script_run_ctx

from runtide_storage import Client
from runtide_storage.errors import Unreachable
from runtide_storage.ids import run_key

A = TypeVar("A")
B = TypeVar("B")


class _Connection:
    """One client for the process. After a failure the next try waits, so that a page full of questions fails once."""

    PAUSE_S = 1.0

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._client: Client | None = None
        self._failed: Unreachable | None = None
        self._failed_at_s = 0.0

    @contextmanager
    def client(self) -> Iterator[Client]:
        """The client, made at its first use. What makes it fail is remembered for PAUSE_S."""
        with self._lock:
            failed = self._failed
            if failed is not None and time.monotonic() - self._failed_at_s < self.PAUSE_S:
                raise type(failed)(str(failed))
        try:
            with self._lock:
                self._client = self._client or Client()
            yield self._client
        except Unreachable as error:
            self._failed, self._failed_at_s = error, time.monotonic()
            raise


@st.cache_resource
def connection() -> _Connection:
    """The process's own, the same for all readers."""
    return _Connection()


def ask(sql: str, **params: Any) -> list[dict[str, Any]]:
    """The rows of one query."""
    with connection().client() as client:
        return client.sql(sql, params).to_pylist()


def together(first: Callable[[], A], second: Callable[[], B]) -> tuple[A, B]:
    """The answers of both, asked at the same time: most of a small question is waiting for the server."""
    context = get_script_run_ctx(suppress_warning=True)

    def begin() -> None:
        if context is not None:
            add_script_run_ctx(threading.current_thread(), context)

    with ThreadPoolExecutor(1, initializer=begin) as other:
        promised = other.submit(second)
        return first(), promised.result()


def keys(refs: Sequence[str]) -> list[int]:
    """The runs as storage's tables know them: a filter on these is the quickest."""
    return [run_key(*ref.split("/", 1)) for ref in refs]


def these(refs: Sequence[str]) -> dict[str, list[str]]:
    """Parameters that name runs: the single names are what the views can turn into a filter on the index."""
    pairs = [ref.split("/", 1) for ref in refs]
    return {"refs": list(refs), "projects": sorted({p for p, _ in pairs}), "run_ids": sorted({r for _, r in pairs})}


def ref_of(row: Mapping[str, Any]) -> str:
    return f"{row['project']}/{row['run_id']}"
