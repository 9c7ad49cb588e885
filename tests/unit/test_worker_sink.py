"""The order of a batch, what a failure leaves behind, and what a replay does. Storage is a recorder here."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from random import Random
from typing import Any

import pytest

from runtide_storage.errors import Rejected, Unreachable
from runtide_storage.ids import run_key, writer_key
from runtide_workers.envelope import Message
from runtide_workers.intervals import Intervals
from runtide_workers.outlet import Outgoing
from runtide_workers.sink import Policy, Sink, TooManyBad
from tests.fixtures.messages import BROKEN, message, metric_line, start_line

RUN, W = run_key("p", "r"), writer_key("w")


@dataclass
class Stored:
    attempt: int
    rank: int
    intervals: list[tuple[int, int]]
    point_at_ms: int = 0


@dataclass
class Recorder:
    """Keeps what it is given, as ReplacingMergeTree would: by identity. `fail` is called before each step."""

    calls: list[str] = field(default_factory=list)
    fail: Any = None
    points_by_identity: dict[tuple[int, ...], tuple[int, float]] = field(default_factory=dict)
    tables: dict[str, list[dict[str, Any]]] = field(default_factory=dict)
    refused: set[float] = field(default_factory=set)
    gone: set[int] = field(default_factory=set)  # deleted runs

    def _step(self, name: str) -> None:
        self.calls.append(name)
        if self.fail is not None:
            self.fail(name)

    def points(self, columns: dict[str, Any]) -> None:
        self._step("points")
        if self.refused.intersection(columns["value"].tolist()):
            raise Rejected("this value is not welcome")
        names = ("run", "key", "step", "writer", "seq")
        for *identity, attempt, value in zip(
            *(columns[name].tolist() for name in (*names, "attempt", "value")), strict=True
        ):
            self.points_by_identity[tuple(identity)] = (attempt, value)

    def rows(self, table: str, rows: Sequence[dict[str, Any]]) -> None:
        self._step(table)
        self.tables.setdefault(table, []).extend(rows)

    def load_writers(self, pairs: Sequence[tuple[int, int]]) -> dict[tuple[int, int], Stored]:
        self._step("load_writers")
        found: dict[tuple[int, int], Stored] = {}
        for row in self.tables.get("writers", []):
            pair = row["run"], row["writer"]
            if pair in pairs:
                found[pair] = Stored(row["attempt"], row["rank"], [])
        for row in self.tables.get("ingest_progress", []):
            if (pair := (row["run"], row["writer"])) in found:
                found[pair].intervals.append((row["first"], row["next"]))
        return found

    def load_attempts(self, runs: Sequence[int]) -> dict[int, list[tuple[int, int, int, int]]]:
        self._step("load_attempts")
        return {
            run: [
                (row["attempt"], row["rank"], row["writer"], 0)
                for row in self.tables.get("writers", [])
                if row["run"] == run
            ]
            for run in runs
        }

    def deleted(self, runs: Sequence[int]) -> set[int]:
        self._step("deleted")
        return self.gone.intersection(runs)

    def refold(self, runs: Sequence[int]) -> None:
        self._step("refold")


class World:
    """A sink, its storage and its topics."""

    def __init__(self, **policy: int) -> None:
        self.storage = Recorder()
        self.sent: list[Outgoing] = []
        self.policy = Policy(**policy)
        self.restart()

    def restart(self) -> None:
        self.sink = Sink(self.storage, self._publish, "broker-1", self.policy)

    def _publish(self, messages: Sequence[Outgoing]) -> None:
        self.storage._step("publish")
        self.sent += messages

    def progress(self) -> list[tuple[int, int]]:
        rows = self.storage.tables.get("ingest_progress", [])
        return list(Intervals((row["first"], row["next"]) for row in rows))


def kafka(*made: Any, start: int = 0) -> list[Message]:
    return [
        Message("runtide.events", 0, offset, 1_000, each.key, each.value, each.headers)
        for offset, each in enumerate(made, start)
    ]


def lines(first: int, count: int, writer: str = "w", run: str = "r", **header: Any) -> Any:
    return message("p", run, writer, first, [metric_line(step, loss=step / 4) for step in range(first, first + count)])


def test_rows_come_before_the_note_of_what_is_stored() -> None:
    world = World()
    alert = {"t": 5, "e": "alert", "d": {"title": "odd"}}
    stored = world.sink.store(kafka(message("p", "r", "w", 0, [start_line(), metric_line(1, loss=1, x="bad"), alert])))
    assert world.storage.calls == [
        "deleted",
        "load_writers",
        "load_attempts",
        "writers",
        "metrics",
        "run_events",
        "alerts",
        "dead_letters",
        "points",
        "refold",
        "publish",
        "ingest_progress",
    ]
    assert (stored.lines, stored.points, stored.dead, stored.duplicates) == (3, 1, 1, 0)
    assert stored.touched == {RUN: (1, 1)}
    assert world.progress() == [(0, 3)]
    assert [each.topic for each in world.sent] == ["runtide.dead-letter", "runtide.alerts"]


def test_lines_that_are_stored_are_not_stored_again() -> None:
    world = World()
    world.sink.store(kafka(lines(0, 5)))
    stored = world.sink.store(kafka(lines(3, 4), lines(3, 4)))
    assert (stored.points, stored.lines, stored.duplicates) == (2, 2, 6)
    assert world.progress() == [(0, 7)]
    assert sorted(identity[-1] for identity in world.storage.points_by_identity) == list(range(7))


def test_a_new_worker_knows_what_the_old_one_stored() -> None:
    world = World()
    world.sink.store(kafka(lines(0, 5)))
    world.restart()
    stored = world.sink.store(kafka(lines(0, 8)))
    assert (stored.points, stored.duplicates) == (3, 5)


def test_a_message_from_before_may_come_after_a_later_one() -> None:
    world = World()
    world.sink.store(kafka(lines(10, 5)))
    world.sink.store(kafka(lines(0, 5)))
    assert world.progress() == [(0, 5), (10, 15)]
    stored = world.sink.store(kafka(lines(0, 15)))
    assert (stored.points, stored.duplicates) == (5, 10)
    assert world.progress() == [(0, 15)]


@pytest.mark.parametrize("step", ["load_writers", "writers", "metrics", "dead_letters", "points", "publish"])
def test_a_crash_before_the_note_is_repaired_by_the_replay(step: str) -> None:
    world = World()
    batch = kafka(lines(0, 5), BROKEN["not JSON"](lines(5, 1), Random(1)))

    def crash(name: str) -> None:
        if name == step:
            raise Unreachable("gone")

    world.storage.fail = crash
    with pytest.raises(Unreachable):
        world.sink.store(batch)
    assert world.progress() == []
    world.storage.fail = None
    stored = world.sink.store(batch)
    assert (stored.points, stored.dead, stored.duplicates) == (5, 1, 0)
    assert len(world.storage.points_by_identity) == 5
    assert len(world.sent) >= 1
    identities = {(row["offset"], row["line"]) for row in world.storage.tables["dead_letters"]}
    assert identities == {(1, 0)}


def test_attempts_are_the_same_after_a_crash() -> None:
    world = World()
    world.sink.store(kafka(lines(0, 1, "first")))

    def crash(name: str) -> None:
        if name == "points":
            raise Unreachable("gone")

    world.storage.fail = crash
    with pytest.raises(Unreachable):
        world.sink.store(kafka(lines(0, 1, "second")))
    world.storage.fail = None
    world.restart()
    stored = world.sink.store(kafka(lines(0, 1, "second")))
    assert {row["writer_id"]: row["attempt"] for row in world.storage.tables["writers"]} == {"first": 1, "second": 2}
    assert stored.relaunched == {RUN}


def test_a_message_that_storage_refuses_is_buried_alone() -> None:
    world = World()
    world.storage.refused = {3 / 4}
    stored = world.sink.store(kafka(*(lines(seq, 1) for seq in range(8))))
    assert (stored.points, stored.dead, stored.messages) == (7, 1, 8)
    [row] = world.storage.tables["dead_letters"]
    assert (row["offset"], row["line"], row["reason"]) == (3, -1, "rejected")
    assert world.progress() == [(0, 8)]
    assert [dict(each.headers)["offset"] for each in world.sent] == [b"3"]


def test_when_storage_refuses_everything_it_stops() -> None:
    world = World(rejected_messages_max=5)
    world.storage.refused = {step / 4 for step in range(100)}
    with pytest.raises(TooManyBad, match="refused 5 messages in a row"):
        world.sink.store(kafka(*(lines(seq, 1) for seq in range(8))))


def test_when_everything_is_bad_it_stops() -> None:
    world = World(bad_messages_max=10)
    bad = BROKEN["count is zero"](lines(0, 1), Random(1))
    world.sink.store(kafka(*[bad] * 9))
    world.sink.store(kafka(lines(0, 1)))
    world.sink.store(kafka(*[bad] * 9))
    with pytest.raises(TooManyBad, match="10 messages in a row were bad"):
        world.sink.store(kafka(bad))


def test_replayed_dead_lines_do_not_count_as_bad() -> None:
    world = World(bad_messages_max=3)
    bad = BROKEN["not JSON"](lines(0, 1), Random(1))
    for _ in range(5):
        world.sink.store(kafka(bad))
    assert len(world.storage.tables["dead_letters"]) == 1


def test_forgetting_asks_storage_again() -> None:
    world = World()
    world.sink.store(kafka(lines(0, 5)))
    world.storage.tables["ingest_progress"].append(
        {"run": RUN, "writer": W, "first": 0, "next": 9, "point_at": 0}  # by another worker
    )
    world.sink.forget()
    stored = world.sink.store(kafka(lines(5, 5)))
    assert (stored.points, stored.duplicates) == (1, 4)


def test_metric_names_are_written_once() -> None:
    world = World()
    for first in range(3):
        world.sink.store(kafka(lines(first, 1)))
    assert [row["name"] for row in world.storage.tables["metrics"]] == ["loss"]


def test_system_metrics_are_no_progress_of_the_user() -> None:
    world = World()
    world.sink.store(kafka(message("p", "r", "w", 0, [metric_line(1, loss=1.0)])))
    first = world.storage.tables["ingest_progress"][-1]["point_at"]
    world.sink.store(kafka(message("p", "r", "w", 1, [metric_line(9, **{"system/cpu": 1.0})])))
    assert first > 0 and world.storage.tables["ingest_progress"][-1]["point_at"] == first


def test_huge_dead_letters_are_cut_in_the_table_and_whole_in_the_topic() -> None:
    world = World()
    huge = lines(0, 1)
    huge = type(huge)(huge.key, huge.value[:-2] + b" " * 1_500_000 + b"}\n", huge.headers)
    world.sink.store(kafka(huge))
    [row] = world.storage.tables["dead_letters"]
    assert row["reason"] == "line_too_large" and len(row["value"]) == 1 << 20 and "bytes are kept here" in row["detail"]
    assert len(world.sent[0].value) > 1_500_000


def test_what_still_arrives_of_a_deleted_run_is_dropped() -> None:
    world = World()
    world.storage.gone.add(RUN)
    stored = world.sink.store(kafka(lines(0, 5), lines(5, 5), lines(0, 3, run="other")))
    assert (stored.lines, stored.points, stored.duplicates) == (3, 3, 10)
    assert {row["run_id"] for row in world.storage.tables["writers"]} == {"other"}
    world.storage.calls.clear()
    assert world.sink.store(kafka(lines(10, 5))).points == 0
    assert "deleted" not in world.storage.calls  # it is known by now
