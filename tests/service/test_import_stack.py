"""Imports through the real stack: real stores of other trackers, and every number asked back from ClickHouse."""

import json
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from runtide import cli
from tests.fixtures.import_stores import (
    ODD,
    Logged,
    Points,
    mlflow_points,
    mlflow_run,
    mlflow_store,
    neptune_export,
    same,
    tensorboard_run,
)
from tests.fixtures.stack import Stack
from tests.fixtures.waiting import wait_until

pytest.importorskip("tensorboard", reason="the extra `import` is not installed")
pytest.importorskip("mlflow", reason="the extra `import` is not installed")

POINTS = """
SELECT run_id, metric, step, toUnixTimestamp64Milli(ts) AS ms, value FROM {view}
WHERE project = {{project:String}} AND NOT startsWith(metric, 'system/') ORDER BY run_id, metric, step, ms
"""
LIVE = """
import sys, runtide
from tests.fixtures.import_stores import curve
with runtide.init(project=sys.argv[1], id=sys.argv[2], group="g", settings={"system_interval_s": 0}) as run:
    run.define_metric("val/loss", goal="minimize")
    for step, value in enumerate(curve(99, 200, float(sys.argv[3]))):
        run.log({"val/loss": value}, step=step)
"""


def stored(stack: Stack, project: str, view: str = "v_points") -> dict[str, Points]:
    """run id -> its points."""
    found: dict[str, Logged] = {}
    rows = stack.client.sql(POINTS.format(view=view), {"project": project}).to_pylist()
    for row in rows:
        found.setdefault(row["run_id"], Logged()).add(row["metric"], row["step"], row["ms"], row["value"])
    return {run_id: logged.sorted() for run_id, logged in found.items()}


def exactly(stack: Stack, project: str, expected: dict[str, Logged]) -> None:
    """Every point once, with its value, step and time."""
    found = stored(stack, project)
    assert found.keys() == expected.keys()
    assert [run_id for run_id, logged in expected.items() if not same(found[run_id], logged.sorted())] == []


Bring = Callable[..., dict[str, Any]]


@pytest.fixture
def bring(stack: Stack, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Bring:
    """`runtide import ARGUMENTS`, in this process: importing MLflow takes seconds."""
    monkeypatch.setenv("RUNTIDE_HOME", stack.env["RUNTIDE_HOME"])

    def bring(*arguments: object) -> dict[str, Any]:
        code = cli.main(["import", *map(str, arguments), "--json"])
        printed = capsys.readouterr()
        assert code == 0, f"exit {code}: {printed.out}{printed.err}"
        found: dict[str, Any] = json.loads(printed.out)
        return found

    return bring


def statuses(report: dict[str, Any]) -> dict[str, tuple[str, int]]:
    return {run["run_id"]: (run["status"], run["points"]) for run in report["runs"]}


def rows_of(stack: Stack, project: str) -> dict[str, dict[str, Any]]:
    return {row["run_id"]: row for row in stack.client.runs(project=project).to_pylist()}


def events(stack: Stack, project: str) -> int:
    found = stack.client.sql("SELECT count() AS n FROM v_events WHERE project = {p:String}", {"p": project}).to_pylist()
    return int(found[0]["n"])


@pytest.fixture(scope="module")
def database(tmp_path_factory: pytest.TempPathFactory) -> str:
    """An SQLite store of MLflow: making its tables takes seconds."""
    return f"sqlite:///{tmp_path_factory.mktemp('mlflow')}/mlflow.db"


def test_tensorboard(stack: Stack, bring: Bring, project: str, tmp_path: Path) -> None:
    expected = {
        "one": tensorboard_run(tmp_path / "one", 1, 300),
        "two": tensorboard_run(tmp_path / "two", 2, 300, tensors=True),
    }
    for name, points in tensorboard_run(tmp_path / "two", 2, 50, first=300).points.items():  # a second file
        expected["two"].points[name] += points
    report = bring("tensorboard", tmp_path, "--project", project, "--group", "g", "--tag", "old")
    assert {status for status, _ in statuses(report).values()} == {"imported"}
    exactly(stack, project, expected)
    row = rows_of(stack, project)["two"]
    assert (row["state"], row["group"], row["tags"], row["attempt"]) == ("finished", "g", ["old"], 1)
    assert row["started_at"].timestamp() * 1000 == min(at for _, at, _ in expected["two"].points["acc"])

    before = events(stack, project)
    again = bring("tensorboard", tmp_path, "--project", project, "--group", "g", "--tag", "old")
    assert statuses(again) == dict.fromkeys(expected, ("unchanged", 0))
    forced = bring("tensorboard", tmp_path, "--project", project, "--group", "g", "--tag", "old", "--again")
    assert {status for status, _ in statuses(forced).values()} == {"imported"}
    exactly(stack, project, expected)
    assert events(stack, project) == before
    assert {row["attempt"] for row in rows_of(stack, project).values()} == {1}


@pytest.mark.parametrize("kind", ["files", "sqlite"])
def test_mlflow(stack: Stack, bring: Bring, project: str, tmp_path: Path, database: str, kind: str) -> None:
    client = mlflow_store(database if kind == "sqlite" else f"file://{tmp_path}/mlruns")
    experiment = client.create_experiment(project)
    odd = [value for value in ODD if kind == "files" or value != 0]  # databases have no sign of zero
    expected = dict(
        [
            mlflow_run(client, experiment, 1, 250, odd=odd),
            mlflow_run(client, experiment, 2, 40, status="FAILED"),
            mlflow_run(client, experiment, 3, 30, status="KILLED"),
        ]
    )
    store = database.removeprefix("sqlite:///") if kind == "sqlite" else tmp_path / "mlruns"
    report = bring("mlflow", store, "--experiment", project)
    found = rows_of(stack, report["runs"][0]["project"])
    place = report["runs"][0]["project"]
    exactly(stack, place, expected)
    assert [found[run_id]["state"] for run_id in expected] == ["finished", "failed", "killed"]
    run_id = next(iter(expected))
    assert (found[run_id]["name"], found[run_id]["tags"]) == ("seed 1", ["team=vision"])
    values = {
        (v["section"], v["name"]): json.loads(v["value"]) for v in stack.client.values(f"{place}/{run_id}").to_pylist()
    }
    assert {name: value for (section, name), value in values.items() if section == "config"} == {
        "lr": 0.001, "depth": 3, "augment": True, "api_token": "***",
    }  # fmt: skip
    assert values["meta", "git/commit"] == f"{1:040x}"


def test_neptune_and_tables(stack: Stack, bring: Bring, project: str, tmp_path: Path) -> None:
    expected = {f"RUN-{n}": neptune_export(tmp_path / "data" / "ws_p-00", "ws/p", f"RUN-{n}", n, 120) for n in (1, 2)}
    report = bring("neptune", tmp_path / "data", "--project", project)
    assert [run["left_out"] for run in report["runs"]] == [{"values of kind file": 1}] * 2
    exactly(stack, project, expected)
    assert [rows_of(stack, project)[run_id]["state"] for run_id in expected] == ["finished", "failed"]

    table = tmp_path / "long.parquet"
    rows = [
        {"run": run_id, "metric": metric, "step": step, "value": value, "timestamp": at_ms}
        for run_id, logged in expected.items()
        for metric, points in logged.points.items()
        for step, at_ms, value in points
    ]
    pq.write_table(pa.Table.from_pylist(rows), table)
    bring("csv", table, "--project", f"{project}-2")
    exactly(stack, f"{project}-2", expected)


def test_a_run_that_goes_on_gets_only_what_is_new(stack: Stack, bring: Bring, project: str, tmp_path: Path) -> None:
    client = mlflow_store(f"file://{tmp_path}/mlruns")
    experiment = client.create_experiment("x")
    run_id, logged = mlflow_run(client, experiment, 1, 100, status="RUNNING")
    arguments = ["mlflow", tmp_path / "mlruns", "--project", project]
    assert statuses(bring(*arguments)) == {run_id: ("imported", 200)}
    assert rows_of(stack, project)[run_id]["state"] == "killed"

    for first, steps in ((100, 20), (120, 1)):
        for name, points in mlflow_points(client, run_id, 1, first, steps).points.items():
            logged.points[name] += points
        assert statuses(bring(*arguments)) == {run_id: ("grown", 2 * steps)}
        exactly(stack, project, {run_id: logged})
    client.set_terminated(run_id, end_time=1_900_000_000_000)
    client.set_tag(run_id, "best", "")
    assert statuses(bring(*arguments)) == {run_id: ("grown", 0)}
    row = rows_of(stack, project)[run_id]
    assert (row["state"], sorted(row["tags"]), row["attempt"]) == ("finished", ["best", "team=vision"], 1)
    assert row["ended_at"].timestamp() == 1_900_000_000
    exactly(stack, project, {run_id: logged})
    assert statuses(bring(*arguments)) == {run_id: ("unchanged", 0)}


def test_a_history_that_was_rewritten_is_the_next_attempt(
    stack: Stack, bring: Bring, project: str, tmp_path: Path
) -> None:
    table = tmp_path / "run.csv"
    first, second = Logged(), Logged()
    for logged, level in ((first, 1.0), (second, 2.0)):
        for step in range(20):
            logged.add("loss", step, 1_700_000_000_000 + step, level / (step + 1))
        rows = [f"{step},{at},{value!r}" for step, at, value in logged.points["loss"]]
        table.write_text("\n".join(["step,timestamp,loss", *rows, ""]))
        report = bring("csv", table, "--project", project)
    assert statuses(report) == {"run": ("rewritten", 20)}
    wait_until(
        lambda: same(stored(stack, project, "v_current_points")["run"], second.sorted()), 30,
        or_else="queries do not show the rewritten history",
    )  # fmt: skip
    assert stored(stack, project)["run"]["loss"] != second.sorted()["loss"]  # what was imported first is kept
    assert rows_of(stack, project)["run"]["attempt"] == 2


def test_an_import_that_is_killed_goes_on(stack: Stack, bring: Bring, project: str, tmp_path: Path) -> None:
    """Killed at some moment, while what it reads grows from one import to the next."""
    expected = {f"r{n:02}": Logged() for n in range(12)}
    command = [sys.executable, "-m", "runtide.cli", "import", "tensorboard", str(tmp_path), "--project", project]
    chance = random.Random(5)
    for first in range(0, 400, 100):
        for n, (name, logged) in enumerate(expected.items()):
            for metric, points in tensorboard_run(tmp_path / name, n, 100, first=first).points.items():
                logged.points.setdefault(metric, []).extend(points)
        process = subprocess.Popen(command, env=stack.env, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        time.sleep(chance.uniform(0.8, 2.5))
        process.send_signal(signal.SIGKILL)
        process.wait()
    bring("tensorboard", tmp_path, "--project", project)
    exactly(stack, project, expected)
    rows = rows_of(stack, project).values()
    assert {(row["attempt"], row["state"]) for row in rows} == {(1, "finished")}
    assert statuses(bring("tensorboard", tmp_path, "--project", project)) == dict.fromkeys(expected, ("unchanged", 0))


def test_imported_runs_are_baselines_at_once(stack: Stack, bring: Bring, project: str, tmp_path: Path) -> None:
    members = {f"seed{n}" for n in range(8)}
    for n in range(8):
        tensorboard_run(tmp_path / f"seed{n}", n, 200)
    options = ["--project", project, "--group", "g", "--same-hardware"]
    bring("tensorboard", tmp_path, *options)

    def judged(run_id: str) -> dict[str, Any]:
        rows = stack.client.verdicts(project=project).to_pylist()
        return next((row for row in rows if (row["run_id"], row["metric"]) == (run_id, "")), {})

    def wait_judged(run_ids: set[str]) -> None:
        wait_until(lambda: all(judged(each) for each in run_ids), 60, or_else=f"{run_ids} are not judged")

    wait_judged(members)
    told = stack.client.sql(
        "SELECT count() AS n FROM v_alerts WHERE project = {p:String} AND NOT quiet", {"p": project}
    ).to_pylist()
    assert told[0]["n"] == 0  # nobody is told of what is long over
    for run_id, level, verdict in (("good", "1.0", "same"), ("bad", "1.3", "worse")):
        stack.run_script(LIVE, project, run_id, level)
        wait_judged({run_id})
        [plan] = stack.client.plans(f"{project}/{run_id}").to_pylist()
        assert len(members & set(plan["members"])) >= 6
        assert judged(run_id)["verdict"] == verdict, judged(run_id)
