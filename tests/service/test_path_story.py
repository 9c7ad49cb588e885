"""All else that a run says of itself arrives too: config, summary, notes, decisions, tags, alerts, how it ended."""

import json
from typing import Any

import pytest

from tests.fixtures.stack import Stack
from tests.fixtures.waiting import wait_until

STORY = """
import sys, runtide
config = {"lr": 0.1, "model": {"depth": 3, "name": "mlp"}, "secret_token": "hunter2"}
with runtide.init(project=sys.argv[1], id="told", name="A <b>name</b>", group="g", job_type="train",
                  notes="first words", tags=["a", "b"], config=config) as run:
    run.define_metric("loss", goal="minimize")
    run.log({"loss": 1.0}, step=0)
    run.config.update({"lr": 0.2})
    run.summary["best"] = 0.5
    run.note("looks good")
    run.decide("keep", "because it is better", next_step="run it longer")
    run.alert("too hot", "87 degrees", level="WARN")
"""


def run_row(stack: Stack, project: str, run_id: str) -> dict[str, Any]:
    rows = [row for row in stack.client.runs(project=project).to_pylist() if row["run_id"] == run_id]
    return rows[0] if rows else {}


def wait_for_state(stack: Stack, project: str, run_id: str, state: str, timeout_s: float = 60.0) -> dict[str, Any]:
    wait_until(
        lambda: run_row(stack, project, run_id).get("state") == state,
        timeout_s,
        or_else=lambda: f"the state is {run_row(stack, project, run_id).get('state')}, not {state}",
    )
    return run_row(stack, project, run_id)


def test_the_story_of_a_run(stack: Stack, project: str) -> None:
    stack.run_script(STORY, project)
    row = wait_for_state(stack, project, "told", "finished")
    assert (row["name"], row["group"], row["job_type"], sorted(row["tags"])) == (
        "A <b>name</b>", "g", "train", ["a", "b"],
    )  # fmt: skip
    assert row["exit_code"] == 0 and row["ended_at"] >= row["started_at"]

    values = {(row["section"], row["name"]): row["value"] for row in stack.client.values(f"{project}/told").to_pylist()}
    assert json.loads(values["config", "lr"]) == 0.2
    assert json.loads(values["config", "model/depth"]) == 3
    assert json.loads(values["config", "model/name"]) == "mlp"
    assert json.loads(values["summary", "best"]) == 0.5
    assert "hunter2" not in str(values)
    assert any(section == "meta" and name.startswith("python") for section, name in values)

    events = {row["kind"]: json.loads(row["body"]) for row in stack.client.events(f"{project}/told").to_pylist()}
    assert events["note"]["text"] == "looks good"
    assert (events["decision"]["verdict"], events["decision"]["next_step"]) == ("keep", "run it longer")
    alerts = stack.client.sql(
        "SELECT title, text, severity FROM v_alerts WHERE project = {p:String} AND kind = 'user'", {"p": project}
    )
    assert [row["title"] for row in alerts.to_pylist()] == ["too hot"]


def test_where_something_waits_is_known(stack: Stack, project: str) -> None:
    stack.run_script(STORY, project)
    wait_for_state(stack, project, "told", "finished")
    wait_until(
        lambda: len(stack.client.sql("SELECT host FROM v_shippers WHERE backlog_bytes = 0 AND lag_s < 60")) > 0, 60,
        or_else=lambda: f"shippers: {stack.client.sql('SELECT * FROM v_shippers').to_pylist()}",
    )  # fmt: skip
    wait_until(
        lambda: len(stack.client.sql("SELECT partition FROM v_partitions WHERE worker != '' AND lag = 0")) > 0, 60,
        or_else=lambda: f"partitions: {stack.client.sql('SELECT * FROM v_partitions').to_pylist()}",
    )  # fmt: skip


@pytest.mark.parametrize(
    ("ending", "exit_code", "state"),
    [
        ("pass", 0, "finished"),
        ("run.finish()", 0, "finished"),
        ("run.finish(exit_code=3)", 0, "failed"),
        ("raise ValueError('boom')", 1, "failed"),
        ("sys.exit(4)", 4, "failed"),
        ("import os, signal; os.kill(os.getpid(), signal.SIGKILL)", -9, "killed"),
        ("import os, signal; os.kill(os.getpid(), signal.SIGTERM)", -15, "killed"),
    ],
    ids=["runs out", "finish", "finish with a code", "raises", "exits", "SIGKILL", "SIGTERM"],
)
def test_how_it_ended(stack: Stack, project: str, ending: str, exit_code: int, state: str) -> None:
    script = f"import sys, runtide\nrun = runtide.init(project=sys.argv[1], id='r')\nrun.log({{'x': 1.0}})\n{ending}\n"
    stack.run_script(script, project, exit_code=exit_code)
    wait_for_state(stack, project, "r", state)


def test_a_command_under_exec_becomes_a_run(stack: Stack, project: str) -> None:
    done = stack.runtide("exec", "--project", project, "--", "sh", "-c", "echo hello; exit 3", check=False)
    assert done.returncode == 3
    assert "hello" in done.stdout
    wait_until(lambda: len(stack.client.runs(project=project).to_pylist()) == 1, 60, or_else="no run")
    [row] = stack.client.runs(project=project).to_pylist()
    wait_for_state(stack, project, row["run_id"], "failed")
