"""docs/python.md: its examples run, one after the other, and their assertions hold."""

import json
import re
from pathlib import Path
from typing import Any

import pytest

from runtide_storage.ids import key_id
from runtide_storage.writer import Writer
from tests.fixtures.histories import START_MS, Point, Stored
from tests.fixtures.storage import Engine

DOCUMENT = Path(__file__).parents[2] / "docs" / "python.md"


def store(writer: Writer, run_id: str, lr: float, top: float, tags: list[str]) -> None:
    run = Stored(writer, "llm", run_id)
    writer.rows("metrics", [{"id": key_id("val/acc"), "name": "val/acc"}])
    points = [Point("val/acc", step, START_MS + step, top * (step + 1) / 100, 1, 1, step) for step in range(100)]
    run.batch(points, {1: 1})
    start = {"run": run.run, "ts": START_MS * 10**6, "writer": 1, "seq": 1_000, "attempt": 1, "kind": "start"}
    writer.rows("run_events", [start | {"body": json.dumps({"tags": tags})}])
    config = {"run": run.run, "section": "config", "name": "lr", "value": json.dumps(lr), "number": lr, "ts": 1}
    writer.rows("run_values", [config])
    goal = {
        "run": run.run,
        "name": "val/acc",
        "goal": "maximize",
        "step_metric": "",
        "summary": "",
        "alert": "",
        "ts": 1,
    }
    writer.rows("metric_defs", [goal])
    writer.refold([run.run])


def test_the_examples_run(database: Engine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    writer = Writer(database.client())
    store(writer, "a", 0.001, 0.7, [])
    store(writer, "b", 0.1, 0.9, ["prod"])
    store(writer, "c", 0.2, 0.95, ["prod"])
    monkeypatch.setenv("RUNTIDE_CLICKHOUSE", database.url("reader"))
    monkeypatch.chdir(tmp_path)
    names: dict[str, Any] = {}
    for code in re.findall(r"^```python\n(.*?)^```", DOCUMENT.read_text(), re.MULTILINE | re.DOTALL):
        exec(compile(code, str(DOCUMENT), "exec"), names)
    assert (tmp_path / "points.parquet").exists()
