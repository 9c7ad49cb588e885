"""What the address says, and what a selection by position means."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runtide_dashboard import selection, url

REFS = st.lists(st.sampled_from("abcdefghij"), unique=True)


def test_runs_come_joined_or_repeated_bare_or_whole() -> None:
    assert url.parse_refs(["p/a,p/b"]) == ["p/a", "p/b"]
    assert url.parse_refs(["p/a", "q/b", "p/a"]) == ["p/a", "q/b"]
    assert url.parse_refs(["a, q/b"], "p") == ["p/a", "q/b"]


@pytest.mark.parametrize("hostile", ["a/b/c", "../x", "p/<img>", "p/", "/a", "p/a b", "p/" + "a" * 200, "a"])
def test_what_cannot_be_a_run_is_left_out(hostile: str) -> None:
    assert url.parse_refs([hostile]) == []


def test_runs_of_the_project_are_written_by_their_id() -> None:
    assert url.joined(["p/a", "q/b"], "p") == "a,q/b"
    assert url.parse_refs([url.joined(["p/a", "q/b"], "p")], "p") == ["p/a", "q/b"]


@given(st.floats(-1e12, 1e12), st.floats(1e-3, 1e12))
def test_a_window_survives_the_address(lo: float, width: float) -> None:
    text = url.window_text((lo, lo + width))
    if lo + width > lo:
        assert text is not None
        assert url.parse_window(text) == pytest.approx((lo, lo + width), rel=1e-12)


@pytest.mark.parametrize("nonsense", ["", "5", "5:5", "9:1", "a:b", "nan:1", "0:inf", "-inf:0", "1:2:3"])
def test_a_window_that_makes_no_sense_is_none(nonsense: str) -> None:
    assert url.parse_window(nonsense) is None


@given(REFS, REFS, st.data())
def test_a_selection_goes_on_meaning_the_same_runs(before: list[str], now: list[str], data: st.DataObject) -> None:
    rows = data.draw(st.lists(st.integers(0, max(0, len(before) - 1)), unique=True)) if before else []
    chosen = selection.chosen(rows, before)
    shown, waiting = selection.hold(before, now, holding=bool(chosen))
    if chosen:
        assert selection.chosen(rows, shown) == chosen
        assert waiting == len(set(now) - set(before))
    else:
        assert (shown, waiting) == (now, 0)


@given(REFS, REFS)
def test_in_another_list_the_same_runs_are_selected(chosen: list[str], shown: list[str]) -> None:
    assert set(selection.chosen(selection.places(chosen, shown), shown)) == set(chosen) & set(shown)


def test_positions_beyond_the_table_mean_nothing() -> None:
    assert selection.chosen([0, 7, -1], ["a"]) == ["a"]
