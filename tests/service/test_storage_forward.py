"""A database that the first release filled, brought up to date: nothing is lost, and all of today works."""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any
from uuid import uuid4

import numpy as np
import pytest
from clickhouse_connect.driver.client import Client as Driver

from runtide_storage import Client
from runtide_storage import migrate as module
from runtide_storage.migrate import Script, migrate, migrations, status
from runtide_storage.writer import Writer
from tests.fixtures.histories import START_MS, Point, Stored
from tests.fixtures.storage import Engine

FIRST_VIEWS = Path(__file__).parents[1] / "fixtures" / "first_schema" / "views.sql"
NAMES = ("a", 'o\'brien \\ "x"', "名")
ALERT = {"id": "f" * 32, "ts": START_MS, "kind": "user", "severity": "warn", "title": "hot", "text": "87 degrees"}


@pytest.fixture
def old(clickhouse: Engine, monkeypatch: pytest.MonkeyPatch) -> Engine:
    """As the first release made it: the first migration and the views of then; three runs, one of them relaunched."""
    engine = Engine(clickhouse.server, f"runtide_{uuid4().hex}")
    client = engine.client()
    with monkeypatch.context() as patch:
        first = migrations()[0]
        patch.setattr(module, "migrations", lambda: [first])
        patch.setattr(module, "views", lambda: Script("views.sql", FIRST_VIEWS.read_text()))
        assert migrate(client) == [first.name, "views.sql"]
    writer = Writer(client)
    for number, name in enumerate(NAMES):
        run = Stored(writer, "p", name)
        run.begin()
        points = [Point("loss", step, START_MS + step, step + number / 3, 1, 1, step) for step in range(2_000)]
        points += [Point("acc/val", step, START_MS + step, np.nan, 1, 1, step) for step in range(0, 2_000, 100)]
        if number == 2:
            points += [Point("loss", step, START_MS + 9, -1.0, 2, 2, step) for step in range(1_000, 1_500)]
        run.batch(points, {1: 1, 2: 2})
        value = {"run": run.run, "section": "config", "name": "lr", "value": "0.1", "number": 0.1, "ts": 1}
        writer.rows("run_values", [value])
        fold_as_then(client, run, name, 2 if number == 2 else 1)
    writer.rows(
        "alerts",
        [
            ALERT
            | {
                "run": Stored(writer, "p", "a").run,
                "metric": "",
                "step": 3,
                "state": "open",
                "detail": "{}",
                "version": 1,
            }
        ],
    )
    return engine


def fold_as_then(client: Driver, run: Stored, name: str, attempt: int) -> None:
    row = {"run": run.run, "project": "p", "run_id": name, "state": "running", "attempt": attempt, "version": 1}
    Writer(client).rows(
        "runs",
        [
            row
            | {
                "started_at": START_MS,
                "name": "",
                "group": "",
                "job_type": "",
                "tags": [],
                "notes": "",
                "exit_code": None,
                "ended_at": None,
                "host": "h",
            }
        ],
    )


def read(engine: Engine, views: tuple[str, ...]) -> dict[str, list[Any]]:
    client = engine.client("analyst")
    return {view: sorted(map(str, client.query(f"SELECT * FROM {view}").result_rows)) for view in views}


SAME_SINCE = ("v_points", "v_current_points", "v_config", "v_events", "v_dead_letters", "v_workers")


def test_nothing_is_lost_and_all_of_today_works(old: Engine) -> None:
    before = read(old, SAME_SINCE)
    assert len(before["v_points"]) == 3 * 2_020 + 500 and len(before["v_current_points"]) == 3 * 2_020 - 500
    assert {each.state for each in status(old.client())} == {"applied", "missing", "changed"}
    done = migrate(old.client())
    assert done == [*(script.name for script in migrations()[1:]), "views.sql"]
    assert migrate(old.client()) == [] and read(old, SAME_SINCE) == before
    with Client(old.url("reader")) as client:
        assert {row["run_id"] for row in client.runs(where="config.lr > 0.05")} == set(NAMES)
        curve = client.history("p/名", "loss", points=3_000).to_pylist()
        assert [row["mean"] for row in curve[990:1_010]] == [step + 2 / 3 for step in range(990, 1_000)] + [-1.0] * 10
        assert client.compare("p/a").to_pylist()[0]["metric"] == "acc/val"
        assert [row["title"] for row in client.alerts("p")] == ["hot"]
    for view in (row[0] for row in old.client().query("SHOW TABLES LIKE 'v\\_%'").result_rows):
        old.client("analyst").query(f"SELECT * FROM {view}")
    again = Stored(Writer(old.client()), "p", "new")
    again.begin()
    again.batch([Point("loss", 0, START_MS, 1.0, 1, 1, 0)], {1: 1})
    again.writer.refold([again.run])
    with Client(old.url("reader")) as client:
        assert client.run("p/new")["state"] in ("running", "crashed")


def test_two_at_once_and_one_that_died_half_way(old: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    before = read(old, SAME_SINCE)
    second = migrations()[1]
    client = old.client()
    for statement in second.statements[: len(second.statements) // 2]:  # and then it was killed
        client.command(statement)
    with ThreadPoolExecutor(3) as pool:
        assert any(pool.map(lambda _: migrate(old.client()), range(3)))
    assert {each.state for each in status(client)} == {"applied"} and read(old, SAME_SINCE) == before
