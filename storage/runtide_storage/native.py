"""Columns to ClickHouse's Native format, and rows to Arrow.

Points go as Native: each column's bytes as numpy holds them, so that neither side converts anything
(docs/decisions/0004-native-inserts.md). The small tables go as Arrow, which knows strings, arrays and nulls.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

# Column -> (numpy type in memory, ClickHouse's type). DateTime64(3) is an int64 of milliseconds.
POINT_COLUMNS: dict[str, tuple[type[np.generic], str]] = {
    "run": (np.uint64, "UInt64"),
    "key": (np.uint64, "UInt64"),
    "step": (np.int64, "Int64"),
    "ts": (np.int64, "DateTime64(3, 'UTC')"),
    "value": (np.float64, "Float64"),
    "attempt": (np.uint16, "UInt16"),
    "writer": (np.uint64, "UInt64"),
    "seq": (np.uint64, "UInt64"),
}


def native_points(columns: Mapping[str, NDArray[np.generic]], start: int, stop: int) -> bytes:
    """One block of rows [start, stop) of POINT_COLUMNS. Raises `ValueError` if columns are missing or don't match."""
    rows = stop - start
    block: list[bytes | memoryview] = [_varint(len(POINT_COLUMNS)), _varint(rows)]
    for name, (kind, clickhouse_type) in POINT_COLUMNS.items():
        if name not in columns:
            raise ValueError(f"points without the column {name}")
        column = columns[name]
        if column.ndim != 1 or not np.can_cast(column.dtype, kind, "safe"):
            raise ValueError(f"points: {name} must be a vector of {kind.__name__}, not {column.dtype} {column.shape}")
        part = np.ascontiguousarray(column[start:stop], dtype=kind)
        if len(part) != rows:
            raise ValueError(f"points: {name} has {len(column)} rows, not {stop}")
        block += [_text(name), _text(clickhouse_type), part.data.cast("B")]
    return b"".join(block)


def arrow_rows(rows: Sequence[Mapping[str, Any]], types: Mapping[str, str]) -> pa.Table:
    """Rows as a table with the columns of the first row; `types` are ClickHouse's.

    Times are ints in the unit of their column: ms for DateTime64(3), ns for DateTime64(9). Raises `ValueError` or
    `TypeError` on a column that the table does not have or a value that does not fit.
    """
    names = list(rows[0])
    unknown = [name for name in names if name not in types]
    if unknown:
        raise ValueError(f"there is no column {unknown[0]}")
    try:
        arrays = [pa.array([row[name] for row in rows], arrow_type(types[name])) for name in names]
    except KeyError as error:
        raise ValueError(f"a row without the column {error}") from None
    except (pa.ArrowException, OverflowError, UnicodeError) as error:
        raise ValueError(str(error)) from error
    for name, array in zip(names, arrays, strict=True):
        if array.null_count and not types[name].startswith("Nullable("):  # ClickHouse would put a 0 or "" there
            raise ValueError(f"{name} must not be null")
    return pa.table(arrays, names=names)


_SIMPLE = {
    "String": pa.string(),
    "UInt8": pa.uint8(),
    "UInt16": pa.uint16(),
    "UInt32": pa.uint32(),
    "UInt64": pa.uint64(),
    "Int32": pa.int32(),
    "Int64": pa.int64(),
    "Float32": pa.float32(),
    "Float64": pa.float64(),
}
_UNITS = {"3": "ms", "6": "us", "9": "ns"}


def arrow_type(clickhouse_type: str) -> pa.DataType:
    """The Arrow type by which a column of this type is sent. Raises `ValueError` for a type that no table has."""
    wrapped = re.fullmatch(r"(?:Nullable|LowCardinality)\((.*)\)", clickhouse_type)
    if wrapped:
        return arrow_type(wrapped[1])
    if (time := re.fullmatch(r"DateTime64\((\d)(?:, 'UTC')?\)", clickhouse_type)) and time[1] in _UNITS:
        return pa.timestamp(_UNITS[time[1]], "UTC")
    if items := re.fullmatch(r"Array\((.*)\)", clickhouse_type):
        return pa.list_(arrow_type(items[1]))
    if clickhouse_type.startswith("Enum8("):
        return pa.string()
    try:
        return _SIMPLE[clickhouse_type]
    except KeyError:
        raise ValueError(f"no Arrow type for {clickhouse_type}") from None


def _varint(number: int) -> bytes:
    out = bytearray()
    while number > 0x7F:
        out.append(number & 0x7F | 0x80)
        number >>= 7
    out.append(number)
    return bytes(out)


def _text(text: str) -> bytes:
    data = text.encode()
    return _varint(len(data)) + data
