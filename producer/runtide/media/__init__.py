"""What people log besides numbers: tables, histograms, images, figures. Runtide keeps what they say of themselves.

A description goes into the run's summary under the name it was logged with: `kind`, `step`, and what there is to tell.
The newest one stays. A histogram also gives metrics, `name/mean`, `name/p50`, ..., so that its course can be drawn.
Pixels, samples and pages are not kept: `run.log_artifact` is for files.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from itertools import islice
from typing import Any

import orjson

from runtide.mapping import Config
from runtide.media.base import Media
from runtide.media.histogram import Histogram
from runtide.plain import clip, plain

__all__ = [
    "Audio", "Chart", "Figure", "Graph", "Histogram", "Html", "Image", "Media", "Molecule", "Object3D", "Plotly",
    "Table", "Video", "record",
]  # fmt: skip

ROWS_MAX = 1_000  # of a table that are kept
ROWS_BYTES_MAX = 256 << 10  # likewise, as JSON
CELL_CHARS_MAX = 1_000
ITEMS_MAX = 32  # of a list of media that are described


def record(summary: Config, name: str, value: Any, step: int) -> Mapping[str, float] | None:
    """Describe a value in the summary and return the metrics that it gives; None: it is nothing that we know."""
    media = _media_of(value)
    if media is None:
        return None
    summary[name] = {"kind": media.kind, "step": step, **media.describe()}
    return {f"{name}/{key}": number for key, number in media.numbers().items()}


class Table(Media):
    """Rows under columns: `Table(columns=["id", "loss"], data=[[1, 0.5]])` or `Table(dataframe=frame)`.

    The first 1,000 rows are kept, fewer if they are long, and how many there were.
    """

    kind = "table"

    def __init__(
        self,
        columns: Sequence[Any] | None = None,
        data: Any = None,
        rows: Any = None,
        dataframe: Any = None,
        **_wandb: Any,
    ) -> None:
        given = dataframe if dataframe is not None else data if data is not None else rows
        if hasattr(given, "columns") and hasattr(given, "itertuples"):  # a pandas DataFrame
            columns = list(given.columns) if columns is None else columns
            given = given.itertuples(index=False, name=None)
        elif hasattr(given, "tolist"):
            given = given.tolist()
        self.data: list[list[Any]] = [list(row) for row in given or ()]
        width = len(self.data[0]) if self.data else 3
        self.columns: list[str] = [str(name) for name in (columns if columns is not None else range(width))]

    def add_data(self, *row: Any) -> None:
        """Add a row."""
        self.data.append(list(row))

    def add_row(self, *row: Any) -> None:
        """The same: wandb has two names for it."""
        self.add_data(*row)

    def add_column(self, name: str, data: Any, optional: bool = False) -> None:  # noqa: ARG002 - wandb's
        """Add a column with a value for each row."""
        values = list(data)
        if self.columns and not self.data:
            self.columns = []
        self.data = self.data or [[] for _ in values]
        if len(values) != len(self.data):
            raise ValueError(f"column {name!r} has {len(values)} values, the table {len(self.data)} rows")
        self.columns.append(str(name))
        for row, value in zip(self.data, values, strict=True):
            row.append(value)

    def get_column(self, name: str, convert_to: str | None = None) -> Any:
        """A column's values, as a list or with `convert_to="numpy"` as an array."""
        values = [row[self.columns.index(name)] for row in self.data]
        if convert_to == "numpy":
            import numpy as np

            return np.array(values)
        return values

    def iterrows(self) -> Iterator[tuple[int, list[Any]]]:
        return enumerate(self.data)

    def describe(self) -> dict[str, Any]:
        rows = [[_cell(value) for value in row] for row in islice(self.data, ROWS_MAX)]
        while len(orjson.dumps(rows)) > ROWS_BYTES_MAX:
            rows = rows[: len(rows) // 2]
        return {"columns": self.columns, "rows": len(self.data), "data": rows}


class Image(Media):
    """A picture: an array, a tensor, a PIL image, a figure or a file's path. Its size and caption are kept."""

    kind = "image"

    def __init__(self, data_or_path: Any, mode: str | None = None, caption: Any = None, **marks: Any) -> None:
        self.facts: dict[str, Any] = {"caption": caption, "mode": mode or getattr(data_or_path, "mode", None)}
        self.facts |= _file_facts(data_or_path) or _image_size(data_or_path)
        for name in ("boxes", "masks"):
            if marks.get(name):
                self.facts[name] = sorted(map(str, marks[name]))

    def describe(self) -> dict[str, Any]:
        return _told(self.facts)


class Figure(Media):
    """A figure of matplotlib or plotly: its titles and axes are kept, and the kinds of plotly's traces."""

    kind = "figure"

    def __init__(self, figure: Any) -> None:
        self._figure = figure.gcf() if hasattr(figure, "gcf") else figure  # `wandb.log({"chart": plt})`

    def describe(self) -> dict[str, Any]:
        if hasattr(self._figure, "get_axes"):
            axes = [
                _told({"title": each.get_title(), "x": each.get_xlabel(), "y": each.get_ylabel()})
                for each in self._figure.get_axes()[:ITEMS_MAX]
            ]
            return {"library": "matplotlib", "axes": axes}
        layout, data = getattr(self._figure, "layout", None), getattr(self._figure, "data", ())
        title = getattr(getattr(layout, "title", None), "text", None)
        kinds = [str(getattr(trace, "type", "")) for trace in islice(data, ITEMS_MAX)]
        return _told({"library": type(self._figure).__module__.partition(".")[0], "title": title, "traces": kinds})


class Plotly(Figure):
    """wandb's name for a plotly figure."""


class Chart(Media):
    """What `runtide.media.plot` makes: a table and what is drawn of it."""

    def __init__(self, form: str, table: Table, fields: Mapping[str, str], title: str | None = None) -> None:
        self.kind = f"chart/{form}"
        self.table = table
        self.fields = dict(fields)
        self.title = title

    def describe(self) -> dict[str, Any]:
        return _told({"title": self.title, "fields": self.fields}) | self.table.describe()


class _File(Media):
    """Anything that comes as a file or as data, and has a caption."""

    def __init__(self, data_or_path: Any, **facts: Any) -> None:
        self._facts = {name: value for name, value in facts.items() if isinstance(value, (str, int, float))}
        self._facts |= _file_facts(data_or_path) or _data_facts(data_or_path)

    def describe(self) -> dict[str, Any]:
        return _told(self._facts)


class Video(_File):
    kind = "video"


class Audio(_File):
    kind = "audio"


class Html(_File):
    kind = "html"


class Object3D(_File):
    kind = "object3d"


class Molecule(_File):
    kind = "molecule"


class Graph(_File):
    kind = "graph"


class _Several(Media):
    """A list of media, under one name."""

    def __init__(self, items: Sequence[Media]) -> None:
        self._items = items
        self.kind = f"list of {items[0].kind}"

    def describe(self) -> dict[str, Any]:
        return {"count": len(self._items), "items": [item.describe() for item in self._items[:ITEMS_MAX]]}


def _media_of(value: Any) -> Media | None:
    if isinstance(value, Media):
        return value
    if isinstance(value, (list, tuple)):
        items = [_media_of(item) for item in value]
        known = [item for item in items if item is not None]
        return _Several(known) if known and len(known) == len(items) else None
    library = (value.__name__ if hasattr(value, "gcf") else type(value).__module__).partition(".")[0]
    if library in ("matplotlib", "plotly") and (
        hasattr(value, "get_axes") or hasattr(value, "gcf") or _is_plotly(value)
    ):
        return Figure(value)
    if library == "PIL" and hasattr(value, "size"):
        return Image(value)
    if library == "pandas" and hasattr(value, "itertuples"):
        return Table(dataframe=value)
    return None


def _is_plotly(value: Any) -> bool:
    return hasattr(value, "layout") and hasattr(value, "data")


def _cell(value: Any) -> Any:
    if isinstance(value, Media):
        return {"kind": value.kind, **value.describe()}
    found = plain(value)
    return clip(found, CELL_CHARS_MAX) if isinstance(found, str) else found


def _file_facts(place: Any) -> dict[str, Any]:
    """Of a path that exists; {} for anything else."""
    if not isinstance(place, (str, os.PathLike)) or not os.path.isfile(place):
        return {}
    return {"path": os.path.abspath(place), "bytes": os.path.getsize(place)}


def _data_facts(data: Any) -> dict[str, Any]:
    if isinstance(data, (str, bytes)):
        return {"length": len(data)}
    shape = getattr(data, "shape", None)
    return {"shape": list(map(int, shape))} if shape is not None else {}


def _image_size(image: Any) -> dict[str, Any]:
    shape = getattr(image, "shape", None)
    if shape is not None and len(shape) >= 2:
        # Tensors of torch have their channels first, arrays of numpy and PIL's images last.
        first = type(image).__module__.partition(".")[0] == "torch" and len(shape) > 2
        height, width = shape[-2:] if first else shape[:2]
        return {"width": int(width), "height": int(height)}
    size = getattr(image, "size", None)
    return {"width": int(size[0]), "height": int(size[1])} if isinstance(size, tuple) and len(size) == 2 else {}


def _told(facts: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in facts.items() if value not in (None, "", [], {})}
