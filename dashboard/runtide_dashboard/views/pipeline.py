"""Pipeline: is what brings the numbers here itself well?"""

from __future__ import annotations

import streamlit as st

from runtide_dashboard import data, formats, states
from runtide_storage.errors import StorageError

REFRESH_S = 5
DEAD_LETTERS_SHOWN = 100


@st.fragment(run_every=REFRESH_S)
def page() -> None:
    try:
        health = data.pipeline()
        letters = data.dead_letters(DEAD_LETTERS_SHOWN)
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


page()
