"""The parts of storage that need no server."""

import math
from datetime import UTC, datetime

import numpy as np
import pyarrow as pa
import pytest

from runtide_storage.axes import INT64_MAX, INT64_MIN, MetricAxis, RelativeAxis, StepAxis, TimeAxis
from runtide_storage.connect import Endpoint
from runtide_storage.errors import QueryError, Rejected, StorageError, Unreachable
from runtide_storage.migrate import Script, migrations, views
from runtide_storage.native import POINT_COLUMNS, arrow_rows, arrow_type, native_points
from runtide_storage.rollup import GROUP_STEPS_MAX, STEP_MAX, STEP_MIN, Touched, _groups, _merge
from runtide_storage.settings import DEFAULT_URL, clickhouse_url
from runtide_storage.statements import statements


def test_retriable_is_on_the_class() -> None:
    assert Unreachable.retriable and not Rejected.retriable and not QueryError.retriable
    assert Rejected("too long").reason == "too long"
    assert str(Unreachable()) == "ClickHouse can't do it now."


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("http://h", ("h", 8123, "runtide", "default", "", False)),
        ("https://u:p%40%2F@h/db", ("h", 8443, "db", "u", "p@/", True)),
        ("http://u:@127.0.0.1:17701/runtide", ("127.0.0.1", 17701, "runtide", "u", "", False)),
    ],
)
def test_endpoints(url: str, expected: tuple[object, ...]) -> None:
    found = Endpoint.parse(url)
    assert (found.host, found.port, found.database, found.username, found.password, found.secure) == expected
    assert Endpoint.parse(found.url) == found


@pytest.mark.parametrize("url", ["", "h:1", "ftp://h", "http://", "http://u:secret@h:port/db", "http://u:secret/x@h"])
def test_bad_endpoints_are_named_without_the_password(url: str) -> None:
    with pytest.raises(StorageError, match="RUNTIDE_CLICKHOUSE: expected http") as caught:
        Endpoint.parse(url)
    assert "secret" not in str(caught.value)


def test_an_endpoint_hides_its_password() -> None:
    found = Endpoint.parse("http://u:secret@h:1/db")
    assert "secret" not in f"{found!r} {found}"


def test_where_clickhouse_is(tmp_path: object) -> None:
    home = {"RUNTIDE_HOME": str(tmp_path)}
    assert clickhouse_url("writer", home) == DEFAULT_URL
    with open(f"{tmp_path}/stack.json", "w") as file:
        file.write('{"clickhouse": "http://w@h/d", "clickhouse_reader": "http://r@h/d", "clickhouse_analyst": 5}')
    assert clickhouse_url("writer", home) == "http://w@h/d"
    assert clickhouse_url("reader", home) == "http://r@h/d"
    assert clickhouse_url("analyst", home) == DEFAULT_URL
    given = home | {"RUNTIDE_CLICKHOUSE": "http://x/", "RUNTIDE_CLICKHOUSE_ANALYST": "http://a/"}
    assert [clickhouse_url("writer", given), clickhouse_url("reader", given)] == ["http://x/", "http://x/"]
    assert clickhouse_url("analyst", given) == "http://a/"


def test_native_points_refuse_what_does_not_fit() -> None:
    columns: dict[str, np.ndarray] = {name: np.zeros(3, kind) for name, (kind, _) in POINT_COLUMNS.items()}
    assert native_points(columns, 0, 3).startswith(bytes([len(POINT_COLUMNS), 3]))
    assert native_points(columns | {"attempt": np.zeros(3, np.uint8)}, 0, 3) == native_points(columns, 0, 3)
    for wrong in (np.zeros(2, np.float64), np.zeros((3, 1)), np.array(["a"] * 3), np.zeros(3, np.complex128)):
        with pytest.raises(ValueError, match="value"):
            native_points(columns | {"value": wrong}, 0, 3)
    del columns["seq"]
    with pytest.raises(ValueError, match="seq"):
        native_points(columns, 0, 3)


def test_rows_to_arrow() -> None:
    types = {"id": "UInt64", "at": "DateTime64(9, 'UTC')", "tags": "Array(String)", "code": "Nullable(Int32)"}
    table = arrow_rows([{"id": 2**64 - 1, "at": 5, "tags": ["a"], "code": None}], types)
    assert table.schema.field("at").type == pa.timestamp("ns", "UTC")
    assert table["id"].to_pylist() == [2**64 - 1]
    assert arrow_type("LowCardinality(Nullable(String))") == pa.string()
    for row in ({"nope": 1}, {"id": -1}, {"id": "x"}, {"id": 2**64}, {"tags": 5}):
        with pytest.raises((ValueError, TypeError)):
            arrow_rows([row], types)
    with pytest.raises(ValueError, match="without the column"):
        arrow_rows([{"id": 1, "code": 1}, {"id": 2}], types)
    with pytest.raises(ValueError, match="no Arrow type"):
        arrow_type("AggregateFunction(sum, UInt8)")


def test_scripts_are_split_at_semicolons_that_end_a_line() -> None:
    assert [statement.splitlines()[-1] for statement in Script("x", "SELECT 1;\nSELECT\n 2;\n-- c\n").statements] == [
        "SELECT 1",
        " 2",
    ]
    assert [script.name for script in migrations()] == sorted(script.name for script in migrations())
    assert all(statement.startswith(("CREATE", "--")) for statement in views().statements)


@pytest.mark.parametrize("file", ["rollup.sql", "history.sql", "client.sql"])
def test_statements_have_names(file: str) -> None:
    found = statements(file)
    assert found and all(found.values())


def test_touched_ranges_are_merged_and_widened_to_buckets() -> None:
    assert _merge([Touched(1, 5, 6), Touched(1, 2000, 2000), Touched(2, -1, -1)]) == [
        Touched(1, 0, 2047),
        Touched(2, -1024, -1),
    ]
    assert _merge([Touched(1)]) == [Touched(1, STEP_MIN, STEP_MAX)]


def test_near_ranges_are_recomputed_together_and_far_ones_apart() -> None:
    near = [Touched(run, run * 1024, run * 1024 + 1023) for run in range(20)]
    far = Touched(99, 10 * GROUP_STEPS_MAX, 10 * GROUP_STEPS_MAX + 1023)
    whole = Touched(100)
    assert list(_groups([*near, far, whole, Touched(101)])) == [[whole, Touched(101)], near, [far]]
    assert list(_groups([])) == []


def test_windows() -> None:
    step, time = StepAxis(), TimeAxis()
    assert (step.edge(2.5, True), step.edge(2.5, False)) == (3, 2)
    assert (step.edge(-math.inf, True), step.edge(math.inf, False)) == (INT64_MIN, INT64_MAX)
    assert time.edge(datetime(2026, 1, 1, tzinfo=UTC), True) == time.edge(datetime(2026, 1, 1), True)  # noqa: DTZ001
    assert step.window(INT64_MIN, INT64_MAX) == "true"
    for wrong in ("1", None, True, math.nan, "1 OR 1=1"):
        with pytest.raises(QueryError, match="window"):
            step.edge(wrong, True)
    with pytest.raises(QueryError):
        RelativeAxis({}).edge(datetime(2026, 1, 1, tzinfo=UTC), True)


@pytest.mark.parametrize("axis", [StepAxis(), MetricAxis({1: (-3.0, 5.0)})])
@pytest.mark.parametrize(
    ("lo", "hi"), [(0, 0), (-1, 0), (0, 999), (-(2**63), 2**63 - 1), (2**62, 2**62 + 7), (-5000, 5000)]
)
@pytest.mark.parametrize("points", [1, 2, 3, 100, 1000])
def test_buckets_are_the_narrowest_that_do(axis: StepAxis, lo: int, hi: int, points: int) -> None:
    shift = axis.shift(lo, hi, points)
    assert (hi >> shift) - (lo >> shift) < max(points, 2)
    assert shift == 0 or (hi >> (shift - 1)) - (lo >> (shift - 1)) >= max(points, 2)
