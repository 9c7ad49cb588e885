"""Intervals behave as a set of numbers."""

from collections.abc import Iterable
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runtide_workers.intervals import Intervals, Range

ranges = st.tuples(st.integers(0, 60), st.integers(1, 12)).map(lambda pair: (pair[0], pair[0] + pair[1]))


def numbers(parts: Iterable[Range]) -> set[int]:
    return {n for first, after in parts for n in range(first, after)}


@given(st.lists(ranges))
def test_holds_exactly_what_was_added(added: list[Range]) -> None:
    assert numbers(Intervals(added)) == numbers(added)


@given(st.lists(ranges))
def test_is_sorted_and_no_two_intervals_touch(added: list[Range]) -> None:
    parts = list(Intervals(added))
    assert all(first < after for first, after in parts)
    assert all(left[1] < right[0] for left, right in pairwise(parts))


@given(st.lists(ranges), ranges)
def test_add_returns_the_interval_that_covers(added: list[Range], one: Range) -> None:
    intervals = Intervals(added)
    grown = intervals.add(*one)
    assert grown in list(intervals)
    assert grown[0] <= one[0] and one[1] <= grown[1]


@given(st.lists(ranges), ranges)
def test_missing_is_what_is_asked_minus_what_is_there(added: list[Range], asked: Range) -> None:
    missing = Intervals(added).missing(*asked)
    assert numbers(missing) == numbers([asked]) - numbers(added)
    assert missing == list(Intervals(missing)), "in order and merged"


@given(st.lists(ranges), ranges)
def test_nothing_is_missing_after_an_add(added: list[Range], one: Range) -> None:
    intervals = Intervals(added)
    intervals.add(*one)
    assert intervals.missing(*one) == []


@given(st.lists(ranges), st.integers(0, 75))
def test_around_finds_the_interval_of_a_number(added: list[Range], number: int) -> None:
    intervals = Intervals(added)
    if number in numbers(added):
        first, after = intervals.around(number)
        assert (first, after) in list(intervals) and first <= number < after
    else:
        with pytest.raises(KeyError):
            intervals.around(number)


@given(st.lists(ranges), ranges)
def test_a_copy_is_apart(added: list[Range], one: Range) -> None:
    intervals = Intervals(added)
    before = list(intervals)
    intervals.copy().add(*one)
    assert list(intervals) == before


def test_an_empty_range_is_refused() -> None:
    with pytest.raises(ValueError, match="empty"):
        Intervals().add(3, 3)
