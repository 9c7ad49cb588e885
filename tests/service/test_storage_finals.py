"""Final values run over run, leave-one-out peaks and raw points, on the real engine."""

import json
import math
import time
from typing import Any

import pytest

from runtide_storage import Client
from runtide_storage.errors import NotFound, Unreachable
from runtide_storage.ids import key_id
from runtide_storage.writer import Writer
from tests.fixtures.histories import START_MS, Point
from tests.fixtures.planned import HOUR_MS, add_planned

HOSTILE = "it's {a:String} \\ <b>%s"


def test_finished_runs_of_a_family_in_order_with_their_commits(writer: Writer, client: Client) -> None:
    add_planned(writer, "b", 2, {"val/loss": [3, 1, 2]}, meta={"git/commit": "c2", "git/dirty": True})
    add_planned(writer, "a", 1, {"val/loss": [3, 2]}, meta={"git/commit": "c1", "git/dirty": False})
    add_planned(writer, "c", 3, {"val/loss": [1]}, state="failed")
    add_planned(writer, "d", 4, {"val/loss": [1]}, state="running")
    add_planned(writer, "e", 5, {"acc": [0.5]})  # never logged the metric
    add_planned(writer, "f", 6, {"val/loss": [1]}, family=None)
    add_planned(writer, "g", 7, {"val/loss": [1]}, project="other")
    found = client.finals("p")
    assert found.columns == [
        "project", "group", "family", "fields", "metric", "goal", "run_id", "run", "started_at", "last", "last_step",
        "best", "commit", "dirty",
    ]  # fmt: skip
    rows = found.to_pylist()
    assert [(row["run_id"], row["last"], row["last_step"], row["best"]) for row in rows] == [
        ("a", 2.0, 1, 2.0),
        ("b", 2.0, 2, 1.0),
    ]
    assert [(row["commit"], row["dirty"]) for row in rows] == [("c1", False), ("c2", True)]
    assert {(row["family"], row["metric"], row["goal"], row["group"]) for row in rows} == {
        ("07", "val/loss", "minimize", "g")
    }
    assert json.loads(rows[0]["fields"]) == {"group": "g"}
    assert rows[0]["started_at"].timestamp() * 1000 == START_MS + HOUR_MS


def test_each_family_by_its_own_metric_or_all_by_one(writer: Writer, client: Client) -> None:
    both = {"val/loss": [2.0], "acc": [0.1, 0.4, 0.3]}
    add_planned(writer, "a", 1, both, family=1)
    add_planned(writer, "b", 2, both, family=2, primary="acc", goals={"acc": "maximize"}, group="h")
    add_planned(writer, "c", 3, both, family=3, primary="")

    def seen(**options: Any) -> list[tuple[str, str, str | None, float | None]]:
        return [(row["run_id"], row["metric"], row["goal"], row["best"]) for row in client.finals("p", **options)]

    assert seen() == [("a", "val/loss", "minimize", 2.0), ("b", "acc", "maximize", 0.4)]
    assert seen(metric="acc") == [("a", "acc", None, None), ("b", "acc", "maximize", 0.4), ("c", "acc", None, None)]
    assert seen(group="h") == [("b", "acc", "maximize", 0.4)]
    assert seen(group="") == seen(metric="nope") == []
    assert list(client.finals("nobody")) == []


def test_what_is_known_of_a_family_by_and_by_counts_for_all_of_it(writer: Writer, client: Client) -> None:
    add_planned(writer, "a", 1, {"val/loss": [2.0]}, primary="", goals={})
    add_planned(writer, "b", 2, {"val/loss": [1.0]})
    add_planned(writer, "c", 3, {"val/loss": [3.0]}, primary="", goals={})
    assert [(row["run_id"], row["metric"], row["best"]) for row in client.finals("p")] == [
        ("a", "val/loss", 2.0),
        ("b", "val/loss", 1.0),
        ("c", "val/loss", 3.0),
    ]


def test_the_newest_of_each_family(writer: Writer, client: Client) -> None:
    for at in range(4):
        add_planned(writer, f"a{at}", at, {"val/loss": [1.0]}, family=1)
        add_planned(writer, f"b{at}", at, {"val/loss": [1.0]}, family=2)
    assert [row["run_id"] for row in client.finals("p", limit=2)] == ["a2", "a3", "b2", "b3"]


def test_nan_at_the_end_and_nothing_but_nan(writer: Writer, client: Client) -> None:
    add_planned(writer, "a", 1, {"val/loss": [1.0, math.nan]})
    add_planned(writer, "b", 2, {"val/loss": [math.nan, math.inf]})
    rows = client.finals("p").to_pylist()
    assert math.isnan(rows[0]["last"]) and rows[0]["best"] == 1.0
    assert rows[1]["last"] == math.inf and rows[1]["best"] is None
    assert (rows[0]["commit"], rows[0]["dirty"]) == (None, False)


def test_a_long_curve_ends_where_its_last_tier_does(writer: Writer, client: Client) -> None:
    add_planned(writer, "a", 1, {"val/loss": [float(step) for step in range(3000)]})
    [row] = client.finals("p")
    assert (row["last"], row["last_step"], row["best"]) == (2999.0, 2999, 0.0)


def test_hostile_names_are_only_names(writer: Writer, client: Client) -> None:
    add_planned(
        writer,
        HOSTILE,
        1,
        {HOSTILE: [1.5]},
        primary=HOSTILE,
        group=HOSTILE,
        project=HOSTILE,
        goals={HOSTILE: "maximize"},
    )
    [row] = client.finals(HOSTILE, metric=HOSTILE, group=HOSTILE)
    assert (row["run_id"], row["metric"], row["group"], row["best"]) == (HOSTILE, HOSTILE, HOSTILE, 1.5)


def test_peaks_are_of_each_run_in_its_newest_cohort(writer: Writer, client: Client) -> None:
    runs = [add_planned(writer, f"r{at}", at, {"val/loss": [1.0]}).run for at in range(4)]
    now_ms = time.time_ns() // 1_000_000  # they are kept for 90 days
    fitted = {"family": 7, "metric": "val/loss", "aspect": "value", "goal": "minimize", "scale": "log", "gap_s": 1.0}
    shape: dict[str, Any] = {"edges": [0.0, 1.0], "curves": [[1.0]] * 3, "steps": [[0.0]] * 3}
    older = {"cohort": 1, "members": runs[:3], "wild": [], "peaks": [0.5, 9.0, 1.0], "made_at": now_ms - 1}
    newer = {
        "cohort": 2,
        "members": runs[1:],
        "wild": [runs[3]],
        "peaks": [2.0, math.nan, 30.0],
        "made_at": now_ms,
    }
    writer.rows("baselines", [fitted | shape | older, fitted | shape | newer])
    found = {row["run"]: (row["peak"], row["n"]) for row in client.peaks("p")}
    assert found == {runs[0]: (0.5, 3), runs[1]: (2.0, 2), runs[2]: (1.0, 3)}
    assert len(client.peaks("q")) == 0


def test_points_come_in_blocks_in_order(writer: Writer, client: Client) -> None:
    values = [math.nan if step % 1000 == 7 else float(step) for step in range(150_000)]
    add_planned(writer, "a", 1, {"val/loss": values, "acc": [1.0]})
    blocks = list(client.points("p/a", "val/loss"))
    assert len(blocks) > 1 and blocks[0].columns == ["step", "ts", "value"]
    steps = [step for block in blocks for step in block.arrow["step"].to_pylist()]
    assert steps == list(range(150_000))
    assert blocks[0].arrow["value"][8].as_py() == 8.0 and math.isnan(blocks[0].arrow["value"][7].as_py())
    assert [len(block) for block in client.points("p/a", "nope")] in ([], [0])
    with pytest.raises(NotFound):
        client.points("p/nobody", "val/loss")


def test_points_are_those_that_no_later_attempt_superseded(writer: Writer, client: Client) -> None:
    run = add_planned(writer, "a", 1, {})
    old = [Point("loss", step, START_MS, 1.0, 1, 1, step) for step in range(5)]
    new = [Point("loss", step, START_MS, 2.0, 2, 2, step) for step in range(3, 6)]
    writer.rows("metrics", [{"id": key_id("loss"), "name": "loss"}])
    run.batch([*old, *new], {1: 1, 2: 2})
    writer.refold([run.run])
    [block] = client.points("p/a", "loss")
    assert block.arrow["value"].to_pylist() == [1.0, 1.0, 1.0, 2.0, 2.0, 2.0]


def test_without_a_server() -> None:
    with pytest.raises(Unreachable, match="can't be reached"):
        Client("http://reader:x@127.0.0.1:1/runtide").finals("p")
