"""Pipeline: is what brings the numbers here itself well?"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import streamlit as st

from runtide_dashboard import data, flow, formats, states
from runtide_storage.errors import StorageError

REFRESH_S = 5
DEAD_LETTERS_SHOWN = 100
CHART_PX = 160
CONTENT_ROWS = 12  # a longer table scrolls inside itself


@st.fragment(run_every=REFRESH_S)
def page() -> None:
    try:
        health = data.pipeline()
        hour = flow.pipeline_hour()
        workers = flow.workers()
        partitions = flow.partitions()
        shippers = flow.shippers()
        hosts = flow.hosts()
        letters = flow.dead_letters(DEAD_LETTERS_SHOWN)
    except StorageError as error:
        states.storage_failed(error)
        return
    behind = "no worker" if health.behind_s is None else formats.duration(health.behind_s)
    with st.grid(5):
        st.metric("Behind", behind, border=True, help="How old the newest message is that may not be stored yet")
        st.metric("Workers", f"{health.workers:,}", border=True)
        st.metric("Points a second", formats.number(round(health.points_per_s or 0)), border=True, help="Last minute")
        st.metric(
            "Messages waiting", formats.number(health.lag or 0), border=True, help="In the broker, not stored yet"
        )
        st.metric("Dead letters", f"{health.dead_letters:,}", border=True, help="Messages that broke the contract")
    _last_hour(hour)
    _workers(workers)
    _partitions(partitions)
    _shippers(shippers)
    _hosts(hosts)
    if not letters:
        st.caption("No dead letters: every message so far kept the contract.")
        return
    st.subheader("Dead letters", anchor=False)
    if health.dead_letters > len(letters):
        st.caption(f"The newest {len(letters)} of {health.dead_letters:,}.")
    st.dataframe(
        letters, hide_index=True, key="dead_letters", alt="The newest dead letters with their reasons",
        column_config={
            "at": st.column_config.DatetimeColumn("When", format="distance", width=130),
            "reason": st.column_config.TextColumn("Reason", width=200),
            "detail": st.column_config.TextColumn("What was wrong", width=420),
            "source": st.column_config.TextColumn("Topic, partition, offset"),
            "value": st.column_config.TextColumn("Message"),
        },
    )  # fmt: skip


def _last_hour(hour: Sequence[Mapping[str, Any]]) -> None:
    if len(hour) < 2:
        return  # there is no line to draw yet
    st.subheader("The last hour", anchor=False)
    with st.grid(3):
        for name, title in (
            ("points_per_s", "Points a second"),
            ("lag", "Messages waiting"),
            ("behind_s", "Seconds behind"),
        ):
            with st.container():
                st.caption(title)
                st.area_chart(
                    {"at": [row["at"] for row in hour], title: [row[name] for row in hour]},
                    x="at", y=title, x_label="", y_label="", height=CHART_PX, alt=f"{title} over the last hour",
                )  # fmt: skip


def _table(title: str, rows: Sequence[Mapping[str, Any]], alt: str, columns: Mapping[str, Any], **look: Any) -> None:
    """A part of the page; nothing where there are no rows. Its widget's key is the title in small letters."""
    if not rows:
        return
    st.subheader(title, anchor=False)
    st.dataframe(
        list(rows), hide_index=True, key=title.lower(), alt=alt, column_config=dict(columns), **look
    )  # fmt: skip


def _workers(found: Sequence[Mapping[str, Any]]) -> None:
    column = st.column_config
    _table(
        "Workers", found, "Each worker of the last hour and what it last said",
        {
            "worker": column.TextColumn("Worker"),
            "seen_at": column.DatetimeColumn("Last heard of", format="distance"),
            "behind_s": column.NumberColumn("Seconds behind", format="%.1f"),
            "waiting": column.NumberColumn("Messages waiting", format="localized"),
            "stored": column.NumberColumn("Points stored", format="localized", help="Since it started"),
            "repeated": column.NumberColumn("Repeated", format="localized", help="Delivered again, stored once"),
            "refused": column.NumberColumn("Dead letters", format="localized", help="Since it started"),
        },
    )  # fmt: skip


def _partitions(found: Sequence[Mapping[str, Any]]) -> None:
    column = st.column_config
    _table(
        "Partitions", found, "What waits in each partition",
        {
            "partition": column.NumberColumn("Partition"),
            "worker": column.TextColumn("Worker"),
            "lag": column.NumberColumn("Messages waiting", format="localized"),
            "seen_at": column.DatetimeColumn("Seen", format="distance"),
        },
        height="content" if len(found) <= CONTENT_ROWS else "auto",
    )  # fmt: skip


def _shippers(found: Sequence[Mapping[str, Any]]) -> None:
    column = st.column_config
    _table(
        "Shippers", [dict(row) | {"backlog_bytes": row["backlog_bytes"] / 1000} for row in found],
        "Each shipper of the last day and what waits on its host",
        {
            "host": column.TextColumn("Host"),
            "directory": column.TextColumn("Journals in"),
            "backlog_bytes": column.NumberColumn(
                "Backlog, kB", format="localized", help="Of its journals, not handed to Kafka yet, when it last sent"
            ),
            "lag_s": column.NumberColumn("Oldest waits, s", format="%.1f"),
            "journals": column.NumberColumn("Journals", format="localized"),
            "resent_lines": column.NumberColumn("Lines sent again", format="localized", help="Since it started"),
            "failures": column.NumberColumn("Failures", format="localized", help="Of its link to Kafka"),
            "seen_at": column.DatetimeColumn(
                "Last report", format="distance", help="Goes along with what it sends; one that is cut off says nothing"
            ),
        },
    )  # fmt: skip


def _hosts(found: Sequence[Mapping[str, Any]]) -> None:
    column = st.column_config
    _table(
        "Hosts", found, "Each host whose points were stored in the last hour",
        {
            "host": column.TextColumn("Host"),
            "runs": column.NumberColumn("Runs", format="localized"),
            "processes": column.NumberColumn("Processes", format="localized"),
            "seen_at": column.DatetimeColumn("Last stored", format="distance"),
            "late_s": column.NumberColumn(
                "Seconds late", format="%.1f",
                help="How old its newest points were when they were stored: what its shipper held back. "
                "`runtide status` on the host says what it still holds.",
            ),
        },
    )  # fmt: skip


page()
