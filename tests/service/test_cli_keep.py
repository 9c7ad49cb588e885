"""`tag`, `note`, `decide`, `rm`, `retention`, `backup` and `restore` against a stack that runs."""

import json
import time
from typing import Any

import pytest

from runtide_storage.connect import connect
from runtide_storage.ids import run_key
from runtide_storage.writer import Writer
from tests.fixtures.stack import Stack, running_stack
from tests.fixtures.waiting import wait_until

RUN = """
import sys, runtide
with runtide.init(project=sys.argv[1], id=sys.argv[2], tags=["a"]) as run:
    for step in range(20):
        run.log({"loss": float(step)}, step=step)
"""
DAY_MS = 86_400_000


def train(stack: Stack, project: str, run_id: str) -> None:
    stack.run_script(RUN, project, run_id)


def answer(stack: Stack, *arguments: str) -> Any:
    command, *rest = arguments
    return json.loads(stack.runtide(command, "--json", *rest).stdout)


def ids(stack: Stack, project: str) -> set[str]:
    return {row["run_id"] for row in stack.client.runs(project)}


def ended(stack: Stack, project: str, *run_ids: str) -> None:
    def states() -> dict[str, str]:
        return {row["run_id"]: row["state"] for row in stack.client.runs(project)}

    wait_until(lambda: states() == dict.fromkeys(run_ids, "finished"), 60, or_else="they did not end")


def test_what_people_say_of_an_ended_run(stack: Stack, project: str) -> None:
    train(stack, project, "r")
    ended(stack, project, "r")
    ref = f"{project}/r"
    assert answer(stack, "tag", ref, "+prod", "b\x1b[31m")["tags"] == ["a", "prod", "b\x1b[31m"]
    assert answer(stack, "tag", ref, "prod", "--", "-a")["tags"] == ["prod", "b\x1b[31m"]
    assert stack.runtide("note", ref, "loader rewritten: https://ada:hunter2@host/x").stdout.strip() == f"{ref}: noted"
    decision = ["decide", ref, "keep", "--reason", "better over 5 seeds", "--next", "more data"]
    assert answer(stack, *decision)["verdict"] == "keep"
    run = stack.client.run(ref)
    assert (run["tags"], run["state"], run["attempt"]) == (["prod", "b\x1b[31m"], "finished", 1)
    events = [(row["kind"], json.loads(row["body"])) for row in stack.client.events(ref)]
    said = {kind: body for kind, body in events if kind in ("note", "decision")}
    assert said["note"]["text"].startswith("loader rewritten") and "hunter2" not in said["note"]["text"]
    assert said["decision"]["next_step"] == "more data" and said["decision"]["who"]
    assert [kind for kind, _ in events].count("tags") == 2
    answer(stack, "tag", ref, "prod")  # it has that already
    assert [row["kind"] for row in stack.client.events(ref)].count("tags") == 2
    row = stack.client.sql(
        "SELECT decision, reason FROM v_decisions WHERE run_id = 'r' AND project = {p:String}", {"p": project}
    )
    assert row.to_pylist() == [{"decision": "keep", "reason": "better over 5 seeds"}]


@pytest.mark.parametrize(
    "arguments",
    [
        ("rm",),
        ("rm", "a", "--project", "p"),
        ("tag", "r", "+"),
        ("note", "r", " "),
        ("decide", "r", "keep", "--reason", ""),
        ("retention", "set", "p"),
        ("retention", "set", "p", "1h"),
        ("retention", "show", "--keep-tag", "x"),
        ("backup", "../../etc"),
        ("restore", "a b"),
        ("note", "nobody/nothing", "x"),
        ("rm", "--where", "lr >"),
    ],
)
def test_what_makes_no_sense_is_one_line(stack: Stack, arguments: tuple[str, ...]) -> None:
    done = stack.runtide(*arguments, check=False)
    assert done.returncode == 2
    assert done.stderr.startswith("runtide: ") and "Traceback" not in done.stderr


def test_a_deleted_run_stays_deleted_though_it_goes_on_logging(stack: Stack, project: str) -> None:
    for run_id in ("gone", "kept"):
        train(stack, project, run_id)
    ended(stack, project, "gone", "kept")
    look = answer(stack, "rm", f"{project}/gone", "--dry-run")
    assert look == {"runs": [f"{project}/gone"], "points": 20, "deleted": False}
    refused = stack.runtide("rm", f"{project}/gone", check=False)
    assert refused.returncode == 2 and "--yes" in refused.stderr and ids(stack, project) == {"gone", "kept"}
    assert answer(stack, "rm", f"{project}/gone", "--yes", "--reason", "wrong data")["deleted"]
    assert ids(stack, project) == {"kept"}
    again = stack.runtide("rm", f"{project}/gone", "--yes", check=False)
    assert again.returncode == 2 and "was deleted" in again.stderr and "(wrong data)" in again.stderr
    train(stack, project, "gone")  # its id can't be used again
    train(stack, project, "later")
    ended(stack, project, "kept", "later")
    points = "SELECT DISTINCT run_id FROM v_points WHERE project = {p:String}"
    assert {row["run_id"] for row in stack.client.sql(points, {"p": project})} == {"kept", "later"}
    assert answer(stack, "rm", "--where", f'project = "{project}" and run_id != "kept"', "--yes")["runs"] == [
        f"{project}/later"
    ]
    assert ids(stack, project) == {"kept"}
    assert answer(stack, "rm", "--project", project, "--yes")["points"] == 20
    assert answer(stack, "rm", "--project", project, "--yes") == {"runs": [], "points": 0, "deleted": False}


def test_a_running_run_is_deleted_only_by_force(stack: Stack, project: str) -> None:
    trainer = stack.trainer(project, "--run", "live", "--calls", "100000", "--rate", "20")
    try:
        wait_until(lambda: ids(stack, project) == {"live"}, 60, or_else="it did not come")
        refused = stack.runtide("rm", f"{project}/live", "--yes", check=False)
        assert refused.returncode == 2 and "--force" in refused.stderr
        stack.runtide("rm", f"{project}/live", "--yes", "--force")
        assert ids(stack, project) == set()
        # The worker that has been storing it all along stops, and sweeps away what it stored meanwhile.
        database = connect(stack.described()["clickhouse"])
        run = {"run": run_key(project, "live")}
        count = "SELECT count() FROM points WHERE run = {run:UInt64}"

        def is_quiet() -> bool:
            seen = 0
            for _ in range(3):
                time.sleep(1.0)
                seen += int(str(database.command(count, run)))
            return seen == 0

        wait_until(is_quiet, 90, or_else="its points go on being stored")
        assert trainer.poll() is None  # while it goes on logging
    finally:
        trainer.kill()
        trainer.communicate()


def test_a_backup_comes_back(project: str) -> None:
    with running_stack() as stack:  # other tests' runs are not to be put back
        train(stack, project, "before")
        ended(stack, project, "before")
        made = answer(stack, "backup", project)
        assert made["backup"] == project and made["points"] >= 20
        refused = stack.runtide("restore", project, check=False)
        assert refused.returncode == 2 and "--force" in refused.stderr
        train(stack, project, "after")
        ended(stack, project, "before", "after")
        assert answer(stack, "restore", project, "--force")["runs"] == made["runs"]
        assert ids(stack, project) == {"before"}


def old_run(stack: Stack, project: str, run_id: str, days: float, tags: list[str], state: str = "finished") -> None:
    """A run that ended so many days ago, as storage has it."""
    writer = Writer(connect(stack.described()["clickhouse"]))
    key, at_ms = run_key(project, run_id), int(time.time() * 1000 - days * DAY_MS)
    about = {"run": key, "project": project, "run_id": run_id, "writer": 1, "writer_id": "w", "attempt": 1, "rank": 0}
    writer.rows("writers", [about | {"host": "h", "pid": 1, "started_at": at_ms - 1000}])
    event = {"run": key, "ts": at_ms * 1_000_000, "writer": 1, "attempt": 1}
    ending = [event | {"seq": 1, "kind": "finish", "body": json.dumps({"state": state, "exit_code": 0})}]
    start = event | {"seq": 0, "ts": (at_ms - 1000) * 1_000_000, "kind": "start", "body": json.dumps({"tags": tags})}
    writer.rows("run_events", [start, *(ending if state != "running" else [])])
    writer.rows(
        "ingest_progress", [{"run": key, "writer": 1, "first": 0, "next": 2, "stored_at": at_ms, "point_at": 0}]
    )
    writer.refold([key])


def test_retention_deletes_what_is_old_and_nothing_else(stack: Stack, project: str) -> None:
    for run_id, days, tags in (("old", 40, []), ("kept", 40, ["prod"]), ("pinned", 40, []), ("young", 3, [])):
        old_run(stack, project, run_id, days, tags)
    old_run(stack, f"{project}-other", "old", 400, [])
    stack.runtide("baseline", "pin", f"{project}/pinned")
    shown = answer(stack, "retention", "set", project, "30d", "--keep-tag", "prod")
    assert shown["due"] == 1 and shown["retention"][0]["days"] == 30
    assert answer(stack, "retention", "apply", project, "--dry-run")["runs"] == [f"{project}/old"]
    wait_until(lambda: ids(stack, project) == {"kept", "pinned", "young"}, 120, or_else="no worker did it")
    assert ids(stack, f"{project}-other") == {"old"}
    assert answer(stack, "retention", "unset", project)["retention"] == []
    assert "for ever" in stack.runtide("retention", "show", project).stdout


def test_the_log_book_tells_what_was_decided_and_what_failed(stack: Stack, project: str) -> None:
    for run_id in ("base", "new"):
        train(stack, project, run_id)
    ended(stack, project, "base", "new")
    bad = "import sys, runtide\nruntide.init(project=sys.argv[1], id='bad')\nraise MemoryError('out of [GPU] memory')"
    stack.run_script(bad, project, exit_code=1)
    assert stack.runtide("log-book", f"{project}-none").stdout.startswith("nothing was noted")
    ref, base = f"{project}/new", f"{project}/base"
    reasons = ["--hypothesis", "wider is <b>better</b>", "--against", base, "--reason", "*no* worse"]
    answer(stack, "decide", ref, "keep", *reasons)
    stack.runtide("note", ref, "ran on the old driver")
    wait_until(
        lambda: len(answer(stack, "log-book", project)["entries"]) == 3, 60,
        or_else=lambda: str(answer(stack, "log-book", project)),
    )  # fmt: skip
    entries = {entry["kind"]: entry for entry in answer(stack, "log-book", project)["entries"]}
    assert entries["decision"]["against"] == [base] and entries["decision"]["hypothesis"] == "wider is <b>better</b>"
    assert entries["failed"]["reason"] == "MemoryError: out of [GPU] memory"
    document = stack.runtide("log-book", project, "--markdown").stdout
    assert "wider is &lt;b>" not in document and "wider is &lt;b\\>better" in document and "\\*no\\* worse" in document
    assert document.startswith("# Log book of ") and "MemoryError: out of \\[GPU\\] memory" in document
    found = answer(stack, "log-book", project, "--where", 'error ~ "(?i)OUT OF"')["entries"]
    assert [entry["kind"] for entry in found] == ["failed"]
    assert stack.runtide("log-book", "--since", "soon", check=False).returncode == 2
    assert stack.client.runs(project, "error is not null", columns=["error"]).to_pylist()[0]["run_id"] == "bad"
