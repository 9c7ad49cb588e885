"""Rules that people write themselves: a bound, or a change against what was just before. Pure.

rule = parse({"change": "+20%", "window": 50})      # ValueError: one line that shows what would be right
state = rule.start()                                # of one curve
alerts = rule.update(state, steps, values)          # points in order of arrival, in batches of any size

What a rule sees are a curve's *finite* points, one after the other. NaN and infinities are passed over: they neither
break a rule nor clear it, and don't count as points. That they are there is an alert of its own ("nan"), at once.

A rule fires at the `hold`-th point in a row that breaks it. After that it is silent until `window` points in a row were
clear of it: a value that wavers around its bound fires once.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, cast, get_args

import numpy as np
from numpy.typing import ArrayLike, NDArray

from runtide_workers.detection.alert import Alert, Severity

Op = Literal[">", ">=", "<", "<=", "change"]
Floats = NDArray[np.float64]

WINDOW = 100  # points
WINDOW_MAX = 10_000  # a change keeps the last 2 * window values
HOLD_MAX = 1_000_000
NAME_CHARS_MAX = 200

_KEYS = ("above", "below", "change", "window", "for", "severity", "name")
_RIGHT = """right are "> 5", {"above": 5}, {"below": 0.1} or {"change": "+20%", "window": 100}"""
_BOUND = re.compile(r"\s*(>=|<=|>|<)\s*(\S+)\s*")
_CHANGE = re.compile(r"\s*([+-])\s*([^\s%]+)\s*(%?)\s*")


@dataclass(slots=True)
class RuleState:
    """Of one curve. Never more than 2 * window numbers, however long the curve is."""

    is_armed: bool = True
    held: int = 0  # points in a row that broke the rule, up to now
    clear: int = 0  # and that did not
    tail: Floats = field(default_factory=lambda: np.empty(0))  # of a change: the last values, divided by the window


@dataclass(frozen=True, slots=True)
class Rule:
    """What somebody wants to be told of. A change is of the mean of the last `window` points against those before."""

    name: str
    op: Op
    bound: float  # of a change: the difference, a fall is negative; with `is_percent` as a part of the mean before
    is_percent: bool = False
    window: int = WINDOW  # points
    hold: int = 1  # points in a row
    severity: Severity = "page"

    @property
    def text(self) -> str:
        """The rule in words: "> 5", "change +20% over 100 points", "< 0.1 for 3 points"."""
        if self.op == "change":
            amount = f"{100 * self.bound:+.12g}%" if self.is_percent else f"{self.bound:+.12g}"
            text = f"change {amount} over {self.window} points"
        else:
            text = f"{self.op} {self.bound:.12g}"
        return text if self.hold == 1 else f"{text} for {self.hold} points"

    def start(self) -> RuleState:
        """Nothing seen yet."""
        return RuleState()

    def update(self, state: RuleState, steps: ArrayLike, values: ArrayLike) -> list[Alert]:
        """Alerts of the next points. `steps` (n,) int, `values` (n,); `state` moves on.

        Whether they come in one batch or in many makes no difference. `detail`: name, rule (its text), value and bound
        (of a change: the mean of the window, what it had to pass, `before`: the mean before, and `window`), and `for`.
        """
        at, given = np.asarray(steps), np.asarray(values, np.float64)
        finite = np.isfinite(given)
        if not finite.all():
            at, given = at[finite], given[finite]
        if not len(given):
            return []
        if self.op == "change":
            breaks, value, bound, before = self._changes(state, given)
        else:
            breaks, value, bound, before = self._beyond(given), given, np.full(len(given), self.bound), None
        found = []
        for place in self._fires(state, breaks):
            detail: dict[str, Any] = {"name": self.name, "rule": self.text}
            detail |= {"value": float(value[place]), "bound": float(bound[place]), "for": self.hold}
            if before is not None:
                detail |= {"before": float(before[place]), "window": self.window}
            found.append(Alert("rule", self.severity, int(at[place]), detail))
        return found

    def _beyond(self, values: Floats) -> NDArray[np.bool_]:
        if self.op == ">":
            return values > self.bound
        if self.op == ">=":
            return values >= self.bound
        if self.op == "<":
            return values < self.bound
        return values <= self.bound

    def _changes(self, state: RuleState, values: Floats) -> tuple[NDArray[np.bool_], Floats, Floats, Floats]:
        """Per new point: whether it breaks the rule, the mean up to it, what that had to pass, and the mean before."""
        shares = np.concatenate([state.tail, values / self.window])  # means can't overflow where sums could
        state.tail = shares[-(2 * self.window - 1) :].copy()
        breaks = np.zeros(len(values), np.bool_)
        after, bound, before = (np.full(len(values), np.nan) for _ in range(3))
        known = len(shares) - 2 * self.window + 1  # of the new points, the last: those with two windows behind them
        if known > 0:
            means = moving_sums(shares, self.window)
            after[-known:], before[-known:] = means[self.window :], means[:known]
            with np.errstate(over="ignore"):
                bound = before + (self.bound * np.abs(before) if self.is_percent else self.bound)
                breaks = after > bound if self.bound > 0 else after < bound  # NaN: neither
        return breaks, after, bound, before

    def _fires(self, state: RuleState, breaks: NDArray[np.bool_]) -> list[int]:
        """Where the rule fires: at the end of the first streak that is long enough, once it is armed."""
        count = len(breaks)
        place = np.arange(count)
        # How long the streak is that each point ends; one that goes on from the last batch began before place 0.
        held = place - np.maximum.accumulate(np.where(breaks, -1 - state.held, place))
        clear = place - np.maximum.accumulate(np.where(breaks, place, -1 - state.clear))
        due, rearmed = np.flatnonzero(held == self.hold), np.flatnonzero(clear == self.window)
        state.held, state.clear = int(held[-1]), int(clear[-1])
        found: list[int] = []
        now = 0
        while True:
            events = due if state.is_armed else rearmed
            next_one = int(np.searchsorted(events, now))
            if next_one == len(events):
                return found
            now = int(events[next_one])
            if state.is_armed:
                found.append(now)
            state.is_armed = not state.is_armed
            now += 1


def moving_sums(values: Floats, window: int) -> Floats:
    """The sums of each `window` values in a row, (n - window + 1,).

    Made of sums of 1, 2, 4, ... values, each of two shorter ones: a sum depends on its own values only, not on what was
    before or on how many are computed at once, and nothing is ever subtracted.
    """
    blocks, size, taken, left = values, 1, 0, window
    sums = np.zeros(len(values) - window + 1)
    while left:
        if left & 1:
            sums = sums + blocks[taken : taken + len(sums)]
            taken += size
        left >>= 1
        if left:
            blocks = blocks[:-size] + blocks[size:]
            size *= 2
    return sums


def parse(spec: Any, name: str | None = None) -> Rule:
    """The rule that `spec`, any JSON, means. `name`: what to call it if it doesn't say; without, its text.

    "> 5" (also >=, <, <=), {"above": 5}, {"below": 0.1}, {"change": "+20%"} or {"change": "-0.5"}: by more than that.
    With `window` (points, default 100), `for` (points in a row, default 1), `severity` (page, warn or info; page,
    because somebody asked for it) and `name`. Raises `ValueError`: one line that shows what would be right.
    """
    if isinstance(spec, str):
        op, bound = _bound(spec)
        return _named(Rule("", op, bound), name)
    if not isinstance(spec, Mapping):
        raise ValueError(f"a rule is no {_kind(spec)}: {_RIGHT}")
    unknown = [key for key in spec if key not in _KEYS]
    if unknown:
        raise ValueError(f"a rule has no {shown(unknown[0])}: it has {', '.join(_KEYS)}")
    conditions = [key for key in ("above", "below", "change") if key in spec]
    if len(conditions) != 1:
        said = f"{' and '.join(conditions)} in one rule" if conditions else "a rule needs above, below or change"
        raise ValueError(f"{said}: {_RIGHT}{', each a rule of its own' if conditions else ''}")
    op, bound, is_percent = _condition(conditions[0], spec[conditions[0]])
    severity = spec.get("severity", "page")
    if severity not in get_args(Severity):
        raise ValueError(f"severity: {shown(severity)} is none of page, warn, info")
    rule = Rule(
        "",
        op,
        bound,
        is_percent,
        _count("window", spec.get("window", WINDOW), WINDOW_MAX),
        _count("for", spec.get("for", 1), HOLD_MAX),
        cast(Severity, severity),
    )
    return _named(rule, spec.get("name", name))


def _named(rule: Rule, name: Any) -> Rule:
    if name is not None and not (isinstance(name, str) and name.strip() and len(name) <= NAME_CHARS_MAX):
        raise ValueError(f"name: {shown(name)} is no text of 1 to {NAME_CHARS_MAX} characters")
    called = name.strip() if name is not None else rule.text
    return Rule(called, rule.op, rule.bound, rule.is_percent, rule.window, rule.hold, rule.severity)


def _condition(key: str, value: Any) -> tuple[Op, float, bool]:
    if key == "change":
        bound, is_percent = _change(value)
        return "change", bound, is_percent
    bound = _number(value, f"{key}: {shown(value)} is no number: {_RIGHT}")
    return (">" if key == "above" else "<"), bound, False


def _bound(text: str) -> tuple[Op, float]:
    fault = f"{shown(text)} is no rule: {_RIGHT}"
    found = _BOUND.fullmatch(text)
    if not found:
        raise ValueError(fault)
    return cast(Op, found[1]), _finite(found[2], fault)


def _change(value: Any) -> tuple[float, bool]:
    fault = f"""change: {shown(value)} is no "+20%", "-20%", "+0.5" or "-0.5": how much, and which way"""
    if isinstance(value, str):
        found = _CHANGE.fullmatch(value)
        if not found:
            raise ValueError(fault)
        size = _finite(found[2], fault)
        bound, is_percent = (-size if found[1] == "-" else size) / (100 if found[3] else 1), bool(found[3])
        if math.copysign(1, size) < 0:  # "+-5"
            raise ValueError(fault)
    else:
        bound, is_percent = _number(value, fault), False
    if not bound:
        raise ValueError(f"change: {shown(value)} is none: every point would break it")
    return bound, is_percent


def _number(value: Any, fault: str) -> float:
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise ValueError(fault)
    return _finite(value, fault)


def _finite(number: str | float, fault: str) -> float:
    """As a float. Python would take "1_0", "nan" and "infinity" too."""
    try:
        found = math.nan if isinstance(number, str) and "_" in number else float(number)
    except (ValueError, OverflowError):
        found = math.nan
    if not math.isfinite(found):
        raise ValueError(fault)
    return found


def _count(key: str, value: Any, most: int) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or not 1 <= value <= most:
        raise ValueError(f"{key}: {shown(value)} is no number of points from 1 to {most:,}")
    return value


def _kind(value: Any) -> str:
    kinds = {bool: "true or false", int: "number", float: "number", list: "list", type(None): "null"}
    return kinds.get(type(value), type(value).__name__)


def shown(value: Any) -> str:
    """`repr`, of at most 60 characters, for the message of an error."""
    try:
        text = repr(value)
    except ValueError:
        return "a number of thousands of digits"
    return text if len(text) <= 60 else f"{text[:59]}…"
