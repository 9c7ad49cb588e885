"""What a query returns: an Arrow table, and ways out of it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from runtide_storage.errors import MissingPackage

if TYPE_CHECKING:
    import pandas as pd
    import polars as pl


class Result:
    """Columns of rows. Times are UTC; names may be dictionary-encoded."""

    __slots__ = ("arrow",)

    def __init__(self, arrow: pa.Table) -> None:
        self.arrow = arrow

    @property
    def columns(self) -> list[str]:
        """The names of the columns."""
        return list(self.arrow.column_names)

    def to_pylist(self) -> list[dict[str, Any]]:
        """One dict per row."""
        rows: list[dict[str, Any]] = self.arrow.to_pylist(maps_as_pydicts="lossy")
        return rows

    def to_pandas(self) -> pd.DataFrame:
        """A DataFrame; names become categories where they are dictionary-encoded. Raises `MissingPackage`."""
        with _named("pandas"):
            return self.arrow.to_pandas()

    def to_polars(self) -> pl.DataFrame:
        """A polars DataFrame, without a copy where polars can. Raises `MissingPackage`."""
        with _named("polars"):
            import polars as pl

        return pl.DataFrame(self.arrow)

    def __arrow_c_stream__(self, requested_schema: object | None = None) -> object:
        """The Arrow PyCapsule interface: DuckDB, polars, pandas 3, pyarrow and others read a result as it is."""
        return self.arrow.__arrow_c_stream__(requested_schema)

    def __len__(self) -> int:
        return int(self.arrow.num_rows)

    def __iter__(self) -> Iterator[dict[str, Any]]:
        return iter(self.to_pylist())

    def __repr__(self) -> str:
        return f"<Result: {len(self):,} rows of {', '.join(self.columns)}>"


@contextmanager
def _named(package: str) -> Iterator[None]:
    try:
        yield
    except ImportError as error:
        raise MissingPackage(f"{package} is not installed: pip install {package}") from error
