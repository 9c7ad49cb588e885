"""The payload of the curves component, and the script that reads it."""

import shutil
import subprocess
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from runtide_dashboard import curves, history
from runtide_dashboard.curves import Axis, Band, Panel, RunLabel, Series, decode, encode

RUN = RunLabel("p/a", "a", "first", "first", 3, "running")
ANY_TEXT = st.text(max_size=20)
FLOAT32 = st.floats(width=32, allow_nan=True, allow_infinity=True)


@st.composite
def series(draw: st.DrawFn) -> Series:
    x = sorted(draw(st.lists(st.integers(-(2**53), 2**53), max_size=20, unique=True)))

    def values() -> np.ndarray:
        return np.array(draw(st.lists(FLOAT32, min_size=len(x), max_size=len(x))), dtype=np.float64)

    banded, smoothed = draw(st.booleans()), draw(st.booleans())
    return Series(
        run=0,
        x=np.array(x, dtype=np.float64),
        mean=values(),
        lo=values() if banded else None,
        hi=values() if banded else None,
        smooth=values() if smoothed else None,
        marks=tuple(draw(st.lists(st.tuples(st.integers(0, 99).map(float), st.sampled_from([-1, 0, 1])), max_size=3))),
        left=draw(st.none() | st.integers(0, 2**53).map(float)),
    )


@st.composite
def bands(draw: st.DrawFn) -> Band:
    of_series = draw(series())
    return Band(of_series.x, of_series.mean, of_series.mean, of_series.mean)


def same(left: np.ndarray | None, right: np.ndarray | None) -> bool:
    return left is right if left is None or right is None else np.array_equal(left, right, equal_nan=True)


@given(
    panels=st.lists(
        st.builds(
            Panel,
            title=ANY_TEXT,
            series=st.lists(series(), max_size=3),
            log=st.booleans(),
            under=st.none() | bands(),
        ),
        max_size=3,
    ),
    name=ANY_TEXT,
    state=ANY_TEXT,
)
def test_a_payload_holds_what_was_put_in(panels: list[Panel], name: str, state: str) -> None:
    run = RunLabel("p/a", "a", name, name, 0, state)
    axis = Axis("step", (0.5, 2.0), (0.0, 1e15), log=True, name=name)
    got_axis, got_runs, got_panels = decode(encode(axis, [run], panels))
    assert (got_axis, got_runs) == (axis, [run])
    assert [panel.title for panel in got_panels] == [panel.title for panel in panels]
    for panel, got_panel in zip(panels, got_panels, strict=True):
        assert panel.log == got_panel.log
        for one, got in zip(panel.series, got_panel.series, strict=True):
            assert all(same(getattr(one, part), getattr(got, part)) for part in ("x", "mean", "lo", "hi", "smooth"))
            assert tuple(one.marks) == tuple(got.marks) and one.left == got.left
        assert (panel.under is None) == (got_panel.under is None)
        if panel.under is not None:
            parts = ("x", "lo", "mean", "hi")
            assert all(same(getattr(panel.under, part), getattr(got_panel.under, part)) for part in parts)


def test_equal_x_arrays_travel_once() -> None:
    x = np.arange(1000.0)
    one = encode(Axis("step", (0, 999), (0, 999)), [RUN], [Panel("a", [Series(0, x, x)])])
    five = encode(Axis("step", (0, 999), (0, 999)), [RUN], [Panel(name, [Series(0, x, x)]) for name in "abcde"])
    assert len(five) - len(one) < 4 * 4 * 1000 + 1000  # four more arrays of float32, no more of float64


def test_arrays_of_unequal_length_are_refused() -> None:
    with pytest.raises(ValueError, match="3 x values and 2"):
        encode(Axis("step", (0, 1), (0, 1)), [RUN], [Panel("a", [Series(0, np.arange(3.0), np.arange(2.0))])])


def test_a_value_beyond_float32_becomes_an_infinity() -> None:
    payload = encode(Axis("step", (0, 1), (0, 1)), [RUN], [Panel("a", [Series(0, np.zeros(1), np.array([1e300]))])])
    assert decode(payload)[2][0].series[0].mean[0] == np.inf


def test_the_worst_page_stays_below_the_cap() -> None:
    runs, metrics = 60, 8
    points = history.points_for(runs, metrics)
    rng = np.random.default_rng(0)
    panels = [
        Panel(
            f"m{m}",
            [Series(r, (np.arange(points) + r).astype(np.float64), rng.uniform(0, 1, points)) for r in range(runs)],
        )
        for m in range(metrics)
    ]
    assert len(encode(Axis("step", (0, 1), (0, 1)), [RUN] * runs, panels)) < 1_500_000


def test_the_script_is_one_module_without_imports(tmp_path: Path) -> None:
    script = curves.script()
    assert "import " not in script
    assert script.count("export ") == 1
    node = shutil.which("node")
    if node is None:
        pytest.skip("no node: whether the script parses is only seen in the browser tests")
    module = tmp_path / "curves.mjs"
    module.write_text(script)
    checked = subprocess.run([node, "--check", str(module)], capture_output=True, text=True, timeout=30, check=False)
    assert checked.returncode == 0, checked.stderr


def test_names_reach_the_page_as_text_only() -> None:
    assert not any(
        word in curves.script() for word in ("innerHTML", "insertAdjacentHTML", "outerHTML", "document.write", "eval(")
    )


def rows(*given: tuple[str, str, str, float, float, int, int]) -> pa.Table:
    """Rows as `Client.history` gives them: project, run_id, metric, x, value, n, nonfinite."""
    names = [pa.array([row[i] for row in given]).dictionary_encode() for i in range(3)]
    numbers = [pa.array([row[i] for row in given], pa.float64()) for i in (3, 4, 4, 4, 4)]
    counts = [pa.array([row[i] for row in given], pa.uint64()) for i in (5, 6)]
    columns = ["project", "run_id", "metric", "x", "mean", "min", "max", "last", "n", "nonfinite"]
    return pa.table(dict(zip(columns, [*names, *numbers, *counts], strict=True)))


def test_history_is_split_into_curves() -> None:
    nan, inf = float("nan"), float("inf")
    found = history.split(
        rows(
            ("p", "a", "loss", 0, 1.0, 1, 0),
            ("p", "a", "loss", 1, nan, 1, 1),
            ("p", "a", "loss", 2, -inf, 1, 1),
            ("p", "b", "loss", 0, 2.0, 5, 0),
            ("p", "b", "acc", 4, 3.0, 1, 0),
        )
    )
    assert {metric: sorted(by_run) for metric, by_run in found.items()} == {"loss": ["p/a", "p/b"], "acc": ["p/b"]}
    raw = found["loss"]["p/a"]
    assert raw.x.tolist() == [0, 1, 2] and raw.lo is None
    assert raw.marks == ((1.0, 0), (2.0, -1))
    assert found["loss"]["p/b"].lo is not None  # five points in one bucket


def test_no_rows_are_no_curves() -> None:
    assert history.split(rows()) == {}


def test_times_become_milliseconds() -> None:
    table = rows(("p", "a", "loss", 0, 1.0, 1, 0))
    stamped = table.set_column(3, "x", pa.array([1_700_000_000_123], pa.timestamp("ms", "UTC")))
    assert history.split(stamped)["loss"]["p/a"].x.tolist() == [1_700_000_000_123]
