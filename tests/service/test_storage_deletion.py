"""Deleted runs are gone, stay gone whatever arrives, and a deletion that was broken off is finished."""

import json

import pytest
from clickhouse_connect.driver.client import Client as Driver

from runtide_storage import Client
from runtide_storage.deletion import Deletions
from runtide_storage.errors import NotFound
from runtide_storage.reader import Reader
from runtide_storage.runs import RunName, resolve
from runtide_storage.writer import Touched, Writer
from tests.fixtures.histories import START_MS, Point, Stored
from tests.fixtures.storage import Engine
from tests.fixtures.waiting import wait_until

TABLES = (
    "runs",
    "points",
    "tiers",
    "writers",
    "run_events",
    "run_values",
    "metric_defs",
    "alerts",
    "verdicts",
    "run_plans",
    "ingest_progress",
)


@pytest.fixture
def driver(database: Engine) -> Driver:
    return database.client()


@pytest.fixture
def deletions(driver: Driver) -> Deletions:
    return Deletions(driver)


def stored(driver: Driver, run_id: str, project: str = "p") -> Stored:
    """A run with a row in every table."""
    writer = Writer(driver)
    run = Stored(writer, project, run_id)
    run.begin()
    run.batch([Point("loss", step, START_MS, float(step), 1, 1, step) for step in range(50)], {1: 1})
    one = {"run": run.run}
    event = one | {"ts": START_MS * 10**6, "writer": 1, "seq": 1, "attempt": 1, "kind": "start", "body": json.dumps({})}
    writer.rows("run_events", [event])
    writer.rows("run_values", [one | {"section": "config", "name": "lr", "value": "1", "number": 1.0, "ts": 1}])
    goal = {"name": "loss", "goal": "minimize", "step_metric": "", "summary": "", "alert": "", "ts": 1}
    writer.rows("metric_defs", [one | goal])
    alert = one | {"id": f"{run.run:032x}", "ts": START_MS, "kind": "regression", "severity": "page", "title": "t"}
    alert |= {"text": "", "metric": "loss", "step": 1, "state": "open", "detail": "{}", "version": 1}
    writer.rows("alerts", [alert | {"incident": "", "quiet": 0}])
    said = {"id": alert["id"], "action": "acknowledge", "who": "ada", "reason": "", "at": START_MS}
    writer.rows("alert_actions", [said])
    verdict = one | {"metric": "", "verdict": "same", "reason": "", "goal": "", "step": None, "value": None}
    verdict |= {"baseline": None, "effect": None, "low": None, "high": None, "n": 3, "made_at": START_MS}
    writer.rows("verdicts", [verdict])
    plan: dict[str, object] = {"family": 7, "fields": "{}", "members": [], "goals": "{}", "primary": ""}
    plan |= one | {"threshold": None}
    writer.rows("run_plans", [plan | {"stall_s": 0.0, "planned_at": START_MS, "rank": 1}])
    writer.rows("ingest_progress", [one | {"writer": 1, "first": 0, "next": 51, "point_at": START_MS}])
    writer.refold([run.run])
    return run


def named(driver: Driver, *runs: Stored) -> list[RunName]:
    return resolve(Reader(driver), [run.ref for run in runs])


def left(driver: Driver, run: Stored) -> dict[str, int]:
    """Table -> rows of the run that are still there."""
    counts = {
        table: driver.query(f"SELECT count() FROM {table} WHERE run = {run.run}").result_rows[0][0] for table in TABLES
    }
    return {table: n for table, n in counts.items() if n}


def test_a_deleted_run_is_gone_and_others_stay(driver: Driver, client: Client, deletions: Deletions) -> None:
    gone, kept = stored(driver, "gone"), stored(driver, "kept")
    assert set(left(driver, gone)) == set(TABLES)
    deletions.delete(named(driver, gone), "ada", "a mistake")
    assert [row["run_id"] for row in client.runs()] == ["kept"]
    assert [row["run_id"] for row in client.alerts()] == ["kept"]
    with pytest.raises(NotFound):
        client.history("p/gone", "loss")
    for view in ("v_points", "v_summary", "v_config", "v_events", "v_alerts", "v_verdicts", "v_plans", "v_writers"):
        ids = {row["run_id"] for row in client.sql(f"SELECT DISTINCT run_id FROM {view}")}
        assert ids == {"kept"}, view
    wait_until(lambda: left(driver, gone) == {}, 30, or_else="rows are left")
    assert set(left(driver, kept)) == set(TABLES)
    assert len(client.history("p/kept", "loss")) == 50
    [tombstone] = deletions.buried("gone")
    assert (tombstone["who"], tombstone["reason"], tombstone["project"]) == ("ada", "a mistake", "p")


def test_what_arrives_later_is_never_shown_and_swept_away(driver: Driver, client: Client, deletions: Deletions) -> None:
    run = stored(driver, "gone")
    deletions.delete(named(driver, run), "ada", "")
    late = stored(driver, "gone")  # as a worker would that had it in hand; refold makes no row
    assert client.runs().to_pylist() == [] and client.sql("SELECT count() AS n FROM v_points").to_pylist() == [{"n": 0}]
    late.writer.rollup([Touched(late.run)])
    assert deletions.sweep(fresh_s=0) == [late.run]
    wait_until(lambda: left(driver, late) == {}, 30, or_else="rows are left")
    assert deletions.sweep(fresh_s=0) == []


def test_a_deletion_that_was_broken_off_is_finished_by_a_sweep(driver: Driver, deletions: Deletions) -> None:
    run, other = stored(driver, "gone"), stored(driver, "kept")
    [name] = named(driver, run)
    tombstone = {"run": name.key, "project": "p", "run_id": "gone", "at": 1, "who": "ada", "reason": ""}
    Writer(driver).rows("deletions", [tombstone])  # killed right after it
    assert deletions.sweep(fresh_s=0) == [run.run]
    wait_until(lambda: left(driver, run) == {}, 30, or_else="rows are left")
    assert set(left(driver, other)) == set(TABLES)


def test_deleting_twice_keeps_the_first_word(driver: Driver, deletions: Deletions) -> None:
    run = named(driver, stored(driver, "gone"))
    deletions.delete(run, "ada", "first")
    deletions.delete(run, "bob", "second")
    assert [row["who"] for row in deletions.buried("p/gone")] == ["ada"]


def test_many_runs_at_once_with_hostile_names(driver: Driver, client: Client, deletions: Deletions) -> None:
    names = ["a'b", 'c"d', "e\\f", "名", "x); DROP TABLE points; --"]
    runs = [stored(driver, name, "q'; --") for name in names]
    stored(driver, "kept")
    deletions.delete(named(driver, *runs), "o'brien", "it's \\ done")
    assert [row["run_id"] for row in client.runs()] == ["kept"]
