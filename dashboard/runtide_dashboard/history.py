"""From the query API's rows to curves."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from runtide_dashboard.curves import Mark
from runtide_dashboard.records import Curve

POINTS_MAX = 500  # per curve: about a panel's width in pixels
POINTS_MIN = 60
POINTS_PER_PAGE_MAX = 100_000  # keeps a payload below 1.5 MB
WIDENED_MAX = 4.0  # what is asked for beyond the window is not sent to the browser
_VALUES = ("x", "mean", "min", "max", "last", "n", "nonfinite")


def points_for(runs: int, metrics: int, widened: float = 1.0) -> int:
    """Points per curve, so that the page stays light. `widened`: how many times more is asked for than is shown."""
    points = max(POINTS_MIN, min(POINTS_MAX, POINTS_PER_PAGE_MAX // max(1, runs * metrics)))
    return round(points * min(max(widened, 1.0), WIDENED_MAX))


def split(table: pa.Table) -> dict[str, dict[str, Curve]]:
    """metric -> run -> curve, from the columns of `Client.history`: the rows of a curve lie together, in order of x."""
    found: dict[str, dict[str, Curve]] = {}
    if not table.num_rows:
        return found
    names = [_codes(table.column(name)) for name in ("metric", "project", "run_id")]
    changed = np.flatnonzero(np.any([np.diff(codes) != 0 for codes, _ in names], axis=0)) + 1
    columns = {name: numbers(table.column(name)) for name in _VALUES}
    for start, stop in zip([0, *changed.tolist()], [*changed.tolist(), table.num_rows], strict=True):
        metric, project, run_id = (str(words[codes[start]]) for codes, words in names)
        found.setdefault(metric, {})[f"{project}/{run_id}"] = _curve(
            {name: c[start:stop] for name, c in columns.items()}
        )
    return found


def _codes(column: pa.ChunkedArray) -> tuple[NDArray[np.int64], list[Any]]:
    """A column of names as numbers, and the names by number."""
    array = column.combine_chunks()
    encoded = array if pa.types.is_dictionary(array.type) else array.dictionary_encode()
    return np.asarray(encoded.indices, dtype=np.int64), encoded.dictionary.to_pylist()


def numbers(column: pa.ChunkedArray) -> NDArray[np.float64]:
    """A column as float64; times as ms since 1970."""
    if pa.types.is_timestamp(column.type):
        column = column.cast(pa.timestamp("ms", column.type.tz)).cast(pa.int64())
    return np.asarray(column.to_numpy(), dtype=np.float64)


def _curve(columns: dict[str, NDArray[np.float64]]) -> Curve:
    x, mean = columns["x"], columns["mean"]
    marks: list[tuple[float, Mark]] = []
    for i in np.flatnonzero(columns["nonfinite"]):
        value = mean[i] if columns["n"][i] == 1 else columns["last"][i]
        marks.append((float(x[i]), 1 if value == np.inf else -1 if value == -np.inf else 0))
    if (columns["n"] == 1).all():
        return Curve(x, mean, None, None, tuple(marks))
    return Curve(x, mean, columns["min"], columns["max"], tuple(marks))
