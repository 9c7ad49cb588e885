"""People's own SQL: read-only, limited, with errors that say what to do."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import pyarrow as pa
from clickhouse_connect.driver.exceptions import ClickHouseError

from runtide_storage.errors import QueryError, one_line
from runtide_storage.reader import Reader

MESSAGE_CHARS_MAX = 400
LIMITS = {
    "readonly": 2,  # settings may still be given, nothing may be written
    "max_execution_time": 30,  # s
    "max_memory_usage": 4 << 30,
    "max_result_rows": 1_000_000,
    "result_overflow_mode": "throw",
}
_PLACEHOLDER = re.compile(r"\{\s*\w+\s*:[^}]+\}")
# What the server adds for its own developers: the whole query again, all tokens that could follow, our FORMAT.
_NOISE = re.compile(
    r"[:.]? (?:In scope|While processing|while executing|Expected one of).*| FORMAT Arrow\b", re.IGNORECASE
)
_READONLY = (164, 497)
# Error code of the server -> what to do.
_HINTS = {
    46: "function names are case-sensitive; ClickHouse's documentation lists them",
    47: "docs/sql.md lists the columns of each view; `DESCRIBE v_points` does too",
    60: "docs/sql.md lists the views: v_runs, v_points, v_summary, v_config, v_events, v_alerts and more",
    158: "read less: name project, run_id and metric in WHERE",
    159: "it took too long: name project, run_id and metric in WHERE, or aggregate",
    241: "it needs too much memory: name project, run_id and metric in WHERE, or aggregate",
    307: "read less: name project, run_id and metric in WHERE",
    396: "too many rows: add LIMIT, or aggregate",
    456: "give a value for every {name:Type} in params",
}


def ask(reader: Reader, query: str, params: Mapping[str, Any] | None, limit: int | None) -> pa.Table:
    """The answer to `query`, at most `limit` rows of it.

    A user whom the server keeps from writing has its limits there; any other gets LIMITS with the query.
    Raises `QueryError` in one line that names the fix, and `Unreachable`.
    """
    text = query.strip().rstrip(";").rstrip()
    if not text:
        raise QueryError("there is no query: try SELECT * FROM v_runs")
    if params and not _PLACEHOLDER.search(text):
        raise QueryError("params are given but the query has no {name:Type}, as in WHERE project = {project:String}")
    settings: dict[str, Any] = {} if reader.is_readonly else dict(LIMITS)
    if limit is not None:
        settings["limit"] = limit
    try:
        return reader.arrow(text, params, settings)
    except QueryError as error:
        raise QueryError(_explain(error)) from error.__cause__
    except pa.ArrowException as error:
        raise QueryError("leave FORMAT out: the answer comes as Arrow, and .to_pandas() or --csv from there") from error


def _explain(error: QueryError) -> str:
    cause = error.__cause__
    code = getattr(cause, "code", None) if isinstance(cause, ClickHouseError) else None
    said = one_line(cause) if cause is not None else str(error)
    said = _NOISE.sub("", said).rstrip(" .:")
    if len(said) > MESSAGE_CHARS_MAX:
        said = f"{said[: MESSAGE_CHARS_MAX - 1]}…"
    if code in _READONLY:
        return f"only reading is allowed here: {said}"
    hint = _HINTS.get(code or 0, "")
    return f"{said} ({hint})" if hint else said
