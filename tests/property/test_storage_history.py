"""Curves keep what charts need: all points when few, and the extremes, the last value and the odd ones when many."""

import itertools
import math
from collections import defaultdict
from typing import Any
from unittest.mock import patch

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from runtide_storage import Client
from runtide_storage.writer import Writer
from tests.fixtures.histories import START_MS, History, Point, Stored, aggregate, current, histories, near, same

NUMBERS = itertools.count()
PLAIN = settings(max_examples=15, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
AXES = ("step", "time", "relative", "acc/val")


def stored(writer: Writer, history: History, rollup: bool = True) -> Stored:
    run = Stored(writer, "p", f"r{next(NUMBERS)}")
    run.store(history, rollup)
    return run


def rows(client: Client, run: Stored, points: int, **options: Any) -> list[dict[str, Any]]:
    table = client.history(run.ref, "loss", points, **options).arrow
    if "x" in table.column_names and not table.schema.field("x").type.equals("double"):
        table = table.set_column(table.column_names.index("x"), "x", table["x"].cast("int64"))
    found: list[dict[str, Any]] = table.to_pylist()
    return found


def along(x: str, points: list[Point], live: list[Point]) -> list[tuple[float, Point]]:
    """The points with their places on the axis; without one where the line has none."""
    if x == "step":
        return [(p.step, p) for p in points]
    if x == "time":
        return [(p.ts_ms, p) for p in points]
    if x == "relative":
        return [(p.ts_ms - START_MS, p) for p in points]
    other = {(p.writer, p.seq): p.value for p in live if p.metric == x}
    placed = [(other.get((p.writer, p.seq), math.nan), p) for p in points]
    return [(at, p) for at, p in placed if math.isfinite(at)]


@pytest.mark.parametrize("x", AXES)
@PLAIN
@given(history=histories(), is_rolled_up=st.booleans())
def test_a_short_curve_comes_as_it_is(
    writer: Writer, client: Client, x: str, history: History, is_rolled_up: bool
) -> None:
    run = stored(writer, history, is_rolled_up)
    found = rows(client, run, 10_000, x=x)
    live = [p for p in current(history.points) if p.metric == "loss"]
    placed = along(x, live, history.points)
    assert [row["x"] for row in found] == sorted(at for at, _ in placed)
    if x == "step":
        ordered = sorted(live, key=lambda p: p.place)
        assert [row["step"] for row in found] == [p.step for p in ordered]
        for row, point in zip(found, ordered, strict=True):
            assert all(same(row[name], point.value) for name in ("mean", "min", "max", "last"))
            assert (row["n"], row["nonfinite"]) == (1, not math.isfinite(point.value))


@pytest.mark.parametrize("x", AXES)
@PLAIN
@given(history=histories(lines_max=30), points=st.integers(1, 12))
def test_a_long_curve_keeps_its_extremes(writer: Writer, client: Client, x: str, history: History, points: int) -> None:
    run = stored(writer, history)
    found = rows(client, run, points, x=x)
    live = [p for p in current(history.points) if p.metric == "loss"]
    placed = along(x, live, history.points)
    assert sum(row["n"] for row in found) == len(placed)
    if len(live) > points and x != "acc/val":  # along a metric, buckets are chosen for all its points
        assert len(found) <= max(points, 2)
    assert [row["x"] for row in found] == sorted(row["x"] for row in found)
    finite = [p.value for _, p in placed if math.isfinite(p.value)]
    if finite:
        regular = [row for row in found if row["n"] > row["nonfinite"]]
        assert min(row["min"] for row in regular) == min(finite)
        assert max(row["max"] for row in regular) == max(finite)
    assert sum(row["nonfinite"] for row in found) == len(placed) - len(finite)
    if x == "step":
        check_buckets(found, live)
    assert repr(rows(client, run, points, x=x)) == repr(found)


@PLAIN
@given(history=histories(lines_max=30), points=st.integers(1, 4))
def test_tiers_are_folded_alike_here_and_by_the_server(
    writer: Writer, client: Client, history: History, points: int
) -> None:
    run = stored(writer, history)
    here = rows(client, run, points)
    with patch("runtide_storage.history.FEW_CURVES", 0):
        there = rows(client, run, points)
    with patch("runtide_storage.history.ROWS_MAX", 0):  # there turn out to be more tiers than are fetched
        assert repr(rows(client, run, points)) == repr(there)
    for one, other in zip(here, there, strict=True):
        assert near(one.pop("mean"), other.pop("mean"), one["n"] * max(abs(one["min"]), abs(one["max"])))
    assert repr(here) == repr(there)


@PLAIN
@given(first=histories(lines_max=30), second=histories(lines_max=30), points=st.integers(1, 40))
def test_short_curves_are_the_same_read_at_once(
    writer: Writer, client: Client, first: History, second: History, points: int
) -> None:
    refs = [stored(writer, history).ref for history in (first, second)]

    def curves() -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = client.history(refs, ["loss", "acc/val"], points).arrow.to_pylist()
        return found

    with patch("runtide_storage.history.FEW_CURVES", 0):
        at_once = curves()
        with patch("runtide_storage.history.FEW_POINTS", 0):
            later = curves()
        with patch(
            "runtide_storage.history.rows_read_max", lambda curves: 1
        ):  # there turns out to be more than was hoped
            assert_alike(curves(), later)
    assert_alike(at_once, later)


@PLAIN
@given(first=histories(lines_max=30), second=histories(lines_max=30), points=st.integers(1, 40))
def test_a_band_of_short_curves_is_the_same_folded_here(
    writer: Writer, client: Client, first: History, second: History, points: int
) -> None:
    refs = [stored(writer, history).ref for history in (first, second)]
    with patch("runtide_storage.history.FEW_CURVES", 0):
        here = client.baseline_band(refs, "loss", points).to_pylist()
        with patch("runtide_storage.bands.SHORT", 0):
            there = client.baseline_band(refs, "loss", points).to_pylist()
    assert [(row["x"], row["n"]) for row in here] == [(row["x"], row["n"]) for row in there]
    # Values that cancel out in a mean are rounded in its sum: their size counts, not that of what remains.
    logged = [abs(p.value) for history in (first, second) for p in history.points if math.isfinite(p.value)]
    scale = sum(logged)
    for one, other in zip(here, there, strict=True):
        assert all(near(one[name], other[name], scale) for name in one if other[name] is not None)


def assert_alike(some: list[dict[str, Any]], others: list[dict[str, Any]]) -> None:
    """Equal rows, but for how a mean of many was rounded, and which zero of several is the least."""
    assert len(some) == len(others)
    for one, other in zip(some, others, strict=True):
        if one["n"] == 1:
            assert repr(one) == repr(other)
            continue
        assert near(one["mean"], other["mean"], one["n"] * max(abs(one["min"]), abs(one["max"])))
        assert all(same(one[name], other[name]) for name in one if name != "mean")


def check_buckets(found: list[dict[str, Any]], live: list[Point]) -> None:
    """Each row is the aggregate of the points after the row before, up to its x."""
    before = -math.inf
    by_row: dict[int, list[Point]] = defaultdict(list)
    edges = [row["x"] for row in found]
    for point in live:
        by_row[next(i for i, edge in enumerate(edges) if point.step <= edge)].append(point)
    for i, row in enumerate(found):
        assert row["x"] > before or row["n"] == 1
        before = row["x"]
        if all(each["n"] == 1 for each in found):
            continue
        wanted = aggregate(by_row[i])
        finite = wanted["n"] - wanted["nonfinite"]
        assert (row["n"], row["nonfinite"], row["step"]) == (wanted["n"], wanted["nonfinite"], wanted["last_step"])
        assert same(row["last"], wanted["last"])
        if finite:
            scale = math.fsum(abs(p.value) for p in by_row[i] if math.isfinite(p.value))
            assert (row["min"], row["max"]) == (wanted["min"], wanted["max"])
            assert near(row["mean"], wanted["sum"] / finite, scale)


@PLAIN
@given(history=histories())
def test_all_attempts_are_curves_of_their_own(writer: Writer, client: Client, history: History) -> None:
    run = stored(writer, history)
    found = rows(client, run, 10_000, attempts="all")
    points = [p for p in history.points if p.metric == "loss"]
    assert [(row["attempt"], row["step"]) for row in found] == sorted((p.attempt, p.step) for p in points)


@PLAIN
@given(history=histories(), edges=st.tuples(st.integers(-3100, 3100), st.integers(0, 3000)))
def test_a_window_cuts_exactly(writer: Writer, client: Client, history: History, edges: tuple[int, int]) -> None:
    run = stored(writer, history)
    live = [p for p in current(history.points) if p.metric == "loss"]
    middle = live[0].step if live else 0
    lo, hi = middle + edges[0], middle + edges[0] + edges[1]
    found = rows(client, run, 10_000, window=(lo, hi))
    assert [row["step"] for row in found] == sorted(p.step for p in live if lo <= p.step <= hi)
