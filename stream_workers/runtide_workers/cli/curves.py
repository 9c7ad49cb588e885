"""`runtide curves`: curves of some runs in a terminal."""

from __future__ import annotations

import math
import shutil
import sys
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

from runtide.cli import CommandError
from runtide_storage import Client
from runtide_workers.cli import output
from runtide_workers.cli.braille import Canvas, Curve, Range

COLOURS = ("blue", "yellow", "green", "magenta", "cyan", "red", "white", "bright_blue")
RUNS_MAX, METRICS_MAX = 16, 8
MARGIN = 11  # for the numbers beside a plot
EDGE_FORM = "--window LOW:HIGH, of which one may be missing, as in 1000:5000 or 1000:"


def curves(
    refs: Sequence[str], metrics: Sequence[str], x: str, window: str | None, log: bool, width: int | None,
    height: int, as_json: bool,
) -> int:  # fmt: skip
    """A plot for each metric. 1: nothing was logged there."""
    if len(refs) > RUNS_MAX:
        raise CommandError(f"at most {RUNS_MAX} runs can be told apart in a terminal")
    columns = width or min(120, shutil.get_terminal_size((100, 24)).columns)
    with Client() as client:
        wanted = list(metrics) or _usual(client, refs)
        rows = client.history(
            refs, wanted, points=1_000 if as_json else 2 * max(10, columns - MARGIN), x=x, window=_window(window)
        ).to_pylist()
        names = {_ref(row): row["name"] for row in map(client.run, refs)}
    if as_json:
        print(output.as_json({"x": x, "points": rows}))
        return 0 if rows else 1
    for metric in wanted:
        found: dict[str, list[dict[str, Any]]] = {ref: [] for ref in names}
        for row in rows:
            if row["metric"] == metric:
                found[_ref(row)].append(row)
        _plot(metric, found, names, x, log, columns, height)
    return 0 if rows else 1


def _usual(client: Client, refs: Sequence[str]) -> list[str]:
    """Without a wish: the first run's metrics, its own before the machine's."""
    known = [row["metric"] for row in client.metrics(refs[0])]
    own = [name for name in known if not name.startswith("system/")]
    found = sorted(own or known, key=lambda name: (not name.startswith("val"), "loss" not in name, name))
    if not found:
        raise CommandError(f"{output.clean(refs[0])} has no metrics yet", 1)
    return found[:2]


def _plot(
    metric: str, found: Mapping[str, list[dict[str, Any]]], names: Mapping[str, str], x: str, log: bool, width: int,
    height: int,
) -> None:  # fmt: skip
    drawn = {ref: _points(rows, log) for ref, rows in found.items()}
    output.heading(output.clean(metric) + (" (log)" if log else ""))
    across = [at for curve in drawn.values() for at, _ in curve]
    levels = [y for curve in drawn.values() for _, y in curve if math.isfinite(y)]
    if not levels:
        print("  no finite values" if across else "  nothing was logged")
        return
    horizontal, vertical = (min(across), max(across)), (min(levels), max(levels))
    canvas = Canvas(max(10, width - MARGIN), height, horizontal, vertical)
    for number, curve in reversed(list(enumerate(drawn.values()))):  # the first run is drawn last, over the others
        canvas.draw(curve, number)
    _print(canvas, vertical, log)
    low, high = (_x_label(edge, x) for edge in horizontal)
    print(f"{'':{MARGIN - 1}}{low}{high:>{max(1, canvas.width - len(low) + 1)}}  {output.clean(x)}")
    for number, (ref, rows) in enumerate(found.items()):
        _legend(number, ref, names[ref], rows)


def _print(canvas: Canvas, y: Range, log: bool) -> None:
    for at, row in enumerate(canvas.rows()):
        part = at / max(1, canvas.height - 1)
        level = y[1] * (1 - part) + y[0] * part
        label = output.number(10**level if log else level) if at in (0, canvas.height // 2, canvas.height - 1) else ""
        output.coloured(
            [(f"{label:>{MARGIN - 2}} │", None), *((dot, None if who is None else _colour(who)) for dot, who in row)]
        )


def _legend(number: int, ref: str, name: str, rows: Sequence[Mapping[str, Any]]) -> None:
    odd = sum(row["nonfinite"] for row in rows)
    last = output.number(rows[-1]["last"]) if rows else "nothing"
    told = f"  {output.clean(ref)}{f'  {output.clean(name)}' if name else ''}: last {last}"
    output.coloured([("━━", _colour(number)), (told + (f", {odd} NaN or infinite" if odd else ""), None)])


def _points(rows: Sequence[Mapping[str, Any]], log: bool) -> Curve:
    """Both extremes of each bucket, so that no spike is missed."""
    found = []
    for row in rows:
        at = _number(row["x"])
        for y in dict.fromkeys((row["min"], row["max"])):
            level = y if not log else math.log10(y) if y > 0 and math.isfinite(y) else math.nan
            found.append((at, level))
    return found


def _number(x: Any) -> float:
    if isinstance(x, datetime):
        return x.timestamp()
    return x.total_seconds() if isinstance(x, timedelta) else float(x)


def _x_label(edge: float, x: str) -> str:
    if x == "time":
        return output.moment(datetime.fromtimestamp(edge).astimezone())
    return output.duration(edge) if x == "relative" else output.number(edge)


def _window(text: str | None) -> tuple[float, float] | None:
    if text is None:
        return None
    low, colon, high = text.partition(":")
    try:
        found = (float(low) if low else -math.inf, float(high) if high else math.inf)
    except ValueError:
        found = (math.nan, math.nan)
    if not colon or math.isnan(found[0]) or math.isnan(found[1]):
        raise CommandError(f"--window {text}: expected {EDGE_FORM}")
    return found


def _colour(number: int) -> str | None:
    return COLOURS[number % len(COLOURS)] if sys.stdout.isatty() else None


def _ref(row: Mapping[str, Any]) -> str:
    return f"{row['project']}/{row['run_id']}"
