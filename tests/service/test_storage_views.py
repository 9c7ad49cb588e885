"""The views: documented as they are, and right about state, silence, goals and values."""

import re
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from runtide_storage import Client
from runtide_storage.ids import key_id, run_key
from runtide_storage.writer import Touched, Writer
from tests.fixtures.histories import START_MS, Point, Stored
from tests.fixtures.storage import Engine

DOCUMENT = Path(__file__).parents[2] / "docs" / "sql.md"


@pytest.fixture
def client(database: Engine) -> Client:
    return Client(database.url("analyst"))


@pytest.fixture
def run(writer: Writer) -> Stored:
    """A run with two points of `loss`."""
    run = Stored(writer, "p", "r")
    run.begin()
    run.batch([Point("loss", step, START_MS + step, 1.0 + step, 1, 1000, step) for step in range(2)], {1000: 1})
    writer.refold([run.run])
    return run


def documented() -> dict[str, set[str]]:
    """View -> columns that docs/sql.md names in the first cell of its table's rows."""
    found: dict[str, set[str]] = {}
    for section in re.split(r"^## ", DOCUMENT.read_text(), flags=re.MULTILINE)[1:]:
        title, _, text = section.partition("\n")
        cells = [line.split("|")[1] for line in text.splitlines() if line.startswith("| `")]
        for view in re.findall(r"v_\w+", title):
            found[view] = {name for cell in cells for name in re.findall(r"`([^`]+)`", cell)}
    found["v_config"] -= {"section", "ts"}
    return found


@pytest.mark.parametrize("view", sorted(documented()))
def test_the_document_lists_every_view_and_column(client: Client, view: str) -> None:
    assert documented()[view] == {row["name"] for row in client.sql(f"DESCRIBE {view}").to_pylist()}


def test_the_document_forgets_no_view(client: Client) -> None:
    views = {row["name"] for row in client.sql("SHOW TABLES LIKE 'v\\_%'").to_pylist()}
    assert views - {"v_current_points"} == documented().keys()


def test_the_examples_work(client: Client) -> None:
    examples = re.search(r"```sql\n(.*?)```", DOCUMENT.read_text(), re.DOTALL)
    assert examples is not None
    for query in examples[1].split(";\n"):
        if query.strip():
            client.sql(query)


def beat(writer: Writer, fresh_to_ms: int, worker: str = "0", **counts: int) -> None:
    numbers = {"messages": 0, "points": 0, "duplicates": 0, "dead": 0, "lag": 0} | counts
    writer.rows("worker_beats", [{"worker": worker, "at": now_ms(), "fresh_to": fresh_to_ms} | numbers])


def now_ms() -> int:
    return time.time_ns() // 1_000_000


@pytest.mark.parametrize(
    ("seen_s_ago", "point_s_ago", "fresh_s_ago", "state", "health"),
    [
        (5, 5, 1, "running", "ok"),
        (89, 89, 0, "running", "ok"),
        (95, 95, 1, "crashed", "ok"),
        (95, 95, 20, "running", "ok"),  # the pipeline is behind: nobody knows
        (95, 95, None, "running", "ok"),  # no worker: nobody knows
        (5, 200, 1, "running", "stalled"),
        (5, None, 1, "running", "ok"),  # it never logged: it may be loading data
        (500, 900, 1, "crashed", "ok"),
    ],
)
def test_silence(
    writer: Writer,
    client: Client,
    run: Stored,
    seen_s_ago: int,
    point_s_ago: int | None,
    fresh_s_ago: int | None,
    state: str,
    health: str,
) -> None:
    now = now_ms()
    point_at = 0 if point_s_ago is None else now - point_s_ago * 1000
    progress = {"run": run.run, "writer": 1000, "first": 0, "next": 2, "stored_at": now - seen_s_ago * 1000}
    writer.rows("ingest_progress", [progress | {"point_at": point_at}])
    if fresh_s_ago is not None:
        beat(writer, now - fresh_s_ago * 1000)
    [row] = client.runs().to_pylist()
    assert (row["state"], row["health"]) == (state, health)
    assert (row["point_at"] is None) == (point_s_ago is None)


def test_a_run_that_ended_is_neither_crashed_nor_stalled(writer: Writer, client: Client, run: Stored) -> None:
    event = {"run": run.run, "ts": (START_MS + 60_000) * 1_000_000, "writer": 1000, "seq": 2, "attempt": 1}
    writer.rows("run_events", [event | {"kind": "finish", "body": '{"state":"finished","exit_code":0}'}])
    writer.refold([run.run])
    writer.rows(
        "ingest_progress", [{"run": run.run, "writer": 1000, "first": 0, "next": 3, "stored_at": 1, "point_at": 1}]
    )
    beat(writer, now_ms())
    [row] = client.runs().to_pylist()
    assert (row["state"], row["health"], row["exit_code"], row["duration_s"]) == ("finished", "ok", 0, 60.0)


def value(name: str, text: str, ts: int = 1, section: str = "config", number: float | None = None) -> dict[str, Any]:
    return {"run": run_key("p", "r"), "section": section, "name": name, "value": text, "number": number, "ts": ts}


def test_values(writer: Writer, client: Client, run: Stored) -> None:
    writer.rows("run_values", [value("lr", "0.1", 5, number=0.1), value("opt", '"ad\\"am"'), value("gone", "1", 1)])
    writer.rows("run_values", [value("lr", "0.2", 3, number=0.2), value("gone", "null", 2)])
    writer.rows("run_values", [value("best", "[1,2]", section="summary"), value("git/commit", '"abc"', section="meta")])
    [row] = client.sql("SELECT config, summary FROM v_runs WHERE run_id = 'r'").to_pylist()
    assert (row["config"], row["summary"]) == ({"lr": "0.1", "opt": 'ad"am'}, {"best": "[1,2]"})
    whole = client.run("r")
    assert whole["config"] == {"lr": 0.1, "opt": 'ad"am'}
    assert (whole["summary"], whole["meta"]) == ({"best": [1, 2]}, {"git/commit": "abc"})
    assert client.sql("SELECT name, number FROM v_config ORDER BY name").to_pylist() == [
        {"name": "lr", "number": 0.1},
        {"name": "opt", "number": None},
    ]


@pytest.mark.parametrize(
    ("definitions", "goal", "best", "best_step"),
    [
        ([], None, None, None),
        ([("loss", "minimize")], "minimize", 1.0, 0),
        ([("loss", "maximize")], "maximize", 2.0, 1),
        ([("loss", "")], None, None, None),
        ([("l*", "minimize"), ("*", "maximize")], "maximize", 2.0, 1),  # of globs, the last
        ([("loss", ""), ("*", "maximize")], None, None, None),  # the exact name first
        ([("l?ss", "minimize")], "minimize", 1.0, 0),
        ([("l_ss", "minimize"), ("l%", "minimize")], None, None, None),  # no wildcards here
        ([("*\\*", "minimize"), ("acc*", "minimize")], None, None, None),
    ],
)
def test_goals(
    writer: Writer,
    client: Client,
    run: Stored,
    definitions: list[tuple[str, str]],
    goal: str | None,
    best: float | None,
    best_step: int | None,
) -> None:
    for ts, (name, each) in enumerate(definitions):
        row = {"run": run.run, "name": name, "goal": each, "step_metric": "", "summary": "", "alert": "", "ts": ts}
        writer.rows("metric_defs", [row])
    [found] = client.summaries("r").to_pylist()
    assert (found["goal"], found["best"], found["best_step"]) == (goal, best, best_step)


def test_nothing_is_shown_twice(writer: Writer, client: Client, run: Stored, database: Engine) -> None:
    """Rows written again, as after a crash, collapse in every view."""
    letter = {"broker": "b", "topic": "t", "partition": 0, "offset": 1, "line": 0, "reason": "bad", "detail": "d"}
    event = {"run": run.run, "ts": 5, "writer": 1000, "seq": 7, "attempt": 1, "kind": "note", "body": "{}"}
    alert = {
        "id": "a",
        "run": run.run,
        "ts": 5,
        "kind": "user",
        "severity": "warn",
        "title": "t",
        "text": "",
        "metric": "",
    }
    alert |= {"step": None, "state": "open", "detail": "{}", "version": 1}
    database.client().command("SYSTEM STOP MERGES {database:Identifier}.points", {"database": database.name})
    for _ in range(3):
        run.batch([Point("loss", step, START_MS + step, 1.0 + step, 1, 1000, step) for step in range(2)], {1000: 1})
        writer.rows("dead_letters", [letter | {"key": "", "value": "x"}])
        writer.rows("run_events", [event])
        writer.rows("alerts", [alert])
        writer.rows("run_values", [value("lr", "0.1", 5, number=0.1)])
        writer.rows("metrics", [{"id": key_id("loss"), "name": "loss"}])
        writer.refold([run.run])
    counts = {"v_points": 2, "v_current_points": 2, "v_summary": 1, "v_runs": 1, "v_config": 1, "v_events": 1}
    for view, count in (counts | {"v_alerts": 1, "v_dead_letters": 1}).items():
        assert client.sql(f"SELECT count() AS n FROM {view}").to_pylist() == [{"n": count}], view


def test_current_points_are_those_of_the_latest_attempt(writer: Writer, client: Client, run: Stored) -> None:
    again = [Point("loss", step, START_MS + step, 10.0 + step, 2, 2000, step) for step in range(1, 3)]
    run.batch(again, {2000: 2})
    other = Stored(writer, "p", "other")
    other.batch([Point("loss", 5, START_MS, 0.5, 1, 3000, 0)], {3000: 1})
    writer.refold([run.run, other.run])
    sql = "SELECT run_id, step, value, attempt FROM {} ORDER BY run_id, step, attempt"
    current = [tuple(row.values()) for row in client.sql(sql.format("v_current_points")).to_pylist()]
    assert current == [("other", 5, 0.5, 1), ("r", 0, 1.0, 1), ("r", 1, 11.0, 2), ("r", 2, 12.0, 2)]
    assert len(client.sql(sql.format("v_points"))) == 5


def test_the_pipeline_in_one_row(writer: Writer, client: Client, run: Stored) -> None:
    [row] = client.pipeline().to_pylist()
    assert (row["workers"], row["fresh_to"], row["behind_s"], row["lag"], row["dead_letters"]) == (0, None, None, 0, 0)
    at = now_ms()
    zeros = {"messages": 0, "points": 0, "duplicates": 0, "dead": 0, "lag": 0}
    for worker, seconds, points in (
        ("a", 10, 1_000),
        ("a", 5, 6_000),
        ("a", 0, 11_000),
        ("b", 10, 900_000),
        ("b", 0, 0),
    ):
        beat_row = {"worker": worker, "at": at - seconds * 1000, "fresh_to": at - 2_000} | zeros
        writer.rows("worker_beats", [beat_row | {"points": points, "lag": 7}])
    letters = [
        {"broker": "b", "topic": "t", "partition": 0, "offset": i, "line": 0, "reason": reason}
        | {"detail": "", "key": "", "value": ""}
        for i, reason in enumerate(["bad_json", "bad_json", "bad_step"])
    ]
    writer.rows("dead_letters", letters)
    [row] = client.pipeline().to_pylist()
    assert (row["workers"], row["lag"], row["runs_running"]) == (2, 14, 1)
    assert row["points_per_s"] == 1_000.0  # b began anew
    assert 1.5 < row["behind_s"] < 60
    assert (row["dead_letters"], row["dead_letters_by_reason"]) == (3, {"bad_json": 2, "bad_step": 1})


def test_a_metric_of_many_runs_and_steps_far_apart(writer: Writer, client: Client) -> None:
    steps = np.array([-(2**63), -1, 0, 2**63 - 1], np.int64)
    run = Stored(writer, "p", "far")
    run.begin()
    run.batch([Point("loss", int(step), START_MS, float(i), 1, 1, i) for i, step in enumerate(steps)], {1: 1})
    writer.rollup([Touched(run.run)])
    writer.refold([run.run])
    [row] = client.summaries("far").to_pylist()
    assert (row["first_step"], row["last_step"], row["min_step"], row["max_step"]) == (
        steps[0],
        steps[-1],
        steps[0],
        steps[-1],
    )
    assert [each["step"] for each in client.history("far", "loss", points=2).to_pylist()] == [-1, steps[-1]]


def test_who_logged_what_and_how_much_is_stored_of_it(writer: Writer, client: Client, run: Stored) -> None:
    run.batch([Point("loss", 1, START_MS + 1, 5.0, 2, 2000, 0)], {2000: 2})
    writer.refold([run.run])
    progress = {"run": run.run, "writer": 1000, "stored_at": START_MS, "point_at": START_MS + 1}
    # What came late filled the gap before it: intervals overlap, lines count once.
    writer.rows("ingest_progress", [progress | {"first": 5, "next": 10}, progress | {"first": 0, "next": 10}])
    rows = client.sql("SELECT writer, attempt, rank, host, lines, point_at FROM v_writers ORDER BY attempt").to_pylist()
    assert [(row["writer"], row["attempt"], row["rank"], row["host"], row["lines"]) for row in rows] == [
        ("w1000", 1, 0, "h", 10),
        ("w2000", 2, 0, "h", 0),
    ]
    assert rows[0]["point_at"].timestamp() * 1000 == START_MS + 1
    assert rows[1]["point_at"] is None
    points = client.sql("SELECT step, attempt, writer FROM v_rank_points ORDER BY step, attempt").to_pylist()
    assert [tuple(row.values()) for row in points] == [(0, 1, "w1000"), (1, 1, "w1000"), (1, 2, "w2000")]


def test_when_an_alert_was_acknowledged(writer: Writer, client: Client, run: Stored) -> None:
    said = {"run": run.run, "ts": START_MS, "kind": "user", "severity": "warn", "title": "t", "text": "", "metric": ""}
    said |= {"step": None, "state": "open", "detail": "{}", "version": 1}
    writer.rows("alerts", [said | {"id": "a"}, said | {"id": "b"}])
    action = {"id": "a", "action": "acknowledge", "who": "ada", "reason": "known"}
    writer.rows("alert_actions", [action | {"at": START_MS + 60_000}])
    rows = client.sql("SELECT state, who, acted_at - ts AS s, acted_at FROM v_alerts ORDER BY id").to_pylist()
    assert [(row["state"], row["who"]) for row in rows] == [("acknowledged", "ada"), ("open", None)]
    assert rows[0]["acted_at"].timestamp() * 1000 == START_MS + 60_000
    assert rows[1]["acted_at"] is None
