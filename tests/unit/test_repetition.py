"""A service that is away fills no disk with log lines."""

from __future__ import annotations

import io
import logging

from runtide_workers.repetition import PERIOD_S, Repetition


def test_a_library_says_the_same_once_in_a_while() -> None:
    now_s, out = [0.0], io.StringIO()
    handler = logging.StreamHandler(out)
    handler.addFilter(Repetition("noisy", lambda: now_s[0]))
    noisy, other = logging.getLogger("noisy.net"), logging.getLogger("noisyother")
    for logger in (noisy, other):
        logger.propagate = False
        logger.addHandler(handler)
    for node in range(100):
        noisy.error("no way to node %d", node)
    noisy.error("something else")
    other.error("as often")
    other.error("as it likes")
    now_s[0] = PERIOD_S
    noisy.error("no way to node %d", 7)
    assert out.getvalue().splitlines() == [
        "no way to node 0", "something else", "as often", "as it likes", "no way to node 7 (and 99 times like it)",
    ]  # fmt: skip
