"""The line above every page: which project, and how fresh the numbers are."""

from __future__ import annotations

import streamlit as st
from runtide_storage.errors import StorageError

from runtide_dashboard import data, formats

REFRESH_S = 5
LATE_S = 30  # from here on the freshness is shown as a warning


def show() -> None:
    """Draw it. The chosen project is `project()` from then on."""
    with st.container(horizontal=True, vertical_alignment="center"):
        _choose_project()
        st.space("stretch")
        _freshness()


def project() -> str | None:
    """The chosen project; None while there is none."""
    chosen = st.session_state.get("project")
    return chosen if isinstance(chosen, str) else None


def _choose_project() -> None:
    try:
        projects = data.projects()
    except StorageError:
        return  # the page says what is wrong
    names = [project.name for project in projects]
    if not names:
        return
    counts = {project.name: formats.count(project.runs, "run") for project in projects}
    st.selectbox(
        "Project", names, key="project", bind="query-params", label_visibility="collapsed", width=280,
        format_func=lambda name: f"{name}  ·  {counts[name]}" if name in counts else name,
        icon=":material/folder_open:",
    )  # fmt: skip


@st.fragment(run_every=REFRESH_S)
def _freshness() -> None:
    try:
        health = data.pipeline()
    except StorageError:
        st.badge("database not reachable", icon=":material/cloud_off:", color="red")
        return
    behind_s = health.behind_s
    if behind_s is None:
        st.badge("no worker running", icon=":material/pause_circle:", color="orange", help="Start one: `runtide worker`, or the whole stack: `runtide up`")  # noqa: E501
    elif behind_s > LATE_S:
        st.badge(f"{formats.duration(behind_s)} behind", icon=":material/schedule:", color="orange")
    else:
        st.badge("up to date" if behind_s < 5 else f"{formats.duration(behind_s)} behind", icon=":material/check_circle:", color="green")  # noqa: E501
