"""Every part of the path killed or stopped under load: the short version of `make test-faults`; and that it counts."""

from __future__ import annotations

import struct
import subprocess
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from benchmarks.fault_ledger import Exactness, Ledger, posts
from benchmarks.fault_plan import KINDS, PARTS, schedule
from benchmarks.fault_producers import FAMILY_PROJECT, LOSS_KEY, STEADY_KEYS, STEPS, Producer
from benchmarks.faults import campaign, figures, table
from tests.fixtures.storage import Engine
from tests.fixtures.trainer import losses, value

FAULTS, CALLS = 10, 40


@pytest.mark.timeout(900)
def test_ten_faults_a_rebalance_and_an_outage(tmp_path: Path) -> None:
    outcome = campaign(
        tmp_path,
        print,
        seed=10,
        faults=FAULTS,
        stop_s_max=4,
        rebalance_s=15,
        outage_s=10,
        slots=24,
        families=8,
        lag_s_max=10,
        calls_per_s=2,
    )
    assert outcome.bad == 0, table(outcome)
    assert len(outcome.survived) == FAULTS
    assert {each.fault.part for each in outcome.survived} == set(PARTS)
    assert len(outcome.phases) == 4
    last = outcome.phases[-1]
    assert last.points.expected > 10_000
    assert last.alerts.due > 0 and last.alerts.posts >= last.alerts.due
    assert {figure.name: figure.within for figure in figures(outcome)}["points lost, doubled or changed"]


def test_the_schedule_comes_from_its_seed() -> None:
    plan = schedule(6, 200, 20)
    assert plan == schedule(6, 200, 20) != schedule(7, 200, 20)
    assert {each.part for each in plan[:7]} == set(PARTS)
    assert {(each.part, each.kind) for each in plan[:14]} == {(part, kind) for part in PARTS for kind in KINDS}
    assert all(1 <= each.stopped_s <= 20 for each in plan if each.kind == "SIGSTOP")


@pytest.fixture
def ledger(database: Engine) -> Ledger:
    return Ledger(lambda sql, **parameters: list(database.client("writer").query(sql, parameters).named_results()))


def producer(tmp_path: Path, number: int, worse: float | None = None, calls: int = CALLS) -> Producer:
    """A process that has ended, and whose tally says `calls`."""
    tally = tmp_path / f"{number}.tally"
    tally.write_bytes(struct.pack("<q", calls))
    process = subprocess.Popen(["true"])
    process.wait()
    return Producer(number, worse is not None, worse or 1.0, process, tally)


def store(database: Engine, each: Producer, calls: int = CALLS, **changes: Any) -> None:
    """All points of `calls` calls, or, with `changes`, one more like the last."""
    keys, curve = STEADY_KEYS, losses(each.number, STEPS, each.worse)
    rows = [
        {"run": each.run, "key": key, "step": step, "value": value(each.number, step, metric), "writer": 1, "seq": step}
        for step in range(calls) for metric, key in enumerate(keys)
    ]  # fmt: skip
    if each.is_family:
        rows = [row | {"key": LOSS_KEY, "value": curve[int(row["step"])]} for row in rows[:: len(keys)]]
    rows = [rows[-1] | changes] if changes else rows
    names = ["run", "key", "step", "value", "writer", "seq"]
    database.client().insert("points", [[row[name] for name in names] for row in rows], column_names=names)


@pytest.mark.parametrize("worse", [None, 1.3])
def test_the_ledger_counts(database: Engine, ledger: Ledger, tmp_path: Path, worse: float | None) -> None:
    each, points = producer(tmp_path, 5, worse), CALLS * (1 if worse else 10)
    store(database, each, CALLS - 1)
    accepted = {5: (each, each.accepted())}
    assert ledger.arrived([each]) == {5: CALLS - 1}
    assert ledger.everything(accepted) == Exactness(points, points // CALLS, 0, 0)
    store(database, each)  # the same again, and the call that was missing
    assert ledger.everything(accepted, ended=True) == Exactness(points)
    store(database, each, seq=1_000)
    assert ledger.everything(accepted).twice == 1
    store(database, each, value=-1.0)  # in the place of the one that is right
    assert ledger.everything(accepted).wrong == 1


def test_the_ledger_wants_no_more_than_was_logged(database: Engine, ledger: Ledger, tmp_path: Path) -> None:
    each = producer(tmp_path, 6)
    store(database, each, CALLS + 1)
    accepted = {6: (each, each.accepted())}
    assert ledger.everything(accepted, ended=True).wrong == 1
    each.killed = True  # between a call's line and its tally
    assert ledger.everything(accepted, ended=True).bad == 0
    store(database, each, CALLS + 2)
    assert ledger.everything(accepted, ended=True).wrong == 1


def test_along_the_way_it_looks_at_what_is_new(database: Engine, ledger: Ledger, tmp_path: Path) -> None:
    each = producer(tmp_path, 7)
    store(database, each, 10)
    assert ledger.news({7: (each, 10)}) == ledger.news({7: (each, 10)}) == Exactness(100)
    ledger.looked_at({7: (each, 10)})
    assert ledger.news({7: (each, 12)}) == Exactness(20, 20)


def test_it_knows_alerts_that_are_missing_doubled_false_and_not_told(
    database: Engine, ledger: Ledger, tmp_path: Path
) -> None:
    bad, good = producer(tmp_path, 1, 1.3, STEPS), producer(tmp_path, 2, 1.0, STEPS)
    both = [bad, good]
    for each in both:
        names = {"run": each.run, "project": FAMILY_PROJECT, "run_id": each.run_id}
        database.client().insert("runs", [list(names.values())], column_names=list(names))

    def alert(each: Producer, key: str, incident: str, quiet: int = 0) -> None:
        row = {
            "id": key, "run": each.run, "kind": "regression", "severity": "page", "state": "open",
            "incident": incident, "quiet": quiet,
        }  # fmt: skip
        database.client().insert("alerts", [list(row.values())], column_names=list(row))

    assert ledger.telling(both, both, []).missed == ["f1"]
    assert ledger.telling(both, [good], []).bad == 0  # the bad one still goes on
    alert(bad, "a" * 32, "i")
    assert ledger.telling(both, both, []).untold == ["a" * 32]
    sent = {
        "alert": "a" * 32,
        "channel": "c",
        "label": "",
        "state": "sent",
        "tries": 1,
        "error": "",
        "at": datetime.now(UTC),
    }
    database.client().insert("deliveries", [list(sent.values())], column_names=list(sent))
    told = ledger.telling(both, both, [{"message": f"alert {'a' * 32}"}] * 2)
    assert (told.bad, told.due, told.raised, told.posts, told.repeated) == (0, 1, 1, 2, 1), told
    alert(bad, "b" * 32, "i", quiet=1)
    assert ledger.telling(both, both, []).bad == 0  # of the same incident, and nobody was told
    alert(bad, "c" * 32, "other")
    alert(good, "d" * 32, "third")
    told = ledger.telling(both, both, [])
    assert len(told.doubled) == 1 and len(told.false) == 1


def test_a_run_killed_in_its_regression_may_be_told_of_or_not(tmp_path: Path) -> None:
    each = producer(tmp_path, 3, 1.3, STEPS // 2)
    assert each.pages() == (1, 1)
    each.killed = True
    assert each.pages() == (0, 1)
    assert posts([{"message": "nothing"}]) == (0, 0)
