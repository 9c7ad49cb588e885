"""Metrics out of what a command prints: `runtide exec --metrics` and `--pattern`, for programs that log nothing."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import Any

LINE_BYTES_MAX = 4_096  # longer ones are no metrics, and patterns of users may be slow on them
STEP = "step"
_STEPS = frozenset((STEP, "global_step", "iter", "iteration"))

# `loss=0.25`, `val/acc: 91.5%`, `Epoch 3/10`, `"lr": 1e-4`: a name, a sign or space, and a number that nothing goes on
# after. Not `12:30:01`, `v=1.2.3`, `port:8080/tcp`.
_PAIR = re.compile(
    r"(?<![\w./:-])(?P<name>[A-Za-z_][\w./-]{0,99})[\"']?(?:\s{0,2}[=:]\s{0,4}|(?<=epoch)\s+|(?<=step)\s+|(?<=iter)\s+)"
    r"(?P<value>[-+]?(?:\d+(?:\.\d*)?|\.\d+)(?:[eE][-+]?\d+)?|nan|[-+]?inf(?:inity)?)"
    r"(?=%?(?:[\s,;|)\]}]|:(?!\d)|/\d+(?![\w/])|\.?$))",
    re.IGNORECASE,
)

Log = Callable[[dict[str, float], int | None], None]


class Printed:
    """Takes a stream of bytes as it comes, and hands the numbers of each line to `log(data, step)`.

    `patterns`: regular expressions with named groups, each the name of a metric; the group `step` is the step, and two
    groups `name` and `value` name the metric by what was printed. A group's name can't hold "/": "__" stands for it.
    `pairs`: look for `name=value` and `name: value` as well. A line whose numbers have no step goes on counting.
    """

    def __init__(self, log: Log, patterns: Sequence[re.Pattern[str]], pairs: bool) -> None:
        self._log = log
        self._patterns = [*patterns, *([_PAIR] if pairs else [])]
        self._rest = b""

    def feed(self, data: bytes) -> None:
        """More of the stream. Progress bars end their lines with a carriage return."""
        *lines, self._rest = (self._rest + data).replace(b"\r", b"\n").split(b"\n")
        if len(self._rest) > LINE_BYTES_MAX:
            self._rest = self._rest[: LINE_BYTES_MAX + 1]  # stays too long
        for line in lines:
            self._take(line)

    def end(self) -> None:
        """What came last may lack its line end."""
        self._take(self._rest)
        self._rest = b""

    def _take(self, line: bytes) -> None:
        if not line or len(line) > LINE_BYTES_MAX:
            return
        found = self._numbers(line.decode("utf-8", "replace"))
        step = next((found.pop(name) for name in list(found) if name.lower() in _STEPS), None)
        if found:
            self._log(found, int(step) if step is not None and step.is_integer() else None)

    def _numbers(self, line: str) -> dict[str, float]:
        found: dict[str, float] = {}
        for pattern in self._patterns:
            for match in pattern.finditer(line):
                groups = match.groupdict()
                if groups.keys() >= {"name", "value"}:
                    groups[str(groups.pop("name"))] = groups.pop("value")
                for name, text in groups.items():
                    if (number := _number(text)) is not None:
                        found.setdefault(name.replace("__", "/"), number)
        return found


def compiled(texts: Sequence[str]) -> list[re.Pattern[str]]:
    """The users' patterns. Raises `ValueError` with a line that says what is wrong with which."""
    found = []
    for text in texts:
        try:
            pattern = re.compile(text)
        except re.error as error:
            raise ValueError(f"pattern {text!r}: {error}") from None
        if not pattern.groupindex.keys() - {STEP}:
            raise ValueError(f"pattern {text!r} names no metric: put its number into (?P<loss>...)")
        found.append(pattern)
    return found


def _number(text: Any) -> float | None:
    try:
        return float(text)
    except (TypeError, ValueError):
        return None
