"""Metrics out of what a command prints."""

import math
import re
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runtide.execute import execute
from runtide.printed import LINE_BYTES_MAX, Printed, compiled
from tests.fixtures.journals import BARE, journal

Logged = list[tuple[int | None, dict[str, float]]]


def read(text: str, *patterns: str, pairs: bool = False) -> Logged:
    logged: Logged = []
    printed = Printed(lambda data, step: logged.append((step, data)), compiled(patterns), pairs)
    printed.feed(text.encode())
    printed.end()
    return logged


@pytest.mark.parametrize(
    ("line", "step", "found"),
    [
        ("step=10 loss=0.25", 10, {"loss": 0.25}),
        ("iter 100: loss 3.4250, val/acc: 91.5%", 100, {"val/acc": 91.5}),
        ("Epoch 3/10 - loss: 0.5 - acc: 1e-3", None, {"Epoch": 3.0, "loss": 0.5, "acc": 1e-3}),
        ("{'loss': 2.5, 'grad_norm': -1.25, 'step': 7}", 7, {"loss": 2.5, "grad_norm": -1.25}),
        ('{"train/loss": 1.5, "lr": .5}', None, {"train/loss": 1.5, "lr": 0.5}),
        ("loss=nan | best=-inf", None, {"loss": math.nan, "best": -math.inf}),
        ("iteration=4 l2=7.", 4, {"l2": 7.0}),
    ],
)
def test_pairs(line: str, step: int | None, found: dict[str, float]) -> None:
    [(at, data)] = read(line, pairs=True)
    assert at == step and repr(data) == repr(found)


@pytest.mark.parametrize(
    "line",
    [
        "12:30:01 starting",
        "torch=2.1.0",
        "http://localhost:8080/x",
        "listening on port:8080/tcp",
        "path=/a/1",
        "a 5",
        "=",
    ],
)
def test_what_is_no_metric(line: str) -> None:
    assert read(line, pairs=True) == []


def test_patterns_name_their_metrics() -> None:
    text = "it 5 | train 0.5 valid 0.75\nnothing here\nit 6 | train 0.25 valid -\n"
    assert read(text, r"it (?P<step>\d+).*train (?P<train__loss>\S+) valid (?P<valid>\S+)") == [
        (5, {"train/loss": 0.5, "valid": 0.75}),
        (6, {"train/loss": 0.25}),  # "-" is no number
    ]
    assert read("speed 12 items 3", r"(?P<name>[a-z]+) (?P<value>\d+)") == [(None, {"speed": 12.0, "items": 3.0})]


@pytest.mark.parametrize("pattern", ["(", r"loss (\d+)", r"(?P<step>\d+)"])
def test_a_pattern_that_can_not_be_used_is_told(pattern: str) -> None:
    with pytest.raises(ValueError, match=re.escape(repr(pattern))):
        compiled([pattern])


@given(st.lists(st.integers(0, 99), max_size=20), st.lists(st.integers(1, 30), min_size=1), st.sampled_from("\n\r"))
def test_it_makes_no_difference_how_the_stream_is_cut(values: list[int], cuts: list[int], end: str) -> None:
    data = "".join(f"bar ### loss={value}{end}" for value in values).encode()
    logged: Logged = []
    printed = Printed(lambda data, step: logged.append((step, data)), [], True)
    at = turn = 0
    while at < len(data):
        size = cuts[turn % len(cuts)]
        printed.feed(data[at : at + size])
        at, turn = at + size, turn + 1
    printed.end()
    assert [data["loss"] for _, data in logged] == values


def test_a_line_too_long_is_passed_over_and_the_next_is_read() -> None:
    assert read("x" * 3 * LINE_BYTES_MAX + " loss=1\nloss=2\n", pairs=True) == [(None, {"loss": 2.0})]


def test_a_commands_output_becomes_points(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    script = "import sys\nfor i in range(3): print(f'step={i} loss={1 / (i + 1)}')\nprint('acc=0.5', file=sys.stderr)"
    assert execute([sys.executable, "-c", script], project="p", dir=tmp_path, settings=BARE, pairs=True) == 0
    written = journal(tmp_path)
    assert written.points("loss") == [(0, 1.0), (1, 0.5), (2, 1 / 3)]
    assert [value for _, value in written.points("acc")] == [0.5]
    assert capfd.readouterr().out.count("loss=") == 3
