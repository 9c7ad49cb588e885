"""Which attempt a new writer belongs to."""

import pytest

from runtide.events import Header
from runtide_workers.attempts import Joined, attempt_of


def header(rank: int = 0, join: bool = False, attempt: int | None = None) -> Header:
    return Header("p", "r", "w", 0, 1, rank=rank, join=join, attempt=attempt)


@pytest.mark.parametrize(
    ("new", "earlier", "expected"),
    [
        (header(), [], 1),
        (header(rank=3), [], 1),
        (header(), [Joined(1, 0)], 2),
        (header(rank=1), [Joined(1, 0)], 1),
        (header(rank=1), [Joined(1, 0), Joined(1, 1)], 2),
        (header(rank=1), [Joined(1, 0), Joined(1, 1), Joined(2, 0)], 2),
        (header(join=True), [Joined(1, 0), Joined(2, 0)], 2),
        (header(join=True), [], 1),
        (header(attempt=7), [Joined(1, 0)], 7),
        (header(attempt=1), [Joined(1, 0), Joined(2, 0)], 1),
        (header(), [Joined(7, 0)], 8),
        (header(), [Joined(65535, 0)], 65535),
    ],
)
def test_attempt(new: Header, earlier: list[Joined], expected: int) -> None:
    assert attempt_of(new, earlier) == expected
