"""Palette, smoothing, differences, results: what the compare page is made of."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from runtide_dashboard import comparison, palette
from runtide_dashboard.comparison import Look
from runtide_dashboard.curves import decode
from runtide_dashboard.differences import best_of, goal_of, winner
from runtide_dashboard.records import Curve, Run, Summary
from runtide_dashboard.smoothing import smooth
from runtide_storage.differences import differing

START = datetime(2026, 11, 21, tzinfo=UTC)
RANKS = st.dictionaries(st.text(min_size=1, max_size=4), st.integers(0, 5000), max_size=60)


def run(id_: str, rank: int = 0, name: str | None = None, state: str = "finished") -> Run:
    return Run(
        ref=f"p/{id_}", project="p", id=id_, name=name or id_, state=state, group="", tags=(), host="h", attempt=1,
        started_at=START, ended_at=START + timedelta(hours=1), seen_at=START, rank=rank,
    )  # fmt: skip


def summary(last: float, low: float, high: float, goal: str | None = None) -> Summary:
    return Summary(
        n=10, nonfinite=0, first_step=1, last=last, last_step=99, min=low, min_step=7, max=high, max_step=8,
        first_ms=int(START.timestamp() * 1000) + 1000, last_ms=int(START.timestamp() * 1000) + 61_000, goal=goal,
    )  # fmt: skip


@given(RANKS, RANKS)
def test_a_run_keeps_its_colour_whatever_it_is_compared_with(ranks: dict[str, int], others: dict[str, int]) -> None:
    alone, together = palette.styles(ranks), palette.styles(others | ranks)
    assert all(alone[name] % palette.COLOURS == together[name] % palette.COLOURS for name in ranks)
    assert all(0 <= style < palette.STYLES for style in together.values())


@given(st.integers(0, 5000), st.integers(1, palette.STYLES))
def test_runs_started_one_after_another_look_different(first: int, count: int) -> None:
    chosen = palette.styles({f"r{i}": first + i for i in range(count)})
    assert len(set(chosen.values())) == count


def test_smoothing_does_not_depend_on_how_many_points_are_drawn() -> None:
    x = np.arange(0, 10_000.0)
    values = np.exp(-x / 2000)
    fine, coarse = smooth(x, values, 500), smooth(x[::10], values[::10], 500)
    assert np.max(np.abs(fine[::10] - coarse)) < 0.02


def test_smoothing_passes_over_what_is_no_number() -> None:
    values = np.array([1.0, np.nan, 1.0, np.inf, 1.0])
    smoothed = smooth(np.arange(5.0), values, 2)
    assert np.isnan(smoothed[1]) and np.isposinf(smoothed[3])
    assert smoothed[[0, 2, 4]] == pytest.approx(1.0)


@given(st.lists(st.floats(-1e6, 1e6), min_size=1, max_size=50), st.floats(0.1, 100))
def test_smoothing_stays_within_the_values(values: list[float], span: float) -> None:
    smoothed = smooth(np.arange(len(values), dtype=float), np.array(values), span)
    assert min(values) - 1e-6 <= smoothed.min() and smoothed.max() <= max(values) + 1e-6
    assert smoothed[0] == pytest.approx(values[0])


def test_no_smoothing_leaves_the_values() -> None:
    values = np.array([3.0, 1.0, 2.0])
    assert smooth(np.arange(3.0), values, 0).tolist() == values.tolist()


CONFIGS = st.dictionaries(
    st.sampled_from(["a", "b", "c"]),
    st.dictionaries(
        st.sampled_from(["lr", "opt", "n"]), st.none() | st.booleans() | st.integers(0, 2) | st.text(max_size=2)
    ),
    min_size=2,
)


@given(CONFIGS)
def test_only_keys_that_differ_are_shown(configs: dict[str, dict[str, object]]) -> None:
    found = differing(configs)
    for key in {key for config in configs.values() for key in config}:
        values = [config.get(key, "absent!") for config in configs.values()]
        all_same = all(type(value) is type(values[0]) and value == values[0] for value in values)
        assert (key in found) != all_same


def test_equal_numbers_are_equal() -> None:
    assert differing({"a": {"lr": 1}, "b": {"lr": 1.0}}) == {}
    assert differing({"a": {"lr": 1}, "b": {"lr": "1"}}) != {}
    assert differing({"a": {"lr": 1}, "b": {}}) == {"lr": {"a": 1}}


@pytest.mark.parametrize(
    ("metric", "defined", "goal"),
    [
        ("train/loss", None, "minimize"), ("eval/accuracy", None, "maximize"), ("lr", None, None),
        ("train/loss", "maximize", "maximize"), ("glossary", None, None), ("val_f1", None, "maximize"),
    ],
)  # fmt: skip
def test_goals(metric: str, defined: str | None, goal: str | None) -> None:
    assert goal_of(metric, defined) == goal


def test_the_best_is_finite_or_nothing() -> None:
    assert best_of("minimize", (0.5, 3), (9.0, 4)) == (0.5, 3)
    assert best_of("maximize", (0.5, 3), (9.0, 4)) == (9.0, 4)
    assert best_of(None, (0.5, 3), (9.0, 4)) == (None, None)
    assert best_of("minimize", (float("nan"), 0), (float("nan"), 0)) == (None, None)


def test_there_is_a_winner_only_among_different_values() -> None:
    assert winner([3.0, 1.0, None], "minimize") == 1
    assert winner([3.0, 1.0, float("nan")], "maximize") == 0
    assert winner([1.0, 1.0], "minimize") is None
    assert winner([1.0, None], "minimize") is None
    assert winner([1.0, 2.0], None) is None


def test_results_compare_with_the_base() -> None:
    runs = [run("a"), run("b"), run("c")]
    summaries = {("p/a", "loss"): summary(1.2, 1.0, 5.0), ("p/b", "loss"): summary(0.9, 0.8, 5.0)}
    found = comparison.results(runs, ["loss", "unknown"], summaries, "p/a")
    assert found.goals == ["minimize", None]
    assert found.winners == [1, None]
    assert found.rows[0].cells[0] == (1.2, 1.0, 7, None)
    last, best, step, change = found.rows[1].cells[0]
    assert (last, best, step) == (0.9, 0.8, 7)
    assert change == pytest.approx(-20.0)
    assert found.rows[2].cells == [(None, None, None, None)] * 2


def test_the_range_is_that_of_all_curves() -> None:
    runs, summaries = [run("a")], {("p/a", "loss"): summary(1, 1, 1)}
    assert comparison.full_range(runs, ["loss"], summaries, Look()) == (1, 99)
    assert comparison.full_range(runs, ["loss"], summaries, Look(x="relative")) == (1000, 61_000)
    assert comparison.full_range(runs, ["other"], summaries, Look()) == (0, 1)


def test_a_page_of_curves() -> None:
    x = np.arange(10.0)
    banded = Curve(x, x, x - 1, x + 1, ((3.0, 0),))
    runs = [run("a", 0, "llm-7b-muon"), run("b", 1, "llm-7b-adamw", state="running")]
    found = {"loss": {"p/a": banded, "p/b": banded}, "acc": {"p/a": banded}}
    axis, labels, panels = decode(comparison.payload(runs, ["loss", "acc"], found, Look(log_y=True), (0, 9), (2, 5)))
    assert axis.zoomed and axis.window == (2.0, 5.0)
    assert [label.short for label in labels] == ["muon", "adamw"]
    assert [len(panel.series) for panel in panels] == [2, 1]
    assert panels[0].log and panels[0].series[0].lo is not None and panels[0].series[0].marks == ((3.0, 0),)


def test_a_smoothed_curve_keeps_the_measured_one_beneath() -> None:
    x = np.arange(10.0)
    found = {"loss": {"p/a": Curve(x, x % 2, None, None, ())}}
    _, _, [panel] = decode(comparison.payload([run("a")], ["loss"], found, Look(smoothing=80), (0, 9), None))
    one = panel.series[0]
    assert one.smooth is not None and one.mean.tolist() == (x % 2).tolist()
    assert np.ptp(one.smooth[3:]) < np.ptp(one.mean)


def test_a_zoomed_smoothed_curve_is_the_same_as_the_whole() -> None:
    x = np.arange(1000.0)
    y = np.sin(x / 50) + np.cos(x / 7)
    look, full, window = Look(smoothing=40), (0.0, 999.0), (600.0, 700.0)
    asked = comparison.asked_window(look, full, window)
    assert asked is not None and asked[0] < 600 and asked[1] == 700
    part = (x >= asked[0]) & (x <= asked[1])
    curves = [Curve(x, y, None, None, ()), Curve(x[part], y[part], None, None, ())]
    whole, zoomed = (
        decode(comparison.payload([run("a")], ["m"], {"m": {"p/a": curve}}, look, full, window))[2][0].series[0]
        for curve in curves
    )
    assert whole.x.tolist() == [*np.arange(599, 702)]
    assert zoomed.smooth is not None and whole.smooth is not None
    assert zoomed.smooth[1:101] == pytest.approx(whole.smooth[1:101], abs=0.05)


def test_a_zoom_asks_for_the_points_beyond_its_edges() -> None:
    sparse = {("p/a", "eval"): replace(summary(1, 1, 1), n=5, first_step=0, last_step=1000)}
    assert comparison.spacing(sparse, Look()) == pytest.approx(375)
    assert comparison.asked_window(Look(), (0, 1000), (300, 400), 375) == (100, 600)  # not more than two windows
    assert comparison.asked_window(Look(), (0, 1000), (300, 900), 375) == (0, 1000)  # not beyond the data
    assert comparison.asked_window(Look(), (0, 1000), None, 375) is None


def test_many_runs_have_no_bands() -> None:
    x = np.arange(3.0)
    curve = Curve(x, x, x, x, ())
    runs = [run(f"r{i}", i) for i in range(comparison.BANDS_RUNS_MAX + 1)]
    _, _, [panel] = decode(
        comparison.payload(runs, ["loss"], {"loss": {r.ref: curve for r in runs}}, Look(), (0, 2), None)
    )
    assert all(series.lo is None for series in panel.series)
