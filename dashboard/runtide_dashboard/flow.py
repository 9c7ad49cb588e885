"""What the Pipeline page asks: how points flow, who carries them, what was refused. Cached across all readers."""

from __future__ import annotations

from typing import Any

import streamlit as st

from runtide_dashboard.asking import ask, connection
from runtide_dashboard.data import utc

BIN_S = 30  # of the last hour
VALUE_SHOWN_MAX = 300  # characters of a dead letter
HOSTS_MAX = 500
PARTITIONS_MAX = 1_000

# A worker's counters begin at 0 when it starts again; the newest bin is left out, for it is not full yet.
_PIPELINE_HOUR = """
    SELECT toDateTime64(bin, 3) AS at, sum(gained) / {bin_s:UInt32} AS points_per_s, sum(waiting) AS lag,
        max(late_ms) / 1000 AS behind_s
    FROM (
        SELECT worker, bin, sum(more) AS gained, argMax(lag, at) AS waiting, max(late) AS late_ms
        FROM (
            SELECT worker, at, lag, toStartOfInterval(at, toIntervalSecond({bin_s:UInt32})) AS bin,
                dateDiff('millisecond', fresh_to, at) AS late,
                greatest(0, toInt64(points) - lagInFrame(toInt64(points), 1, toInt64(points)) OVER (
                    PARTITION BY worker ORDER BY at ROWS BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW)) AS more
            FROM v_workers WHERE at > now64(3) - toIntervalHour(1)
        )
        GROUP BY worker, bin
    )
    WHERE bin < toStartOfInterval(now(), toIntervalSecond({bin_s:UInt32}))
    GROUP BY bin ORDER BY bin
"""
_WORKERS = """
    SELECT worker, max(beat.at) AS seen_at,
        argMax(dateDiff('millisecond', fresh_to, beat.at), beat.at) / 1000 AS behind_s,
        argMax(lag, beat.at) AS waiting, argMax(points, beat.at) AS stored, argMax(duplicates, beat.at) AS repeated,
        argMax(dead, beat.at) AS refused
    FROM v_workers AS beat WHERE beat.at > now64(3) - toIntervalHour(1) GROUP BY worker ORDER BY worker
"""

_PARTITIONS = "SELECT partition, worker, lag, seen_at FROM v_partitions ORDER BY partition LIMIT {limit:UInt32}"
_SHIPPERS = """
    SELECT host, directory, backlog_bytes, lag_s, journals, resent_lines, failures, at AS seen_at FROM v_shippers
    WHERE at > now64(3) - toIntervalDay(1) ORDER BY backlog_bytes DESC, lag_s DESC, host, directory LIMIT {limit:UInt32}
"""

# How old the newest point was when it was stored: what the host's shipper, and all that comes after it, hold back.
_HOSTS = """
    SELECT w.host AS host, uniqExact(w.run) AS runs, count() AS processes, max(p.seen_at) AS seen_at,
        greatest(0, max(p.late_ms)) / 1000 AS late_s
    FROM writers AS w FINAL
    INNER JOIN (
        SELECT run, writer, max(stored_at) AS seen_at,
            argMax(if(point_at > 0, dateDiff('millisecond', point_at, stored_at), 0), stored_at) AS late_ms
        FROM ingest_progress WHERE stored_at > now64(3) - toIntervalHour(1) GROUP BY run, writer
    ) AS p ON w.run = p.run AND w.writer = p.writer
    GROUP BY host ORDER BY late_s DESC, host LIMIT {limit:UInt32}
"""


@st.cache_data(ttl=5.0, show_spinner=False, max_entries=2)
def pipeline_hour() -> list[dict[str, Any]]:
    """The last hour in bins of BIN_S: at, points_per_s, lag (messages), behind_s."""
    return [row | {"at": utc(row["at"])} for row in ask(_PIPELINE_HOUR, bin_s=BIN_S)]


@st.cache_data(ttl=2.0, show_spinner=False, max_entries=2)
def workers() -> list[dict[str, Any]]:
    """The last word of each worker that was heard of in the last hour; its counters are since it started."""
    return _seen(_WORKERS)


@st.cache_data(ttl=2.0, show_spinner=False, max_entries=4)
def dead_letters(limit: int) -> list[dict[str, Any]]:
    """The newest dead letters: at, reason, detail, source, value."""
    with connection().client() as client:
        rows = client.dead_letters(limit).to_pylist()
    return [
        {
            "at": row["at"],
            "reason": row["reason"],
            "detail": row["detail"],
            "source": f"{row['topic']} · {row['partition']} · {row['offset']}",
            "value": str(row["value"])[:VALUE_SHOWN_MAX],
        }
        for row in rows
    ]


@st.cache_data(ttl=5.0, show_spinner=False, max_entries=2)
def partitions() -> list[dict[str, Any]]:
    """The partitions that workers held in the last minutes: partition, worker, lag (messages), seen_at."""
    return _seen(_PARTITIONS, limit=PARTITIONS_MAX)


@st.cache_data(ttl=5.0, show_spinner=False, max_entries=2)
def shippers() -> list[dict[str, Any]]:
    """The shippers heard of today, those with the largest backlog first."""
    return _seen(_SHIPPERS, limit=HOSTS_MAX)


@st.cache_data(ttl=5.0, show_spinner=False, max_entries=2)
def hosts() -> list[dict[str, Any]]:
    """The hosts heard of in the last hour, the latest first: host, runs, processes, seen_at, late_s."""
    return _seen(_HOSTS, limit=HOSTS_MAX)


def _seen(sql: str, **params: Any) -> list[dict[str, Any]]:
    """Rows that say when something was last heard of."""
    return [row | {"seen_at": utc(row["seen_at"])} for row in ask(sql, **params)]
