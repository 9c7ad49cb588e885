"""`runs`, `show`, `sql`, `doctor`, `migrate` and `sync` against a stack that runs."""

import csv
import io
import json
from typing import Any

import pytest

from tests.fixtures.stack import Stack
from tests.fixtures.waiting import wait_until

TWO_RUNS = """
import sys, runtide
for number, tags in ((1, ["a"]), (2, ["a", "b"])):
    with runtide.init(project=sys.argv[1], id=f"r{number}", name="\\x1b[31mred", group=f"g{number}", tags=tags,
                      config={"lr": number}) as run:
        run.define_metric("loss", goal="minimize")
        for step in range(100):
            run.log({"loss": (step - 60) ** 2 / 100, "odd": float("nan")}, step=step)
        run.note("a note")
        run.alert("hot", "87 degrees")
"""


@pytest.fixture
def two_runs(stack: Stack, project: str) -> str:
    stack.run_script(TWO_RUNS, project)
    wait_until(lambda: [row["state"] for row in runs(stack, project)] == ["finished"] * 2, 60.0, or_else="not there")
    wait_until(lambda: len(show(stack, f"{project}/r2")["metrics"]) >= 2, 60.0, or_else="no summary")
    return project


def answer(stack: Stack, *arguments: str) -> Any:
    return json.loads(stack.runtide(*arguments, "--json").stdout)


def runs(stack: Stack, project: str, *arguments: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = answer(stack, "runs", "--project", project, *arguments)["runs"]
    return found


def show(stack: Stack, ref: str) -> dict[str, Any]:
    found: dict[str, Any] = answer(stack, "show", ref)
    return found


def test_runs_are_narrowed_down(stack: Stack, two_runs: str) -> None:
    def ids(*arguments: str) -> list[str]:
        return [row["run_id"] for row in runs(stack, two_runs, *arguments)]

    assert ids() == ["r2", "r1"]  # the newest first
    assert ids("--limit", "1") == ["r2"]
    assert ids("--group", "g1") == ["r1"]
    assert ids("--tag", "a") == ["r2", "r1"]
    assert ids("--tag", "a", "--tag", "b") == ["r2"]
    assert ids("--state", "finished") == ["r2", "r1"]
    assert ids("--state", "running") == []
    plain = stack.runtide("runs", "--project", two_runs).stdout
    assert f"{two_runs}/r1" in plain and "\x1b" not in plain


def test_show_tells_everything(stack: Stack, two_runs: str) -> None:
    facts = show(stack, f"{two_runs}/r2")
    metrics = {row["metric"]: row for row in facts["metrics"]}
    loss = metrics["loss"]
    assert (loss["n"], loss["last_step"], loss["goal"], loss["best"], loss["best_step"]) == (
        100,
        99,
        "minimize",
        0.0,
        60,
    )
    assert (metrics["odd"]["nonfinite"], metrics["odd"]["last"]) == (100, "NaN")
    assert facts["config"] == {"lr": 2} and facts["meta"]["python/version"]
    assert "hot" in [row["title"] for row in facts["alerts"]]  # what detection found is there as well
    assert [event["body"]["text"] for event in facts["events"] if event["kind"] == "note"] == ["a note"]
    assert [(row["attempt"], row["writers"]) for row in facts["attempts"]] == [(1, 1)]
    plain = stack.runtide("show", f"{two_runs}/r2").stdout
    assert all(word in plain for word in ("loss", "87 degrees", "a note", "lr", "▁")) and "\x1b" not in plain


def test_a_run_that_is_not_there(stack: Stack, project: str) -> None:
    done = stack.runtide("show", f"{project}/nobody", check=False)
    assert done.returncode == 2 and done.stderr.count("\n") == 1 and "runtide runs" in done.stderr


def test_sql_as_table_json_and_csv(stack: Stack, two_runs: str) -> None:
    query = "SELECT run_id, max(step) AS top FROM v_points WHERE project = {p:String} GROUP BY 1 ORDER BY 1"
    given = [query, "--param", f"p={two_runs}"]
    rows = [{"run_id": "r1", "top": 99}, {"run_id": "r2", "top": 99}]
    assert answer(stack, "sql", *given) == {"columns": ["run_id", "top"], "rows": rows}
    table = csv.reader(io.StringIO(stack.runtide("sql", *given, "--csv").stdout))
    assert list(table) == [["run_id", "top"], ["r1", "99"], ["r2", "99"]]
    assert stack.runtide("sql", *given).stdout.splitlines() == ["run_id  top", "r1      99", "r2      99"]
    assert len(answer(stack, "sql", *given, "--limit", "1")["rows"]) == 1


@pytest.mark.parametrize(
    "query", ["DROP TABLE points", "INSERT INTO metrics VALUES (1, 'x')", "SELECT nonsense", "SELECT 1; SELECT 2", ""]
)
def test_sql_only_reads(stack: Stack, query: str) -> None:
    done = stack.runtide("sql", query, check=False)
    assert done.returncode == 2, done.stdout
    assert done.stderr.count("\n") == 1 and done.stderr.startswith("runtide: ")


def test_doctor_is_content(stack: Stack) -> None:
    done = stack.runtide("doctor", "--json", check=False)
    failed = [each for each in json.loads(done.stdout)["findings"] if each["state"] == "fail"]
    assert done.returncode == 0, failed


def test_migrate_again_changes_nothing(stack: Stack) -> None:
    assert answer(stack, "migrate") == {"migrations": [], "topics": [], "users": []}


def test_sync_delivers_an_offline_run(stack: Stack, project: str) -> None:
    code = "import sys, runtide\nwith runtide.init(project=sys.argv[1], id='o') as run: run.log({'x': 4.5}, step=1)"
    stack.run_script(code, project, env={"RUNTIDE_MODE": "offline"})
    assert runs(stack, project) == []
    assert answer(stack, "sync")["complete"] is True
    wait_until(lambda: [row["run_id"] for row in runs(stack, project)] == ["o"], 30.0, or_else="not there")


def test_exec_is_a_run(stack: Stack, project: str) -> None:
    done = stack.runtide(
        "exec", "--project", project, "--name", "n", "--tag", "t", "--", "sh", "-c", "echo hi; exit 3", check=False
    )
    assert (done.returncode, done.stdout) == (3, "hi\n")
    wait_until(lambda: [row["state"] for row in runs(stack, project)] == ["failed"], 30.0, or_else="not there")
    (row,) = runs(stack, project)
    assert (row["name"], row["tags"], row["exit_code"]) == ("n", ["t"], 3)
