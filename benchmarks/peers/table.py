"""Figures of many peers as Markdown tables: one row a peer, one column a question."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from benchmarks.report import Figure

Figures = Mapping[str, Figure]  # of one peer, by name


@dataclass(frozen=True)
class Column:
    """What one column shows: the medians of some figures with "/" between, and the spread of the first."""

    head: str
    names: tuple[str, ...]

    def cell(self, figures: Figures) -> str:
        shown = [short(figures[name].value) if name in figures else "-" for name in self.names]
        if set(shown) == {"-"}:
            return "-"
        return " / ".join(shown) + _spread(figures.get(self.names[0]))


def table(rows: Mapping[str, Figures], columns: Sequence[Column], corner: str = "") -> str:
    """Columns and rows without any figure are left out. "": nothing is left."""
    columns = [column for column in columns if any(column.cell(figures) != "-" for figures in rows.values())]
    cells = [[title, *(column.cell(figures) for column in columns)] for title, figures in rows.items()]
    cells = [row for row in cells if set(row[1:]) - {"-"}]
    if not cells:
        return ""
    cells = [[corner, *(column.head for column in columns)], *cells]
    widths = [max(len(row[at]) for row in cells) for at in range(len(cells[0]))]
    lines = ["| " + " | ".join(map(str.ljust, row, widths)) + " |" for row in cells]
    lines.insert(1, "|" + "|".join("-" * (width + 2) for width in widths) + "|")
    return "\n".join(lines)


def short(value: float) -> str:
    """Three digits are all that such a figure is good for."""
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.3g}"


def _spread(figure: Figure | None) -> str:
    if figure is None or figure.least is None or figure.most is None or figure.least == figure.most:
        return ""
    return f" ({short(figure.least)}-{short(figure.most)})"
