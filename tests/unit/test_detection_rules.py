"""Rules: what people may write, what they are told when it is wrong, and when a rule fires."""

import math
from typing import Any

import numpy as np
import pytest

from runtide_workers.detection.alert import Alert
from runtide_workers.detection.rules import WINDOW_MAX, moving_sums, parse


def fires(spec: Any, values: list[float]) -> list[int]:
    """At which points, of a curve whose steps are 0, 10, 20, ..."""
    rule = parse(spec)
    return [alert.step // 10 for alert in rule.update(rule.start(), np.arange(len(values)) * 10, values)]


@pytest.mark.parametrize(
    ("spec", "text"),
    [
        ("> 5", "> 5"),
        (">5", "> 5"),
        ("  >=  -5e3 ", ">= -5000"),
        ("<= 0.1", "<= 0.1"),
        ("<.5", "< 0.5"),
        ({"above": 5}, "> 5"),
        ({"below": 0.1, "for": 3}, "< 0.1 for 3 points"),
        ({"change": "+20%"}, "change +20% over 100 points"),
        ({"change": "- 12.5 %", "window": 7}, "change -12.5% over 7 points"),
        ({"change": "-0.5"}, "change -0.5 over 100 points"),
        ({"change": 0.5, "window": 2}, "change +0.5 over 2 points"),
    ],
)
def test_what_may_be_written(spec: Any, text: str) -> None:
    rule = parse(spec)
    assert (rule.text, rule.name, rule.severity) == (text, text, "page")


def test_names_and_severity() -> None:
    assert parse("> 5", "too hot").name == "too hot"
    assert parse({"above": 5, "name": " own "}, "given").name == "own"
    assert parse({"above": 5, "severity": "info"}).severity == "info"


@pytest.mark.parametrize(
    ("spec", "said"),
    [
        ("5", "'5' is no rule"),
        ("> five", "is no rule"),
        ("> nan", "is no rule"),
        ("> 1_0", "is no rule"),
        ("=> 5", "is no rule"),
        ("> 5 and < 7", "is no rule"),
        ("", "is no rule"),
        ("> 5\n> 6", "is no rule"),
        (5, "no number"),
        (True, "no true or false"),
        (None, "no null"),
        (["> 5"], "no list"),
        ({}, "needs above, below or change"),
        ({"above": 5, "below": 1}, "above and below in one rule"),
        ({"above": "5"}, "above: '5' is no number"),
        ({"above": True}, "above: True is no number"),
        ({"above": math.inf}, "above: inf is no number"),
        ({"above": 10**400}, "above: 1000"),
        ({"abov": 5}, "a rule has no 'abov': it has above, below"),
        ({"change": "20%"}, "how much, and which way"),
        ({"change": "+x%"}, "how much, and which way"),
        ({"change": "+-5"}, "how much, and which way"),
        ({"change": "+0%"}, "every point would break it"),
        ({"change": 0}, "every point would break it"),
        ({"change": [1]}, "how much, and which way"),
        ({"above": 5, "window": 0}, "window: 0 is no number of points"),
        ({"above": 5, "window": WINDOW_MAX + 1}, "window: 10001 is no number of points from 1 to 10,000"),
        ({"above": 5, "window": 2.5}, "window: 2.5"),
        ({"above": 5, "for": True}, "for: True"),
        ({"above": 5, "severity": "fatal"}, "severity: 'fatal' is none of page, warn, info"),
        ({"above": 5, "severity": ["page"]}, "severity"),
        ({"above": 5, "name": " "}, "name: ' ' is no text"),
        ({"above": 5, "name": "x" * 1000}, "name: "),
    ],
)
def test_what_is_wrong_is_one_short_line(spec: Any, said: str) -> None:
    with pytest.raises(ValueError) as caught:  # noqa: PT011 - the text is looked at below
        parse(spec)
    line = str(caught.value)
    assert said in line and "\n" not in line and len(line) < 250


def test_what_is_wrong_shows_what_would_be_right() -> None:
    with pytest.raises(ValueError, match="is no rule") as caught:
        parse("loss > 5")
    assert '"> 5"' in str(caught.value) and '{"change": "+20%", "window": 100}' in str(caught.value)


def test_bounds_are_kept_or_not_as_written() -> None:
    values = [4.0, 5.0, 6.0]
    assert fires("> 5", values) == [2] and fires(">= 5", values) == [1]
    assert fires("< 5", values[::-1]) == [2] and fires("<= 5", values[::-1]) == [1]


def test_an_alert_says_what_was_seen_and_what_was_allowed() -> None:
    rule = parse({"above": 5, "severity": "warn", "name": "hot"})
    [alert] = rule.update(rule.start(), [7, 8], [1.0, 6.5])
    detail = {"name": "hot", "rule": "> 5", "value": 6.5, "bound": 5.0, "for": 1}
    assert alert == Alert("rule", "warn", 8, detail)


def test_for_wants_so_many_points_in_a_row() -> None:
    rule = {"above": 5, "for": 3}
    assert fires(rule, [6, 6, 1, 6, 6, 6, 6]) == [5]
    assert fires(rule, [6, 6, 1, 6, 6, 1, 6, 6]) == []


def test_a_rule_fires_once_until_it_was_clear_for_a_window() -> None:
    rule = {"above": 5, "window": 3}
    assert fires(rule, [6, 6, 6, 6]) == [0]
    assert fires(rule, [6, 1, 6, 1, 1, 6]) == [0], "it wavers"
    assert fires(rule, [6, 1, 1, 1, 6, 6, 1, 1, 1, 1, 6]) == [0, 4, 10]


def test_nan_and_infinity_are_passed_over() -> None:
    odd = [math.nan, math.inf, -math.inf]
    assert fires("> 5", odd) == fires("< 5", odd) == fires({"change": "+1%", "window": 1}, odd) == []
    assert fires({"above": 5, "for": 2}, [6, math.nan, 6]) == [2], "they don't clear it"
    assert fires({"above": 5, "for": 2}, [6, math.inf]) == [], "nor break it"
    assert fires({"above": 5, "window": 2}, [6, 1, math.nan, 6, 1, 1, 6]) == [0, 6], "nor count"
    assert fires({"change": "+50%", "window": 2}, [1, 1, math.nan, 2, math.inf, 2]) == [5]


def test_a_change_is_of_the_mean_of_a_window_against_the_one_before() -> None:
    rule = parse({"change": "+20%", "window": 2, "name": "jump"})
    [alert] = rule.update(rule.start(), [1, 2, 3, 4], [2.0, 2.0, 2.0, 3.0])
    detail = {"name": "jump", "rule": "change +20% over 2 points", "value": 2.5, "bound": 2.4, "for": 1}
    assert alert == Alert("rule", "page", 4, detail | {"before": 2.0, "window": 2})


@pytest.mark.parametrize(
    ("change", "values", "expected"),
    [
        ("+20%", [10, 10, 12, 12.1], [3]),  # by more than 20 %
        ("-20%", [10, 10, 8, 7.9], [3]),
        ("+20%", [-10, -10, -8, -7.9], [3]),  # of the magnitude: up is up
        ("-20%", [-10, -10, -12, -12.1], [3]),
        ("+0.5", [0, 0, 0.5, 0.6], [3]),
        ("-0.5", [0, 0, -0.5, -0.6], [3]),
        ("+20%", [0, 0, 0, 0], []),
        ("+20%", [0, 0, 0, 1e-9], [3]),  # from nothing, any rise is more
    ],
)
def test_percent_and_absolute_up_and_down(change: str, values: list[float], expected: list[int]) -> None:
    assert fires({"change": change, "window": 2}, values) == expected


def test_a_change_says_nothing_before_two_windows_are_there() -> None:
    assert fires({"change": "+1%", "window": 5}, [float(n) for n in range(9)]) == []
    assert fires({"change": "+1%", "window": 5}, [float(n) for n in range(10)]) == [9]


def test_the_largest_numbers_do_not_overflow() -> None:
    assert fires({"change": "-50%", "window": 3}, [1.7e308] * 3 + [1e307] * 3) == [5]
    assert fires({"change": "+50%", "window": 3}, [1.7e308] * 6) == []


def test_one_huge_value_does_not_spoil_what_comes_after_it() -> None:
    values = [1.0, 1.0, 1e300, 1.0, 1.0, 1.0, 1.0, 1.5, 1.5]
    rule = {"change": "+20%", "window": 2}
    assert fires(rule, values) == [3, 7]
    assert fires(rule, values[3:]) == [4], "the same point, as exact as without"


def test_state_does_not_grow() -> None:
    rule = parse({"change": "+20%", "window": 10})
    state = rule.start()
    for start in range(0, 5000, 500):
        rule.update(state, np.arange(start, start + 500), np.ones(500))
    assert state.tail.nbytes == 19 * 8 and state.tail.base is None


def test_moving_sums() -> None:
    values = np.arange(20.0) ** 2
    for window in (1, 2, 3, 5, 8, 13, 20):
        expected = [sum(values[at : at + window]) for at in range(len(values) - window + 1)]
        assert moving_sums(values, window).tolist() == expected
