"""`wandb.Api` over a real ClickHouse: runs, filters, orders, and every point."""

import json
import math
from typing import Any

import pytest

import runtide as wandb
from runtide_storage.ids import key_id
from runtide_storage.writer import Touched, Writer
from tests.fixtures.histories import START_MS, Point, Stored, columns
from tests.fixtures.storage import Engine

STEPS = 40


def store(writer: Writer, run_id: str, lr: float, tags: list[str], at_ms: int) -> None:
    """A run with `loss` at every step and `acc` at every second one."""
    run = Stored(writer, "api", run_id)
    writer.rows("metrics", [{"id": key_id(name), "name": name} for name in ("loss", "acc")])
    points = [Point("loss", step, at_ms + step, lr * step, 1, 1, step) for step in range(STEPS)]
    points += [Point("acc", step, at_ms + step, math.nan if step == 0 else 1 / step, 1, 1, step)
               for step in range(0, STEPS, 2)]  # fmt: skip
    writer.rows("writers", [
        {"run": run.run, "writer": 1, "project": "api", "run_id": run_id, "writer_id": "w1", "attempt": 1, "rank": 0,
         "host": "h", "pid": 1, "started_at": at_ms}
    ])  # fmt: skip
    writer.points(columns(run.run, points))
    writer.rollup([Touched(run.run, 0, STEPS)])
    start = {"run": run.run, "ts": at_ms * 10**6, "writer": 1, "seq": 1_000, "attempt": 1, "kind": "start"}
    writer.rows("run_events", [start | {"body": json.dumps({"tags": tags, "name": f"run {run_id}"})}])
    values = [("config", "lr", lr), ("config", "optimizer/name", "adam"), ("summary", "best", lr * 2)]
    writer.rows("run_values", [
        {"run": run.run, "section": section, "name": name, "value": json.dumps(value),
         "number": value if isinstance(value, float) else None, "ts": 1}
        for section, name, value in values
    ])  # fmt: skip
    writer.refold([run.run])


@pytest.fixture
def api(database: Engine, writer: Writer, monkeypatch: pytest.MonkeyPatch) -> Any:
    for number, (run_id, lr, tags) in enumerate([("a", 0.1, []), ("b", 0.2, ["prod"]), ("c", 0.4, ["prod", "x"])]):
        store(writer, run_id, lr, tags, START_MS + number * 1_000)
    monkeypatch.setenv("RUNTIDE_CLICKHOUSE", database.url("reader"))
    return wandb.Api(timeout=10)


def ids(runs: Any) -> list[str]:
    return [run.id for run in runs]


def test_runs_filters_and_orders(api: Any) -> None:
    runs = api.runs("us/api", per_page=2)
    assert len(runs) == 3 and ids(runs) == ["a", "b", "c"]
    assert (runs[0].id, runs[-1].id, ids(runs[1:])) == ("a", "c", ["b", "c"])
    with pytest.raises(IndexError):
        _ = runs[3]
    assert ids(api.runs("api", order="-created_at")) == ["c", "b", "a"]
    assert ids(api.runs("api", {"created_at": {"$gt": "2025-11-21T03:55:42Z"}})) == ["c"]
    assert ids(api.runs("api", {"config.lr": {"$gt": 0.15}}, order="-config.lr")) == ["c", "b"]
    assert ids(api.runs("api", {"$and": [{"tags": "prod"}, {"tags": {"$nin": ["x"]}}]})) == ["b"]
    assert ids(api.runs("api", {"display_name": {"$regex": "^run [ab]$"}, "config.lr": {"$ne": 0.2}})) == ["a"]
    assert ids(api.runs("api", {"summary_metrics.best": {"$lte": 0.4}})) == ["a", "b"]
    assert ids(api.runs("none")) == []


def test_a_run(api: Any) -> None:
    run = api.run("us/api/b")
    assert (run.id, run.name, run.project, run.tags, run.path) == ("b", "run b", "api", ["prod"], ["api", "b"])
    assert run.config == {"lr": 0.2, "optimizer/name": "adam"}
    assert run.summary["best"] == 0.4 and run.summary["loss"] == 0.2 * (STEPS - 1)
    assert run.lastHistoryStep == STEPS - 1
    assert api.run("api/b").state == run.state
    with pytest.raises(wandb.RuntideError, match="not here"):
        run.update()
    with pytest.raises(wandb.RuntideError, match="not here"):
        api.artifact("x")


def test_every_point(api: Any) -> None:
    run = api.run("api/a")
    rows = list(run.scan_history())
    assert [row["_step"] for row in rows] == list(range(STEPS))
    assert [row["loss"] for row in rows] == [0.1 * step for step in range(STEPS)]
    assert [row["_step"] for row in rows if "acc" in row] == list(range(0, STEPS, 2))
    assert rows[1]["_timestamp"] == pytest.approx((START_MS + 1) / 1e3)
    both = list(run.scan_history(keys=["loss", "acc"], min_step=2, max_step=6))
    assert [(row["_step"], row["acc"]) for row in both] == [(2, 0.5), (4, 0.25)]


def test_history(api: Any) -> None:
    run = api.run("api/a")
    frame = run.history(keys=["loss", "_step"])
    assert frame["loss"].tolist() == [0.1 * step for step in range(STEPS)]
    rows = run.history(samples=10, pandas=False)
    assert 2 <= len(rows) <= 20 and rows[-1]["loss"] == 0.1 * (STEPS - 1)
    assert run.history(keys=[], pandas=False) == []
