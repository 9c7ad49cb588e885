"""Resumed runs, several ranks in one run, steps logged again, and runs that were offline."""

from tests.fixtures.expect import Logged, exactly, stored
from tests.fixtures.stack import Stack
from tests.fixtures.waiting import wait_until

TRAIN = """
import sys, runtide
project, first, last, value = sys.argv[1], *map(int, sys.argv[2:5])
run = runtide.init(project=project, id="resumed", resume="allow")
for step in range(first, last):
    run.log({"loss": value + step / 1000}, step=step)
run.finish()
"""


def points(stack: Stack, project: str) -> list[tuple[int, int, float]]:
    sql = """SELECT attempt, step, value FROM v_points WHERE project = {p:String} AND metric = 'loss'
             ORDER BY attempt, step, value"""
    return [(row["attempt"], row["step"], row["value"]) for row in stack.client.sql(sql, {"p": project}).to_pylist()]


def test_the_latest_attempt_wins_where_attempts_overlap(stack: Stack, project: str) -> None:
    stack.run_script(TRAIN, project, "0", "100", "1")
    wait_until(lambda: len(points(stack, project)) == 100, 60, or_else="the first attempt is not stored")
    stack.run_script(TRAIN, project, "60", "120", "2")
    wait_until(lambda: len(points(stack, project)) == 160, 60, or_else="the second attempt is not stored")

    assert points(stack, project) == [(1, step, 1 + step / 1000) for step in range(100)] + [
        (2, step, 2 + step / 1000) for step in range(60, 120)
    ]
    curve = stack.client.history([f"{project}/resumed"], ["loss"], points=10_000).to_pylist()
    expected = [1 + step / 1000 for step in range(60)] + [2 + step / 1000 for step in range(60, 120)]
    assert [row["last"] for row in curve] == expected

    def summary() -> dict[str, object]:
        sql = "SELECT n, last, min, max FROM v_summary WHERE project = {p:String} AND metric = 'loss'"
        rows: list[dict[str, object]] = stack.client.sql(sql, {"p": project}).to_pylist()
        return rows[0] if rows else {}

    expected_summary = {"n": 120, "last": 2 + 119 / 1000, "min": 1.0, "max": 2 + 119 / 1000}
    wait_until(lambda: summary() == expected_summary, 30, or_else=lambda: f"the summary says {summary()}")


def test_a_step_logged_again_is_kept(stack: Stack, project: str) -> None:
    script = """
import sys, runtide
run = runtide.init(project=sys.argv[1], id="again")
for value, step in enumerate([5, 3, 5, 5, 4]):
    run.log({"loss": float(value)}, step=step)
run.finish()
"""
    stack.run_script(script, project)
    wait_until(lambda: len(points(stack, project)) == 5, 60, or_else=lambda: f"{points(stack, project)}")
    assert points(stack, project) == [(1, 3, 1.0), (1, 4, 4.0), (1, 5, 0.0), (1, 5, 2.0), (1, 5, 3.0)]


def test_ranks_of_one_launch_are_one_attempt(stack: Stack, project: str) -> None:
    script = """
import os, sys, runtide
rank = os.environ["RANK"]
run = runtide.init(project=sys.argv[1], id="ranks")
for step in range(200):
    run.log({f"rank{rank}/loss": step / 7, "loss": step / 7}, step=step)
run.finish()
"""
    processes = [
        stack.python("-c", script, project, env={"RANK": str(rank), "WORLD_SIZE": "4", "LOCAL_RANK": str(rank)})
        for rank in range(4)
    ]
    for process in processes:
        output, _ = process.communicate(timeout=60)
        assert process.returncode == 0, output
    sql = """SELECT metric, attempt, count() AS n FROM v_points WHERE project = {p:String} AND metric LIKE '%loss'
             GROUP BY metric, attempt ORDER BY metric"""

    def counted() -> list[tuple[str, int, int]]:
        found = stack.client.sql(sql, {"p": project}).to_pylist()
        return [(row["metric"], row["attempt"], row["n"]) for row in found]

    wait_until(lambda: sum(n for *_, n in counted()) >= 1600, 60, or_else=lambda: f"{counted()}")
    assert counted() == [("loss", 1, 800), *((f"rank{rank}/loss", 1, 200) for rank in range(4))]


def test_an_offline_run_arrives_by_sync(stack: Stack, project: str) -> None:
    process = stack.trainer(project, "--process", 9, "--calls", 300, env={"RUNTIDE_MODE": "offline"})
    output, _ = process.communicate(timeout=60)
    assert process.returncode == 0, output
    assert stored(stack.client, project) == {}
    stack.runtide("sync")
    exactly(stack.client, project, [Logged("p9", 300)])
