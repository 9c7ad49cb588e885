"""How things look: tables through rich at a terminal, plain text elsewhere. What runs are called is hostile input."""

from __future__ import annotations

import json
import math
import sys
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, date, datetime
from typing import Any

PLAIN_WIDTH = 10_000  # no terminal: nothing is cut or wrapped
CELL_CHARS_MAX = 60
_TICKS = "▁▂▃▄▅▆▇█"
_CONTROL = dict.fromkeys([*range(32), *range(127, 160)], "\ufffd")  # escape sequences could repaint the terminal


def clean(text: object) -> str:
    """`text` on one line and without control characters."""
    return printable(" ".join(str(text).split()))


def printable(text: str) -> str:
    """`text` without control characters, spaces as they are."""
    return text.translate(_CONTROL)


def table(columns: Sequence[str], rows: Iterable[Sequence[object]], *, right: Iterable[str] = ()) -> None:
    """Print rows under headings; `right` names the columns of numbers."""
    cells = [[cell(value) for value in row] for row in rows]
    if not sys.stdout.isatty():
        _plain(columns, cells)
        return
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    shown = Table(box=None, pad_edge=False, header_style="bold")
    numbers = set(right)
    for name in columns:
        shown.add_column(Text(name), justify="right" if name in numbers else "left", overflow="ellipsis")
    for row in cells:
        shown.add_row(*(Text(short(text)) for text in row))
    Console(markup=False, highlight=False, emoji=False).print(shown)


def _plain(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    widths = [max(map(len, (name, *(row[at] for row in rows)))) for at, name in enumerate(columns)]
    for row in (columns, *rows):
        print("  ".join(text.ljust(width) for text, width in zip(row, widths, strict=True)).rstrip())


def heading(text: str) -> None:
    """The title of a part of a page."""
    if sys.stdout.isatty():
        from rich.console import Console
        from rich.text import Text

        Console(markup=False, highlight=False, emoji=False).print(Text(f"\n{text}", style="bold"))
    else:
        print(f"\n{text}")


def coloured(parts: Iterable[tuple[str, str | None]]) -> None:
    """One line of (text, colour); without colours where there is no terminal, or NO_COLOR is set."""
    found = list(parts)
    if not sys.stdout.isatty():
        print("".join(text for text, _ in found).rstrip())
        return
    from rich.console import Console
    from rich.text import Text

    line = Text.assemble(*((text, colour or "") for text, colour in found))
    Console(markup=False, highlight=False, emoji=False).print(line, soft_wrap=True)


def cell(value: object) -> str:
    """One value as people read it."""
    if value is None:
        return "-"
    if isinstance(value, float):
        return number(value)
    if isinstance(value, datetime):
        return moment(value)
    if isinstance(value, (list, tuple)):
        return ", ".join(clean(each) for each in value)
    return clean(value)


def state(run: Mapping[str, Any]) -> str:
    """A run's state as people say it."""
    return "stalled" if run["state"] == "running" and run["health"] == "stalled" else str(run["state"])


def number(value: float) -> str:
    """Five significant digits; integers as they are."""
    if not math.isfinite(value):
        return str(value)
    return f"{value:.0f}" if value == int(value) and abs(value) < 1e15 else f"{value:.5g}"


def moment(value: datetime) -> str:
    """Local time to the second. Storage speaks UTC, with or without saying so."""
    zone = value.tzinfo or UTC  # fields one by one: times with nanoseconds are pandas' own kind of datetime
    known = datetime(value.year, value.month, value.day, value.hour, value.minute, value.second, tzinfo=zone)
    return known.astimezone().strftime("%Y-%m-%d %H:%M:%S")


def duration(seconds: float) -> str:
    """Two units: 4.2 s, 3 min 20 s, 2 h 5 min, 3 d 4 h."""
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes, rest_s = divmod(int(seconds), 60)
    if minutes < 60:
        return f"{minutes} min {rest_s} s"
    hours, minutes = divmod(minutes, 60)
    if hours < 24:
        return f"{hours} h {minutes} min"
    return f"{hours // 24} d {hours % 24} h"


def short(text: str, chars_max: int = CELL_CHARS_MAX) -> str:
    return text if len(text) <= chars_max else text[: chars_max - 1] + "…"


def sparkline(values: Sequence[float | None]) -> str:
    """A curve in one line of text; a blank where there is no finite value."""
    finite = [value for value in values if value is not None and math.isfinite(value)]
    if not finite:
        return ""
    low, high = min(finite) / 2, max(finite) / 2  # halves: the range of two doubles may be no double
    scale = (len(_TICKS) - 1) / (high - low) if high > low else 0.0
    return "".join(
        " " if value is None or not math.isfinite(value) else _TICKS[round((value / 2 - low) * scale)]
        for value in values
    )


def as_json(value: object) -> str:
    """JSON on one line. NaN and infinities, which JSON has not, become the strings that the event contract uses."""
    return json.dumps(_jsonable(value), ensure_ascii=False, allow_nan=False)


def _jsonable(value: Any) -> Any:
    if isinstance(value, float) and not math.isfinite(value):
        return "NaN" if math.isnan(value) else "Infinity" if value > 0 else "-Infinity"
    if isinstance(value, dict):
        return {str(key): _jsonable(each) for key, each in value.items()}
    if isinstance(value, (list, tuple)):
        return [_jsonable(each) for each in value]
    if isinstance(value, datetime) and value.tzinfo is None:
        return value.replace(tzinfo=UTC).isoformat()
    if isinstance(value, (datetime, date)):
        return value.isoformat()
    if isinstance(value, bytes):
        return value.decode("utf-8", "backslashreplace")
    if value is None or isinstance(value, (str, bool, int, float)):
        return value
    return str(value)
