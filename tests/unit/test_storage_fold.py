"""A run's row from its lifecycle events."""

import itertools
from typing import Any

import pytest

from runtide_storage.fold import Event, Folded, Writer, fold

MS = 1_000_000


def member(attempt: int = 1, rank: int = 0, started_ms: int = 100, host: str = "h") -> Writer:
    return Writer(attempt, rank, host, started_ms)


def said(kind: str, at_ms: int, writer: int = 1, seq: int = 0, **data: Any) -> Event:
    return Event(at_ms * MS, writer, seq, kind, data)


def folded(events: list[Event], writers: dict[int, Writer] | None = None) -> Folded:
    """The fold, which must not depend on the order of arrival."""
    writers = writers or {1: member()}
    rows = {repr(fold(order, writers)) for order in itertools.islice(itertools.permutations(events), 50)}
    assert len(rows) == 1
    return fold(events, writers)


def test_a_writer_is_enough() -> None:
    row = folded([])
    assert (row.state, row.attempt, row.started_ms, row.ended_ms, row.host) == ("running", 1, 100, None, "h")


def test_later_words_count_and_empty_ones_do_not() -> None:
    row = folded(
        [
            said("start", 100, name="first", group="g", tags=["a"], notes="n", job_type="train"),
            said("tags", 200, seq=5, tags=[]),
            said("name", 300, seq=6, name="second"),
            said("start", 400, writer=2, name="", group=None, tags=[]),
        ],
        {1: member(), 2: member(2, started_ms=400)},
    )
    assert (row.name, row.group, row.tags, row.notes, row.job_type) == ("second", "g", [], "n", "train")
    assert (row.attempt, row.started_ms) == (2, 100)


@pytest.mark.parametrize(
    ("data", "state", "exit_code"),
    [
        ({"state": "finished", "exit_code": 0}, "finished", 0),
        ({"state": "failed", "exit_code": 3, "error": "boom"}, "failed", 3),
        ({"state": "finished"}, "finished", None),
    ],
)
def test_finish(data: dict[str, Any], state: str, exit_code: int | None) -> None:
    row = folded([said("start", 100), said("finish", 900, seq=9, **data)])
    assert (row.state, row.exit_code, row.ended_ms) == (state, exit_code, 900)


def test_killed() -> None:
    row = folded([said("start", 100), said("end", 900, seq=9, state="killed")])
    assert (row.state, row.exit_code, row.ended_ms) == ("killed", None, 900)


def test_a_finish_counts_more_than_an_end_whatever_the_clocks_say() -> None:
    row = folded([said("end", 950, seq=10, state="killed"), said("finish", 900, seq=9, state="finished", exit_code=0)])
    assert (row.state, row.ended_ms) == ("finished", 900)


def test_a_clock_that_was_set_back_does_not_revive_a_run() -> None:
    assert folded([said("start", 900), said("finish", 100, seq=9, state="finished")]).state == "finished"


def test_a_new_attempt_runs_again_until_it_ends() -> None:
    writers = {1: member(1), 2: member(2, started_ms=1000)}
    first = [said("start", 100), said("finish", 900, seq=9, state="failed", exit_code=1)]
    row = folded(first, writers)
    assert (row.state, row.exit_code, row.ended_ms, row.attempt) == ("running", None, None, 2)
    row = folded([*first, said("finish", 2000, writer=2, state="finished", exit_code=0)], writers)
    assert (row.state, row.exit_code, row.ended_ms) == ("finished", 0, 2000)


def test_the_lead_speaks_for_all_ranks() -> None:
    ranks = {1: member(rank=1, started_ms=90), 2: member(rank=0, host="lead"), 3: member(rank=2)}
    others = [said("finish", 500, writer=1, state="failed", exit_code=1), said("end", 600, writer=3, state="killed")]
    assert folded(others, ranks).state == "running"
    row = folded([*others, said("finish", 700, writer=2, state="finished", exit_code=0)], ranks)
    assert (row.state, row.exit_code, row.host) == ("finished", 0, "lead")


def test_without_rank_0_the_lowest_rank_leads_and_of_several_the_first_started() -> None:
    ranks = {7: member(rank=2), 8: member(rank=1, started_ms=200), 9: member(rank=1, started_ms=150)}
    assert folded([said("end", 500, writer=8)], ranks).state == "running"
    assert folded([said("end", 500, writer=9)], ranks).state == "killed"
