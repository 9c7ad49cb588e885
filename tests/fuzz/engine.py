"""The real engine with an empty, migrated database, for fuzzed filters to run on."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from runtide_storage import Client
from runtide_workers.embedded.clickhouse import ClickHouse
from tests.fixtures.stack import free_port_base
from tests.fixtures.storage import Engine, fresh_database


@contextmanager
def engine() -> Iterator[Client]:
    with tempfile.TemporaryDirectory(prefix="runtide-fuzz-") as folder:
        server = ClickHouse(Path(folder), free_port_base())
        server.start()
        try:
            server.wait_ready()
            with fresh_database(Engine(server, "runtide")) as database:
                yield Client(database.url("reader"))
        finally:
            server.kill()
