"""The line above every page: which project, and how fresh the numbers are."""

from __future__ import annotations

import contextlib

import streamlit as st

from runtide_dashboard import data, formats, login, names, url
from runtide_dashboard.asking import together
from runtide_dashboard.records import Health
from runtide_storage.errors import StorageError

REFRESH_S = 5
FRESH_S = 10  # an idle worker says only now and then that nothing is missing
LATE_S = 30  # from here on the freshness is shown as a warning


def show(*, choose_project: bool = True) -> None:
    """Draw it. The chosen project is `project()` from then on."""
    with contextlib.suppress(StorageError):  # whoever needs an answer says what was wrong
        together(data.projects, data.pipeline)  # both are kept for a moment
    left, right = st.columns([3, 1], vertical_alignment="center")
    with left:
        if choose_project:
            _choose_project()
    with right, st.container(horizontal=True, horizontal_alignment="right", vertical_alignment="center"):
        login.show()
        _freshness()


def project() -> str | None:
    """The chosen project; None while there is none. Raises the StorageError that kept `show` from finding out."""
    failed = st.session_state.get("_projects_failed")
    if failed is not None:
        raise failed
    chosen = st.session_state.get("_chosen_project")
    return chosen if isinstance(chosen, str) else None


def _choose_project() -> None:
    st.session_state._projects_failed = None
    before = project()
    try:
        projects = data.projects()
    except StorageError as error:
        st.session_state._projects_failed = error  # the page says what is wrong
        return
    known = {project.name: project.runs for project in projects}
    if not known:
        st.session_state._chosen_project = None
        return
    asked = url.text("project") or next((ref.split("/", 1)[0] for ref in url.refs()), "")
    chosen = asked if asked in known else before if before in known else next(iter(known))
    st.session_state._chosen_project = chosen
    if url.text("project") != chosen:
        st.query_params["project"] = chosen

    def take() -> None:
        st.session_state._chosen_project = st.session_state._project
        st.session_state.pop("_addresses", None)  # what was looked at is of the other project
        st.query_params.from_dict({"project": st.session_state._project})

    st.selectbox(
        "Project", list(known), key=url.widget("project", chosen), on_change=take, label_visibility="collapsed",
        width=300, icon=":material/folder_open:",
        format_func=lambda name: f"{name}  ·  {formats.count(known[name], 'run')}" if name in known else name,
    )  # fmt: skip
    if asked and asked not in known:
        st.caption(f"There is no project {names.plain(asked)}.")


@st.fragment(run_every=REFRESH_S)
def _freshness() -> None:
    try:
        words, icon, colour, help_ = _verdict(data.pipeline())
    except StorageError:
        words, icon, colour, help_ = "database not reachable", "cloud_off", "red", None
    with st.container(horizontal=True, horizontal_alignment="right"):
        st.badge(words, icon=f":material/{icon}:", color=colour, help=help_)  # type: ignore[arg-type]


def _verdict(health: Health) -> tuple[str, str, str, str | None]:
    """(words, icon, colour, hint) for how fresh the numbers are."""
    behind_s = health.behind_s
    if behind_s is None:
        return "no worker running", "pause_circle", "orange", "Nothing new arrives. Start the stack: `runtide up`"
    if behind_s > LATE_S:
        return f"{formats.duration(behind_s)} behind", "schedule", "orange", "Older than that is all here"
    words = "up to date" if behind_s < FRESH_S else f"{formats.duration(behind_s)} behind"
    return words, "check_circle", "green", "Everything logged up to a moment ago is here"
