"""Plots of characters, lists of fields, the pager and what a shell completes, without any service."""

import math
import os
import pty
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runtide_workers.cli.braille import Canvas
from runtide_workers.cli.listing import fields

NUMBERS = st.floats(allow_nan=True, allow_infinity=True)


def text(canvas: Canvas) -> list[str]:
    return ["".join(char for char, _ in row) for row in canvas.rows()]


def test_a_line_from_corner_to_corner() -> None:
    canvas = Canvas(4, 2, (0, 1), (0, 1))
    canvas.draw([(0, 0), (1, 1)], 0)
    assert text(canvas) == ["  ⡠⠊", "⡠⠊  "]


def test_nan_breaks_a_line_and_a_flat_curve_is_in_the_middle() -> None:
    canvas = Canvas(3, 1, (0, 5), (0, 0))
    canvas.draw([(0, 0), (1, math.nan), (4, 0), (5, 0)], 0)
    (row,) = text(canvas)
    assert row[0] != " " and row[1] == " " and row[2] != " "


def test_each_cell_knows_who_drew_there_last() -> None:
    canvas = Canvas(2, 1, (0, 1), (0, 1))
    canvas.draw([(0, 0)], 1)
    canvas.draw([(1, 1)], 7)
    assert [who for _, who in canvas.rows()[0]] == [1, 7]


@given(st.lists(st.tuples(NUMBERS, NUMBERS), max_size=20), st.integers(1, 12), st.integers(1, 5), st.data())
def test_whatever_is_drawn_stays_within(
    curve: list[tuple[float, float]], width: int, height: int, data: st.DataObject
) -> None:
    finite = st.floats(allow_nan=False, allow_infinity=False)
    low, high = sorted(data.draw(st.tuples(finite, finite)))
    canvas = Canvas(width, height, (low, high), (low, high))
    canvas.draw(curve, 0)
    assert [len(row) for row in canvas.rows()] == [width] * height


def test_fields_are_split_at_commas_outside_of_quotes() -> None:
    assert fields("config.lr, -last.val/acc,,config.\"a, b\",config.'c\"'") == [
        "config.lr", "-last.val/acc", 'config."a, b"', "config.'c\"'",
    ]  # fmt: skip
    assert fields(" ") == []


def at_a_terminal(code: str, env: dict[str, str]) -> str:
    """What a program prints when its output is a terminal of 24 lines."""
    master, slave = pty.openpty()
    child = subprocess.Popen([sys.executable, "-c", code], stdout=slave, env=os.environ | {"LINES": "24"} | env)
    os.close(slave)
    found = b""
    while True:
        try:
            some = os.read(master, 4096)
        except OSError:  # Linux's way to say that the other end is closed
            break
        if not some:
            break
        found += some
    child.wait(timeout=30)
    os.close(master)
    return found.decode().replace("\r\n", "\n")


PAGED = "from runtide_workers.cli.paging import paged\nwith paged():\n    print('line\\n' * {n}, end='')"


@pytest.mark.parametrize(("n", "paged"), [(5, False), (100, True)])
def test_only_what_is_longer_than_the_screen_goes_through_the_pager(tmp_path: Path, n: int, paged: bool) -> None:
    pager = tmp_path / "pager"
    pager.write_text("#!/bin/sh\necho through the pager\ncat\n")
    pager.chmod(0o755)
    shown = at_a_terminal(PAGED.format(n=n), {"PAGER": str(pager)})
    assert shown.startswith("through the pager") == paged and shown.count("line") == n


@pytest.mark.parametrize("pager", ["", "/nowhere/pager"])
def test_without_a_pager_it_is_simply_printed(pager: str) -> None:
    assert at_a_terminal(PAGED.format(n=100), {"PAGER": pager}).count("line") == 100


def complete(words: str, index: int) -> list[str]:
    env = os.environ | {"_RUNTIDE_COMPLETE": "complete_bash", "COMP_WORDS": words, "COMP_CWORD": str(index)}
    env |= {"RUNTIDE_CLICKHOUSE": "http://reader:x@127.0.0.1:9/runtide"}
    done = subprocess.run(
        [sys.executable, "-m", "runtide.cli"], env=env, capture_output=True, text=True, timeout=60, check=False
    )
    assert done.stderr == ""
    return done.stdout.split()


def test_a_shell_completes_commands_and_options() -> None:
    assert set(complete("runtide ex", 1)) == {"exec", "export"}
    assert "--where" in complete("runtide runs --wh", 2)
    assert complete("runtide show x", 2) == []  # storage does not answer: no noise


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_each_shell_gets_a_script(shell: str) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "runtide.cli", "completion", shell],
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    assert "_RUNTIDE_COMPLETE" in done.stdout
