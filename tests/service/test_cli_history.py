"""`runtide regressions` on the real engine, with runs as the worker stores them."""

import json
import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest

from runtide import cli
from runtide_storage import Client
from runtide_storage.regressions import histories
from runtide_storage.writer import Writer
from tests.fixtures.planned import add_planned
from tests.fixtures.storage import Engine

HOSTILE = "\x1b[31m<b>it's"


class Lab:
    """A database with runs in it, one an hour, and the command line to it, in this process."""

    def __init__(self, database: Engine, capsys: pytest.CaptureFixture[str]) -> None:
        self.writer = Writer(database.client())
        self.client = Client(database.url("reader"))
        self._capsys = capsys
        self._hour = 0

    def runs(
        self,
        finals: Sequence[float],
        commit: str | None = "c1",
        *,
        dirty: bool = False,
        prefix: str = "r",
        project: str = "p",
        group: str = "g",
        family: int = 7,
        metric: str = "val/loss",
        goal: str = "minimize",
    ) -> None:
        """Finished runs of three points that end at these values."""
        for final in finals:
            self._hour += 1
            add_planned(
                self.writer,
                f"{prefix}{self._hour}",
                self._hour,
                {metric: (0.5, 9.0, final)},
                family=family,
                primary=metric,
                goals={metric: goal} if goal else {},
                fields={"project": project, "group": group, "config.batch_size": 32},
                project=project,
                group=group,
                meta={"git/commit": commit, "git/dirty": dirty} if commit else {},
            )

    def __call__(self, *arguments: str, expect: int = 0) -> str:
        """Run the command; what it printed."""
        code = cli.main(["regressions", *arguments])
        printed = self._capsys.readouterr()
        assert code == expect, f"exit {code}: {printed.out}{printed.err}"
        assert "\x1b" not in printed.out and printed.err == ""
        return printed.out

    def families(self, *arguments: str, expect: int = 0) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = json.loads(self(*arguments, "--json", expect=expect))["families"]
        return found


@pytest.fixture
def lab(database: Engine, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Lab:
    monkeypatch.setenv("RUNTIDE_CLICKHOUSE", database.url("reader"))
    return Lab(database, capsys)


def around(level: float, runs: int, seed: int = 0) -> list[float]:
    """Healthy runs: 0.2 % apart."""
    return [float(value) for value in level * np.exp(np.random.default_rng(seed).normal(0, 0.002, runs))]


def test_a_regression_names_its_first_run_and_the_commits(lab: Lab) -> None:
    lab.runs(around(1.0, 8), "a" * 40)
    lab.runs(around(1.05, 4, seed=1), "b" * 40, dirty=True)
    [family] = lab.families("--project", "p", expect=1)
    assert (family["project"], family["group"], family["metric"], family["goal"]) == ("p", "g", "val/loss", "minimize")
    assert (family["runs"], family["newest"], family["by"], family["suspect"]) == (12, "worse", "final", None)
    [change] = family["changes"]
    assert change["direction"] == "worse" and change["effect"] == pytest.approx(0.05, abs=0.005)
    assert change["p"] < 0.001 and (change["runs_before"], change["runs_after"]) == (8, 4)
    last, first = change["last_before"], change["first_after"]
    assert (last["run_id"], last["commit"], last["dirty"]) == ("r8", "a" * 40, False)
    assert (first["run_id"], first["commit"], first["dirty"]) == ("r9", "b" * 40, True)
    plain = lab("--project", "p", expect=1)
    assert all(
        word in plain for word in ("p/g (batch_size=32)", "p/r9", "aaaaaaaaaa..bbbbbbbbbb+", "% worse", "now worse")
    )


def test_better_and_recovered_is_no_negative_answer(lab: Lab) -> None:
    lab.runs([*around(1.0, 6), *around(1.05, 6, seed=1), *around(0.98, 6, seed=2)])
    [family] = lab.families()
    assert [change["direction"] for change in family["changes"]] == ["worse", "better"]
    assert family["newest"] == "better" and family["changes"][1]["effect"] < 0
    assert "c1 on both sides" in lab()


def test_a_goal_turns_it_round_and_without_one_nobody_can_say(lab: Lab) -> None:
    lab.runs([*around(0.8, 6), *around(0.7, 6)], metric="accuracy", goal="maximize", family=1)
    lab.runs([*around(0.8, 6), *around(0.7, 6)], metric="what", goal="", family=2)
    lab.runs([*around(0.8, 6), *around(0.7, 6)], metric="top1", goal="", family=3)  # its name tells
    found = {family["metric"]: family for family in lab.families(expect=1)}
    assert {name: family["newest"] for name, family in found.items()} == {
        "accuracy": "worse",
        "what": "changed",
        "top1": "worse",
    }
    assert found["what"]["changes"][0]["effect"] is None and found["what"]["changes"][0]["change"] < 0
    assert "no goal known" in lab(expect=1)


def test_the_best_value_instead_of_the_final_one(lab: Lab) -> None:
    lab.runs([*around(1.0, 6), *around(2.0, 6)])  # every run was at 0.5 once
    assert lab.families("--by", "final", expect=1)[0]["newest"] == "worse"
    [family] = lab.families("--by", "best")
    assert (family["newest"], family["by"], family["changes"]) == ("steady", "best", [])
    lab.runs(around(1.0, 6), metric="what", goal="", family=2)
    assert "without a goal there is no best value" in lab("--by", "best")


def test_the_first_run_of_a_commit_is_suspected_and_three_are_sure(lab: Lab) -> None:
    lab.runs(around(1.0, 8), "old")
    lab.runs([1.06], "new")
    [family] = lab.families()
    assert family["changes"] == [] and family["newest"] == "steady"
    assert family["suspect"]["direction"] == "worse" and family["suspect"]["runs_after"] == 1
    assert family["suspect"]["first_after"]["commit"] == "new"
    assert "suspected: r9 on commit new is 5.9 % worse than 8 runs before it" in lab()
    lab.runs([1.0601, 1.0603], "new")
    [family] = lab.families(expect=1)
    assert family["newest"] == "worse" and family["suspect"] is None


def test_runs_without_a_commit_are_no_commit(lab: Lab) -> None:
    lab.runs([*around(1.0, 8), 1.06], None)
    [family] = lab.families()
    assert family["suspect"] is None
    lab.runs([1.06, 1.061, 1.062], None)
    assert "unknown" in lab(expect=1)


def test_families_are_apart_and_narrowed_down(lab: Lab) -> None:
    lab.runs(around(1.0, 6), family=1)
    lab.runs(around(2.0, 6), family=2, group="h")
    lab.runs([*around(1.0, 6), *around(1.1, 6)], project="q", family=3)
    seen = [(each["project"], each["group"], each["newest"]) for each in lab.families(expect=1)]
    assert seen == [("p", "g", "steady"), ("p", "h", "steady"), ("q", "g", "worse")]
    assert [each["group"] for each in lab.families("--project", "p")] == ["g", "h"]
    assert [each["group"] for each in lab.families("--project", "p", "--group", "h")] == ["h"]
    assert lab.families("--project", "p", "--metric", "acc") == []


def test_nothing_yet(lab: Lab) -> None:
    assert lab.families() == []
    said = lab("--project", "p", "--group", HOSTILE, "--metric", "m")
    assert said.count("\n") == 1 and "no finished runs in project p of group" in said and "with metric m" in said
    lab.runs(around(1.0, 2))
    assert "2 runs: at least 6 are needed" in lab()
    assert lab.families()[0]["newest"] == "too few runs"


def test_runs_that_ended_in_nan_are_counted_and_passed_over(lab: Lab) -> None:
    lab.runs([*around(1.0, 6), math.nan, *around(1.05, 6)])
    [family] = lab.families(expect=1)
    assert (family["runs"], family["runs_with_a_value"]) == (13, 12)
    assert (
        family["changes"][0]["first_after"]["run_id"] == "r8" and family["changes"][0]["last_before"]["run_id"] == "r6"
    )
    assert "(1 without a finite value)" in lab(expect=1)


def test_hostile_names_are_only_names(lab: Lab) -> None:
    lab.runs(
        [*around(1.0, 6), *around(1.05, 6)], HOSTILE, prefix=HOSTILE, project=HOSTILE, group=HOSTILE, metric=HOSTILE
    )
    assert "<b>it's" in lab("--project", HOSTILE, expect=1)


def test_a_page_can_ask_the_same(lab: Lab) -> None:
    lab.runs([*around(1.0, 6), *around(1.05, 6)])
    [history] = histories(lab.client.finals("p"), "final")
    assert [each.direction for each in history.changes] == ["worse"] and history.known == 12
