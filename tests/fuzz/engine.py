"""The real engine with an empty, migrated database, for fuzzed filters to run on."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from runtide_storage import Client
from tests.fixtures.storage import engine_in, fresh_database


@contextmanager
def engine() -> Iterator[Client]:
    with (
        tempfile.TemporaryDirectory(prefix="runtide-fuzz-") as folder,
        engine_in(Path(folder)) as empty,
        fresh_database(empty) as database,
    ):
        yield Client(database.url("reader"))
