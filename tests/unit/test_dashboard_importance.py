"""Which settings go with a metric, and the section that shows it."""

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from runtide_dashboard import importance
from runtide_dashboard.importance import Setting, settings
from tests.fixtures.pages import HOSTILE, Storage, answered, open_page, words

NUMBERS = st.lists(
    st.tuples(st.floats(-1e6, 1e6), st.floats(-1e6, 1e6)), min_size=importance.RUNS_MIN, max_size=30
).filter(lambda pairs: len({x for x, _ in pairs}) > 1 and len({y for _, y in pairs}) > 1)


@pytest.fixture
def storage(monkeypatch: pytest.MonkeyPatch) -> Iterator[Storage]:
    yield from answered(monkeypatch)


def found(values: list[Any], target: list[float], best: int | None = None) -> Setting:
    [one] = settings([{} if value is None else {"s": value} for value in values], np.array(target), best)
    return one


@given(NUMBERS)
def test_a_number_by_its_rank_correlation(pairs: list[tuple[float, float]]) -> None:
    values, target = [x for x, _ in pairs], [y for _, y in pairs]
    expected = float(stats.spearmanr(values, target).statistic)
    one = found(list(values), target)
    assert one.importance == pytest.approx(abs(expected), abs=1e-9)
    assert one.direction == np.sign(expected) or abs(expected) < 1e-9
    order = np.argsort(values, kind="stable")
    assert (np.diff(one.places[order]) >= 0).all() and one.places.min() == 0 and one.places.max() == 1
    again = found([8 * value for value in values], target)  # as good as any other scale
    assert again.importance == one.importance


@given(st.permutations(range(8)))
def test_the_order_of_the_runs_does_not_matter(order: list[int]) -> None:
    values, target = ["a", "b", "a", "b", "c", "c", "a", "b"], [1.0, 5.0, 2.0, 6.0, 3.0, 3.0, 1.5, 5.5]
    one = found([values[i] for i in order], [target[i] for i in order])
    assert one.importance == pytest.approx(found(list(values), target).importance)


def test_everything_else_by_the_variance_between_its_values() -> None:
    target = [1.0, 2.0, 3.0, 10.0, 11.0, 12.0]
    assert found(["a", "a", "a", "b", "b", "b"], target).importance == pytest.approx(np.sqrt(13.5 / 17.5))
    assert found(["a", "b", "a", "b", "a", "b"], [1.0, 1.0, 2.0, 2.0, 3.0, 3.0]).importance == pytest.approx(0)
    assert found([True, True, True, False, False, False], target).direction == 0  # a yes or no is no number


def test_what_says_nothing_is_left_out() -> None:
    target = np.arange(6.0)
    assert settings([{"same": 1, "name": f"run-{i}"} for i in range(6)], target, None) == []
    assert settings([{"lr": i} for i in range(6)], np.full(6, np.nan), None) == []
    assert settings([], np.array([]), None) == []


def test_few_runs_tell_nothing_but_are_drawn() -> None:
    one = found([1, 2, 3, None], [1.0, 2.0, 3.0, 4.0], best=3)
    assert (one.importance, one.runs, one.best) == (None, 3, "–")
    assert one.places[:3].tolist() == [0, 0.5, 1] and np.isnan(one.places[3])


def test_wide_ranges_are_drawn_by_their_logarithm() -> None:
    one = found([1e-4, 1e-3, 1e-2, 1e-1, 1.0], [1.0, 2.0, 3.0, 4.0, 5.0], best=4)
    assert one.places == pytest.approx([0, 0.25, 0.5, 0.75, 1]) and (one.low, one.high, one.best) == (
        "0.0001",
        "1",
        "1.0",
    )
    assert found([-1.7e308, 0, 1.7e308, 1, 2], [1.0, 2.0, 3.0, 4.0, 5.0]).places.max() == 1


def test_the_section_asks_for_nothing_before_it_is_opened(storage: Storage) -> None:
    app = open_page("compare", runs="r1,r2,r3", metrics=["train/loss"])
    assert "Choose among which runs" in words(app)
    assert not any("importance" in column for table in app.dataframe for column in table.value)


def test_the_section_tells_what_goes_with_the_metric(storage: Storage) -> None:
    app = open_page("compare", runs=",".join(f"r{i}" for i in range(6)), metrics=["train/loss"], among="compared")
    [table] = [each.value for each in app.dataframe if "importance" in each.value]
    assert list(table["name"]) == ["lr"] and list(table["importance"]) == [1.0] and list(table["best"]) == ["0"]
    assert "not cause" in words(app) and len(app.get("vega_lite_chart")) == 1
    few = open_page("compare", runs="r1,r2,r3", metrics=["train/loss"], among="compared")
    assert "told from 5 runs on" in words(few)
    everything = open_page("compare", runs="r1", metrics=["train/loss"], among="project", target="train/loss")
    [table] = [each.value for each in everything.dataframe if "importance" in each.value]
    assert list(table["runs"]) == [12]


def test_hostile_names_stay_text(storage: Storage, monkeypatch: pytest.MonkeyPatch) -> None:
    from runtide_dashboard import data

    monkeypatch.setattr(data, "values", lambda refs, section: {ref: {HOSTILE: i} for i, ref in enumerate(refs)})
    app = open_page("compare", runs="r0,r1,r2,r3,r4", metrics=["train/loss"], among="compared")
    [table] = [each.value for each in app.dataframe if "importance" in each.value]
    assert list(table["name"]) == [HOSTILE]
