"""What a page says when it has nothing to show: always what to do next, never a trace."""

from __future__ import annotations

import time
from datetime import UTC, datetime

import streamlit as st

from runtide_dashboard import data, formats
from runtide_dashboard.names import plain
from runtide_storage.errors import StorageError, Unreachable

RETRY_S = 3


def no_runs() -> None:
    """A store without a single run."""
    st.subheader("No runs yet")
    st.markdown("Log one from any Python program on this machine. It appears here within a second or two:")
    st.code(
        'import runtide\n\nwith runtide.init(project="first") as run:\n'
        '    for step in range(1000):\n        run.log({"loss": 1 / (1 + step)})\n',
        language="python",
    )
    st.markdown("Or see eight real models train side by side:")
    st.code("runtide demo", language="bash")


def storage_failed(error: StorageError, *, last_good: datetime | None = None) -> None:
    """A banner in place of what could not be read. Where waiting may help, it looks again by itself."""
    retry = isinstance(error, Unreachable)
    age = (
        f" What you see is {formats.duration((datetime.now(UTC) - last_good).total_seconds())} old."
        if last_good
        else ""
    )
    again = f" Trying again every {RETRY_S} s." if retry else ""
    st.warning(
        f"**The database doesn't answer.**{age}{again}" if retry else "**This can't be read.**",
        icon=":material/cloud_off:",
    )
    st.caption(plain(str(error)))
    if retry:
        _look_again(time.monotonic())


@st.fragment(run_every=RETRY_S)
def _look_again(drawn_at_s: float) -> None:
    # Not with the banner itself: storage may answer this and still fail at what the page asks.
    if time.monotonic() - drawn_at_s > RETRY_S / 2 and data.answers():
        st.rerun()
