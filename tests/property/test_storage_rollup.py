"""Tiers and summaries speak exactly of the current points, whatever came in which order and how often."""

import itertools
import math
from collections.abc import Iterable, Mapping
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from runtide_storage import Client
from runtide_storage.writer import Touched, Writer
from tests.fixtures.histories import METRICS, History, Point, Stored, aggregate, current, histories, near, same

NUMBERS = itertools.count()
PLAIN = settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])

TIERS = """
SELECT m.name AS metric, t.bucket AS bucket, t.stored AS stored, n, nonfinite, sum, t.min AS min, min_step,
    t.max AS max, max_step, first, first_step, last, last_step,
    toUnixTimestamp64Milli(first_ts) AS first_ts, toUnixTimestamp64Milli(last_ts) AS last_ts
FROM tiers AS t FINAL INNER JOIN metrics AS m FINAL ON t.key = m.id WHERE t.run = {run:UInt64}
"""


def fresh(writer: Writer) -> Stored:
    return Stored(writer, "p", f"r{next(NUMBERS)}")


def check_tiers(client: Client, run: int, points: list[Point]) -> None:
    live = current(points)
    expected = {}
    for metric, bucket in {(p.metric, p.step >> 10) for p in points}:
        inside = [p for p in live if (p.metric, p.step >> 10) == (metric, bucket)]
        stored = sum((p.metric, p.step >> 10) == (metric, bucket) for p in points)
        expected[metric, bucket] = {"stored": stored} | (aggregate(inside) if inside else {"n": 0, "nonfinite": 0})
    found = {(row.pop("metric"), row.pop("bucket")): row for row in client.sql(TIERS, {"run": run}).to_pylist()}
    assert found.keys() == expected.keys()
    for place, wanted in expected.items():
        agree(found[place], wanted, [p for p in live if (p.metric, p.step >> 10) == place])


def agree(found: Mapping[str, Any], wanted: Mapping[str, Any], points: Iterable[Point]) -> None:
    scale = math.fsum(abs(p.value) for p in points if math.isfinite(p.value))
    for name, value in wanted.items():
        if name in ("sum", "mean"):
            assert near(found[name], value, scale), (name, found, wanted)
        else:
            assert same(found[name], value), (name, found, wanted)


@PLAIN
@given(history=histories())
def test_tiers_are_what_the_points_say(writer: Writer, client: Client, history: History) -> None:
    run = fresh(writer)
    run.store(history)
    check_tiers(client, run.run, history.points)
    assert run.run not in [touched.run for touched in writer.stale_rollups()]


@PLAIN
@given(history=histories(), data=st.data())
def test_a_lost_rollup_is_found_and_repaired(
    writer: Writer, client: Client, history: History, data: st.DataObject
) -> None:
    """As after a crash between the points and their rollup."""
    run = fresh(writer)
    run.begin()
    for batch in history.batches:
        run.batch(batch, history.attempts, rollup=data.draw(st.booleans()))
    last = max(point.seq for point in history.points) + 1
    writer.rows("ingest_progress", [{"run": run.run, "writer": 1000, "first": 0, "next": last, "point_at": 0}])
    writer.rollup(touched for touched in writer.stale_rollups() if touched.run == run.run)
    check_tiers(client, run.run, history.points)
    writer.rollup([Touched(run.run)])
    check_tiers(client, run.run, history.points)


@PLAIN
@given(history=histories())
def test_summaries_are_what_the_points_say(writer: Writer, client: Client, history: History) -> None:
    run = fresh(writer)
    run.store(history)
    found = {row["metric"]: row for row in client.summaries(run.ref).to_pylist()}
    live = current(history.points)
    assert found.keys() == {p.metric for p in live}
    for metric in METRICS:
        points = [p for p in live if p.metric == metric]
        if points:
            wanted = aggregate(points)
            finite = wanted["n"] - wanted["nonfinite"]
            wanted["mean"] = wanted["sum"] / finite if finite else math.nan
            for name in ("sum", "first_ts", "last_ts"):
                del wanted[name]
            if not finite:
                del wanted["min_step"], wanted["max_step"]
            agree(found[metric], wanted, points)
