"""The bar for ingest: ClickHouse's own Kafka engine and a materialized view, in an engine of its own.

It reads the very messages that the shipper produced (a header line, then JSON lines; whose they are stands in Kafka's
headers) and expands each line's metrics into a table that is made like Runtide's `points`. It validates nothing: a
line with `"NaN"` would stop it. Nothing is stored exactly once, and nothing is looked at.
"""

from __future__ import annotations

import ctypes
import importlib.util
import os
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType

from benchmarks.costs import cpu_s, settle
from runtide.events import EVENTS_TOPIC
from runtide_storage.connect import connect
from runtide_storage.migrate import migrate
from runtide_workers.embedded import clickhouse as embedded
from runtide_workers.embedded.child import spawn
from tests.fixtures.shipping import free_port

DEADLINE_S = 600.0
LOOK_S = 0.5

# JSONEachRow gives one row per line; the header line and events have no `m` and expand to nothing.
QUEUE = """
CREATE TABLE queue (t UInt64, s Int64, m Map(String, Float64)) ENGINE = Kafka
SETTINGS kafka_broker_list = '{kafka}', kafka_topic_list = '{topic}', kafka_group_name = 'bare',
         kafka_format = 'JSONEachRow', input_format_skip_unknown_fields = 1
"""
# `seq` is that of the message's first line: rows of an input format don't know which line they are.
VIEW = """
CREATE MATERIALIZED VIEW expand TO points AS
SELECT xxHash64(_headers.value[indexOf(_headers.name, 'run')]) AS run, xxHash64(metric) AS key, s AS step,
       fromUnixTimestamp64Milli(intDiv(t, 1000000)) AS ts, number AS value, 1 AS attempt,
       xxHash64(_headers.value[indexOf(_headers.name, 'writer')]) AS writer,
       toUInt64OrZero(_headers.value[indexOf(_headers.name, 'first')]) AS seq
FROM queue ARRAY JOIN mapKeys(m) AS metric, mapValues(m) AS number
"""


@dataclass(frozen=True)
class Bare:
    """What the engine did with the topic. `cpu_s` is of ClickHouse, from the view's creation until merges were done."""

    points: int
    cpu_s: float
    first_row_s: float
    seconds: float  # from the first row to the last

    @property
    def cpu_s_per_million(self) -> float:
        return self.cpu_s / self.points * 1e6


class _WithKafka(embedded.ClickHouse):
    """Its writer may use the Kafka engine."""

    def start(self) -> None:
        self._write_configuration()
        argv = [sys.executable, "-m", "benchmarks.ingest_bare", str(self.data_dir), str(os.getpid())]
        self._process = spawn(argv, log_path=self.log_path)

    def _write_configuration(self) -> None:
        super()._write_configuration()
        users = self.data_dir / "etc" / "users.xml"
        grant = "<query>GRANT TABLE ENGINE ON Memory</query>"
        users.write_text(users.read_text().replace(grant, "<query>GRANT ALL ON *.*</query>"))


def consume(folder: Path, kafka: str, points: int) -> Bare:
    """Let a new ClickHouse read the whole topic, which holds `points` points that are the user's."""
    with _WithKafka(folder, free_port()) as clickhouse:
        client = connect(clickhouse.url("writer"))
        migrate(client)
        pid = [clickhouse.pid or 0]
        settle(pid)
        before_s, began = cpu_s(pid), time.monotonic()
        client.command(QUEUE.format(kafka=kafka, topic=EVENTS_TOPIC))
        client.command(VIEW)
        first_row_s, seen = 0.0, 0
        while seen < points:
            time.sleep(LOOK_S)
            seen = int(client.query("SELECT count() FROM points").result_rows[0][0])
            if seen and not first_row_s:
                first_row_s = time.monotonic() - began
            if time.monotonic() - began > DEADLINE_S:
                raise SystemExit(f"the Kafka engine stored {seen:,} of {points:,} points in {DEADLINE_S:.0f} s")
        seconds = time.monotonic() - began - first_row_s
        settle(pid)
        used_s = cpu_s(pid) - before_s
        # Runs of several projects have the same names here, and messages don't tell the project: their writers differ.
        found = int(client.query("SELECT uniqExact(run, writer, key, step) FROM points FINAL").result_rows[0][0])
        if found < points:
            raise SystemExit(f"the Kafka engine stored {found:,} of {points:,} points")
        client.command("DROP TABLE expand")
        client.command("DROP TABLE queue")
    return Bare(seen, used_s, first_row_s, seconds)


def _import_engine_untouched() -> None:
    """Put chdb's extension in place without its `__init__`, which opens and closes a session: whoever makes a Kafka
    table afterwards is told that the engine has been shut down."""
    found = importlib.util.find_spec("chdb")
    if found is None or found.submodule_search_locations is None:
        raise SystemExit("chdb is not installed: pip install 'runtide[embedded]'")
    package = ModuleType("chdb")
    package.__path__ = list(found.submodule_search_locations)
    sys.modules["chdb"] = package
    ctypes.CDLL(str(Path(package.__path__[0]) / "_chdb.abi3.so"), mode=sys.getdlopenflags() | os.RTLD_DEEPBIND)


if __name__ == "__main__":
    _import_engine_untouched()
    sys.exit(embedded.main(sys.argv[1:]))
