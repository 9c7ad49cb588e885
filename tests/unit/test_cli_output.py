"""How values look in a table and in JSON."""

import json
import math
from datetime import UTC, datetime

import pytest

from runtide_workers.cli import output


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, "-"), (True, "True"), (3, "3"), (3.0, "3"), (0.1234567, "0.12346"), (1e-9, "1e-09"), (math.nan, "nan"),
        (-math.inf, "-inf"), (1e300, "1e+300"), ("a\nb\tc", "a b c"), (["a", "b"], "a, b"),
    ],
)  # fmt: skip
def test_a_cell(value: object, text: str) -> None:
    assert output.cell(value) == text


def test_a_name_can_not_repaint_the_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    output.table(["name"], [["\x1b[31mred\x1b]0;title\x07 [bold]x[/bold]\x9b2J"]])
    printed = capsys.readouterr().out
    assert "\x1b" not in printed and "\x07" not in printed and "\x9b" not in printed
    assert "[bold]x[/bold]" in printed


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0.04, "0.0 s"),
        (59.9, "59.9 s"),
        (60, "1 min 0 s"),
        (200.7, "3 min 20 s"),
        (7500, "2 h 5 min"),
        (273_600, "3 d 4 h"),
    ],
)
def test_a_duration(seconds: float, text: str) -> None:
    assert output.duration(seconds) == text


def test_a_sparkline() -> None:
    assert output.sparkline([0, 1, 2, 3, 4, 5, 6, 7]) == "▁▂▃▄▅▆▇█"
    assert output.sparkline([1.0, None, math.nan, 1.0]) == "▁  ▁"
    assert output.sparkline([]) == output.sparkline([math.inf]) == ""
    assert len(output.sparkline([-1e308, 1e308])) == 2


def test_json_has_no_nan() -> None:
    given = {"x": [math.nan, math.inf, -math.inf], "t": datetime(2026, 1, 2, tzinfo=UTC), "b": b"\xff", "n": None}
    assert json.loads(output.as_json(given)) == {
        "x": ["NaN", "Infinity", "-Infinity"], "t": "2026-01-02T00:00:00+00:00", "b": "\\xff", "n": None,
    }  # fmt: skip
