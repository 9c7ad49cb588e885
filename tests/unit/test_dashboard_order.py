"""In which order runs are listed."""

import math
from dataclasses import replace
from datetime import timedelta

import pytest

from runtide_dashboard import order
from runtide_dashboard.records import Run
from tests.fixtures.pages import NOW, run, summary

RUNS = [run(3), run(2, name="Alpha"), run(1, ended_at=None, state="running"), run(0)]


def listed(by: str, *values: float | None, metric: str = "val/loss") -> list[str]:
    found = {
        (one.ref, metric): replace(summary(one.ref, metric), last=value, min=value, max=value)
        for one, value in zip(RUNS, values, strict=False)
        if value is not None
    }
    return [one.id for one in order.ordered(RUNS, by, found, NOW)]


def test_without_a_wish_the_newest_come_first() -> None:
    assert listed("") == ["r3", "r2", "r1", "r0"]


def test_by_name_whatever_its_case() -> None:
    assert listed("name") == ["r2", "r0", "r1", "r3"]


def test_the_longest_first_is_the_one_that_still_runs() -> None:
    runs: list[Run] = [run(1), run(2, ended_at=None, state="running"), run(3, ended_at=NOW - timedelta(hours=96.5))]
    assert [one.id for one in order.ordered(runs, "duration", {}, NOW)] == ["r2", "r1", "r3"]


@pytest.mark.parametrize(
    ("by", "metric", "expected"),
    [
        ("best:val/loss", "val/loss", ["r2", "r3", "r1", "r0"]),
        ("best:val/acc", "val/acc", ["r3", "r2", "r1", "r0"]),
        ("last:lr", "lr", ["r3", "r2", "r1", "r0"]),
    ],
)
def test_by_a_metric_the_better_come_first_and_those_without_a_number_last(
    by: str, metric: str, expected: list[str]
) -> None:
    assert listed(by, 2.0, 1.0, math.nan, None, metric=metric) == expected


def test_what_can_be_chosen_follows_the_columns() -> None:
    assert list(order.choices(["val/loss", "lr"])) == ["", "name", "duration", "best:val/loss", "last:lr"]
    assert [order.metric_of(by) for by in ("", "name", "best:a:b", "last:lr")] == [None, None, "a:b", "lr"]
