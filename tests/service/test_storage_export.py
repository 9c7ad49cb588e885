"""Out into files: whole or not at all, with every number as it was logged."""

import gzip
import json
import math
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.feather as feather
import pyarrow.parquet as pq
import pytest

from runtide_storage import Client
from runtide_storage.errors import NotFound, QueryError
from runtide_storage.writer import Writer
from tests.fixtures.histories import START_MS, Point, Stored
from tests.fixtures.storage import Engine

HOSTILE = "n\"a'm\\e; DROP TABLE runs --\n\x1b[31m名"


@pytest.fixture
def client(database: Engine) -> Client:
    """Two runs of `p`, the second relaunched at step 3, and a third, whose name is hostile, in `q`."""
    writer = Writer(database.client())
    odd = [1.5, math.nan, math.inf, -math.inf, 0.1 + 0.2]
    first = [Point("loss", step, START_MS + step, value, 1, 1, step) for step, value in enumerate(odd)]
    old = [Point("loss", step, START_MS, 1.0, 1, 1, step) for step in range(5)]
    new = [Point("loss", step, START_MS + 9, 2.0, 2, 2, step) for step in range(3, 6)]
    for project, run_id, points, attempts in (
        ("p", "a", first, {1: 1}),
        ("p", "b", [*old, *new], {1: 1, 2: 2}),
        ("q", HOSTILE, [Point("acc/val", 0, START_MS, 1.0, 1, 1, 0)], {1: 1}),
    ):
        run = Stored(writer, project, run_id)
        run.begin()
        run.batch(points, attempts)
        config = {"run": run.run, "section": "config", "name": "lr", "value": "0.1", "number": 0.1, "ts": 1}
        writer.rows("run_values", [config])
        event = {"run": run.run, "ts": START_MS * 10**6, "writer": 1, "seq": 100, "attempt": 1}
        writer.rows("run_events", [event | {"kind": "note", "body": json.dumps({"text": "hi"})}])
        writer.refold([run.run])
    return Client(database.url("reader"))


def read(path: Path) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]]
    if path.suffix in (".parquet", ".arrow", ".feather"):
        table = pq.read_table(path) if path.suffix == ".parquet" else feather.read_table(path)
        rows = table.to_pylist()
    elif ".csv" in path.name:
        rows = pd.read_csv(path).to_dict("records")
    else:
        text = gzip.decompress(path.read_bytes()).decode() if path.suffix == ".gz" else path.read_text()
        words = {"NaN": math.nan, "Infinity": math.inf, "-Infinity": -math.inf}
        rows = [json.loads(line) for line in text.splitlines()]
        rows = [row | {"value": words.get(row["value"], row["value"])} for row in rows]
    return rows


@pytest.mark.parametrize("name", ["x.parquet", "x.csv", "x.csv.gz", "x.arrow", "x.feather", "x.jsonl", "x.ndjson.gz"])
def test_points_come_out_as_they_were_logged(client: Client, tmp_path: Path, name: str) -> None:
    heard: list[tuple[int, int, int]] = []
    assert client.export(tmp_path / name, project="p", progress=lambda *now: heard.append(now)) == 11
    rows = sorted(read(tmp_path / name), key=lambda row: (row["run_id"], row["step"]))
    assert [(row["run_id"], row["step"], row["attempt"]) for row in rows[:5]] == [("a", step, 1) for step in range(5)]
    values = [row["value"] for row in rows[:5]]
    assert values[0] == 1.5 and math.isnan(values[1]) and values[2:] == [math.inf, -math.inf, 0.1 + 0.2]
    assert [(row["step"], row["value"], row["attempt"]) for row in rows[5:]] == [
        (step, 1.0, 1) if step < 3 else (step, 2.0, 2) for step in range(6)
    ]
    assert heard[-1] == (11, 2, 2) and [path.name for path in tmp_path.iterdir()] == [name]


def test_all_attempts_some_metrics_and_hostile_names(client: Client, tmp_path: Path) -> None:
    path = tmp_path / "x.parquet"
    assert client.export(path, ["p/b"], attempts="all") == 8
    assert client.export(path, where={"name": HOSTILE}, metrics=["acc/val"], overwrite=True) == 1
    assert pq.read_table(path)["run_id"].to_pylist() == [HOSTILE]
    assert client.export(path, ["p/b"], metrics=["nothing'--"], overwrite=True) == 0
    assert pq.read_table(path).num_rows == 0


@pytest.mark.parametrize(
    ("what", "rows", "columns"),
    [
        ("runs", 2, {"project", "run_id", "state", "config"}),
        ("summaries", 2, {"metric", "last", "best"}),
        ("events", 2, {"kind", "body", "writer"}),
        ("values", 2, {"section", "name", "value"}),
        ("alerts", 0, set()),
    ],
)
@pytest.mark.parametrize("suffix", ["parquet", "csv", "jsonl"])
def test_everything_else_can_be_exported_too(
    client: Client, tmp_path: Path, what: Any, rows: int, columns: set[str], suffix: str
) -> None:
    path = tmp_path / f"x.{suffix}"
    assert client.export(path, project="p", what=what) == rows
    if suffix == "parquet":
        assert columns <= set(pq.read_table(path).column_names)
    elif suffix == "jsonl":
        assert all(columns <= json.loads(line).keys() for line in path.read_text().splitlines())
    else:
        assert columns <= set(path.read_text().partition("\n")[0].replace('"', "").split(","))


def test_a_file_that_exists_is_kept_and_a_broken_off_export_leaves_nothing(client: Client, tmp_path: Path) -> None:
    path = tmp_path / "x.csv"
    path.write_text("mine")
    with pytest.raises(QueryError, match="overwrite=True"):
        client.export(path, project="p")

    def interrupt(*_: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        client.export(path, project="p", overwrite=True, progress=interrupt)
    assert path.read_text() == "mine" and list(tmp_path.iterdir()) == [path]


def test_what_can_not_be_exported_is_told(client: Client, tmp_path: Path) -> None:
    with pytest.raises(QueryError, match=r"which format\?"):
        client.export(tmp_path / "x.xlsx", project="p")
    with pytest.raises(QueryError, match="there is no 'weights'"):
        client.export(tmp_path / "x.csv", project="p", what="weights")  # type: ignore[arg-type]
    with pytest.raises(NotFound):
        client.export(tmp_path / "x.csv", project="nobody")
    with pytest.raises(OSError, match="No such file"):
        client.export(tmp_path / "none" / "x.csv", project="p")
    assert list(tmp_path.iterdir()) == []


def test_a_result_is_read_by_whatever_reads_arrow(client: Client) -> None:
    result = client.history("p/a", "loss")
    assert pa.table(result).num_rows == 5  # the PyCapsule interface
    assert result.to_pandas()["step"].tolist() == [0, 1, 2, 3, 4]
