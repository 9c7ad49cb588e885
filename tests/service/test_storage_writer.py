"""The writer on the real engine: values survive exactly, errors are told apart."""

import math
import struct
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest
import xxhash

from runtide_storage import writer as module
from runtide_storage.connect import connect
from runtide_storage.errors import Rejected, Unreachable
from runtide_storage.ids import key_id, run_key, writer_key
from runtide_storage.migrate import migrate
from runtide_storage.writer import StoredWriter, Touched, Writer
from runtide_workers.embedded.clickhouse import ClickHouse
from tests.fixtures.histories import START_MS, Point, Stored, columns
from tests.fixtures.stack import free_port_base
from tests.fixtures.storage import Engine

HOSTILE = [
    "",
    "a",
    "it's",
    'say "hi"',
    "back\\slash\\n",
    "tab\there",
    "ünï\u2028cödé 😀",
    "{a:String}",
    "%s%(x)s",
    "x" * 10_000,
]


def test_ids_are_what_clickhouse_computes(database: Engine) -> None:
    client = database.client("reader")
    for name in HOSTILE:
        assert client.query("SELECT xxHash64({n:String})", {"n": name}).result_rows == [
            (xxhash.xxh64_intdigest(name.encode()),)
        ]
    assert client.command("SELECT xxHash64('llm/k3v9')") == run_key("llm", "k3v9")
    assert key_id("train/loss") == writer_key("train/loss") == xxhash.xxh64_intdigest(b"train/loss")


def test_points_survive_bit_by_bit(database: Engine, writer: Writer) -> None:
    values = [0.1, -0.0, math.inf, -math.inf, math.nan, 5e-324, 1.7976931348623157e308, 2.0**53 + 2, -1 / 3]
    points = [Point("m", step, ts, value, 65535, 2**64 - 1, 2**63) for step, ts, value in zip(
        [-(2**63), -1, 0, 1, 2, 3, 4, 5, 2**63 - 1], [1, *[START_MS] * 7, 9_223_372_036_854], values, strict=True
    )]  # fmt: skip
    writer.points(columns(2**64 - 1, points))
    sql = "SELECT step, toUnixTimestamp64Milli(ts), reinterpretAsUInt64(value), attempt, writer, seq FROM points"
    assert database.client().query(f"{sql} ORDER BY step").result_rows == [
        (p.step, p.ts_ms, struct.unpack("<Q", struct.pack("<d", p.value))[0], p.attempt, p.writer, p.seq)
        for p in points
    ]


def test_big_inserts_are_split(database: Engine, writer: Writer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "POINTS_PER_INSERT_MAX", 7)
    writer.points(columns(1, [Point("m", step, START_MS, float(step), 1, 1, step) for step in range(30)]))
    assert database.client().query("SELECT count(), sum(value), uniqExact(seq) FROM points").result_rows == [
        (30, 435.0, 30)
    ]
    writer.points(columns(1, []))


def test_a_point_twice_in_one_insert_is_one(database: Engine, writer: Writer) -> None:
    """The server does not look for that when it inserts; FINAL does, in a part that was never merged too."""
    writer.points(columns(1, [Point("m", step // 2, START_MS, float(step // 2), 1, 1, step // 2) for step in range(8)]))
    count = "SELECT count(), sum(value) FROM points"
    assert database.client().query(count).result_rows == [(8, 12.0)]
    assert database.client().query(f"{count} FINAL").result_rows == [(4, 6.0)]


def test_hostile_strings_survive(database: Engine, writer: Writer) -> None:
    writer.rows("metrics", [{"id": i, "name": name} for i, name in enumerate(HOSTILE)])
    assert [name for (name,) in database.client().query("SELECT name FROM metrics ORDER BY id").result_rows] == HOSTILE


def test_writers_and_their_intervals(writer: Writer) -> None:
    row = {"project": "p", "run_id": "r", "writer_id": "w", "host": "h", "pid": 1, "started_at": START_MS}
    pairs = [(1, writer) for writer in range(2_500)]
    writer.rows("writers", [row | {"run": 1, "writer": w, "attempt": 1 + w % 2, "rank": w} for _, w in pairs])
    writer.rows(
        "ingest_progress",
        [{"run": 1, "writer": 7, "first": first, "next": after, "point_at": at}
         for first, after, at in [(0, 5, 100), (9, 12, 50), (0, 6, 90)]],
    )  # fmt: skip
    found = writer.load_writers([*pairs, (2, 0)])
    assert len(found) == 2_500 and (2, 0) not in found
    assert found[1, 7] == StoredWriter(2, 7, [(0, 6), (9, 12)], 90)
    assert found[1, 8] == StoredWriter(1, 8)
    attempts = writer.load_attempts([1, 2])
    assert attempts[2] == [] and len(attempts[1]) == 2_500
    assert attempts[1][0][:2] == (1, 0) and attempts[1][0][3] == START_MS
    assert writer.load_writers([]) == {} and writer.load_attempts([]) == {}


@pytest.mark.parametrize(
    ("table", "row"),
    [
        ("metrics", {"id": -1, "name": "n"}),
        ("metrics", {"id": 1, "name": "\ud800"}),
        ("metrics", {"id": 1, "name": None}),
        ("metrics", {"nope": 1}),
        ("run_values", {"run": 1, "section": "nope", "name": "n", "value": "1", "number": None, "ts": 1}),
    ],
)
def test_bad_rows_are_rejected(writer: Writer, table: str, row: dict[str, object]) -> None:
    with pytest.raises(Rejected):
        writer.rows(table, [row])


def test_bad_points_are_rejected(writer: Writer) -> None:
    good = columns(1, [Point("m", 1, START_MS, 1.0, 1, 1, 1)])
    with pytest.raises(Rejected, match="step"):
        writer.points(good | {"step": np.array(["a"])})
    with pytest.raises(Rejected, match="step"):
        writer.points(good | {"step": np.array([1, 2])[:0]})


def test_what_is_not_the_rows_fault_may_work_later(database: Engine, tmp_path: Path) -> None:
    reader = Writer(database.client("reader"))
    with pytest.raises(Unreachable, match="privileges"):
        reader.rows("metrics", [{"id": 1, "name": "n"}])
    with pytest.raises(Unreachable, match="runtide migrate"):
        Writer(database.client()).rows("no_such_table", [{"id": 1}])


def test_an_outage_and_its_end(tmp_path: Path) -> None:
    with ClickHouse(tmp_path, free_port_base()) as server:
        client = connect(server.url())
        migrate(client)
        writer = Writer(client)
        points = [Point("loss", step, START_MS, 1.0, 1, 1, step) for step in range(3)]
        run = Stored(writer, "p", "r")
        run.begin()
        run.batch(points, {1: 1})
        server.kill()
        for act in (
            lambda: run.batch(points, {1: 1}),
            lambda: writer.points(columns(run.run, points)),
            lambda: writer.load_writers([(1, 1)]),
            lambda: writer.refold([run.run]),
            lambda: writer.rollup([Touched(run.run)]),
            writer.stale_rollups,
        ):
            with pytest.raises(Unreachable, match="can't be reached"):
                act()
        server.start()
        server.wait_ready()
        run.batch(points, {1: 1})
        writer.refold([run.run])
        assert client.query("SELECT count() FROM v_points").result_rows == [(3,)]
        server.kill()


def test_a_broken_connection_is_tried_once_more(database: Engine) -> None:
    """ClickHouse closes connections that were idle; the next insert must not fail for that."""
    client = database.client()
    writer = Writer(client)
    writer.rows("metrics", [{"id": 1, "name": "a"}])
    for pool in client._backend.http.pools._container.values():  # type: ignore[attr-defined]
        connection = pool.pool.queue[-1]  # used next; clients share pools, and others may wait behind it
        if connection is not None and connection.sock is not None:
            with suppress(OSError):  # the pool of a server that is gone
                connection.sock.shutdown(2)  # as if the server had closed it
    writer.rows("metrics", [{"id": 2, "name": "b"}])
    assert client.query("SELECT count() FROM metrics FINAL").result_rows == [(2,)]
