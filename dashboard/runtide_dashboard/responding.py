"""What people do about an alert on its page: acknowledge it, reopen it, mute its like.

The pages' own user only reads. These few words go in as another, who may write them and nothing else; where that user
is not configured, the page names the command.
"""

from __future__ import annotations

import glob
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any

import streamlit as st

from runtide_dashboard import alerts, data, formats, login
from runtide_dashboard.names import plain
from runtide_dashboard.records import Alert
from runtide_storage import alerts as storage
from runtide_storage.connect import connect
from runtide_storage.errors import StorageError
from runtide_storage.settings import responder_url
from runtide_storage.writer import Writer

REASON_CHARS_MAX = 500
NAME_CHARS_MAX = 100
MUTES_MAX = 20  # listed
HOUR_S = 3600.0
SPANS = {"1 hour": HOUR_S, "1 day": 24 * HOUR_S, "1 week": 7 * 24 * HOUR_S, "until lifted": None}


@st.cache_resource
def _table(url: str) -> storage.Table:
    return Writer(connect(url))


def show(alert: Alert, group: str) -> None:
    """Under the explanation of an alert of a run of `group`."""
    url = responder_url()
    if url is None:
        if alert.state == "open":
            st.caption("It is known, or meant? Acknowledge it in a shell:")
            st.code(f"runtide ack {alert.id[: alerts.ID_CHARS]}", language="bash")
        return
    with st.container(horizontal=True, vertical_alignment="bottom"):
        if alert.state in ("open", "acknowledged"):
            _acknowledge(url, alert)
        with st.popover("Mute", icon=":material/notifications_off:", key="mute"):
            _mute(url, alert, group)


def _acknowledge(url: str, alert: Alert) -> None:
    is_open = alert.state == "open"
    label = "Acknowledge" if is_open else "Reopen"
    icon = ":material/done:" if is_open else ":material/undo:"
    with st.popover(label, icon=icon, key="respond"), st.form(f"respond_{alert.id}", border=False):
        who = _who("respond_who")
        reason = st.text_input("Reason", max_chars=REASON_CHARS_MAX, key=f"respond_reason_{alert.id}_{alert.state}")
        wanted = st.form_submit_button(label, type="primary")
    if wanted:
        action: storage.Action = "acknowledge" if is_open else "reopen"
        _do(
            lambda: storage.say(_table(url), [alert.id], action, who, reason.strip()), who,
            f"{'Acknowledged' if is_open else 'Reopened'}.",
        )  # fmt: skip


def _mute(url: str, alert: Alert, group: str) -> None:
    offered = {
        f"{alert.metric or alert.kind} in group {group or '(none)'}": (group, alert.metric, alert.kind),
        f"{alert.metric or alert.kind} in the whole project": ("", alert.metric, alert.kind),
        f"every {alert.kind} of the project": ("", "", alert.kind),
    }
    if not group:
        offered.pop(next(iter(offered)))
    with st.form(f"mute_{alert.id}", border=False):
        what = st.radio("Tell nobody of", list(offered), format_func=plain, key="mute_what")
        span = st.radio("For", list(SPANS), horizontal=True, key="mute_span")
        who = _who("mute_who")
        reason = st.text_input("Reason", max_chars=REASON_CHARS_MAX, key=f"mute_reason_{alert.id}")
        wanted = st.form_submit_button("Mute", type="primary")
    st.caption("Alerts are still found and listed. At the top of the page it can be lifted again.")
    if wanted:
        of_group, metric, kind = offered[what]
        _do(
            lambda: storage.mute(
                _table(url), project=alert.project, group=glob.escape(of_group), metric=glob.escape(metric),
                kind=kind, for_s=SPANS[span],
                who=who, reason=reason.strip(),
            ),
            who, f"Muted {'until lifted' if SPANS[span] is None else f'for {span}'}.",
        )  # fmt: skip


def muted(project: str) -> None:
    """What nobody is told of now, and the way to end it; nothing where nothing is muted."""
    try:
        found = data.mutes(project)
    except StorageError:
        return  # the feed says it
    if not found:
        return
    url = responder_url()
    with st.popover(f"Muted ({len(found):,})", icon=":material/notifications_off:", key="muted"):
        who = "" if url is None else _who("lift_who")
        for row in found[:MUTES_MAX]:
            st.markdown(f"**{plain(_named(row))}**")
            st.caption(plain(_said(row)))
            if url is None:
                st.code(f"runtide alerts unmute {row['id']}", language="bash")
            elif st.button("Lift", key=f"lift_{row['id']}"):
                _lift(url, row, who)
        if len(found) > MUTES_MAX:
            st.caption("Only the newest are listed here. All of them: `runtide alerts mutes`")


def _lift(url: str, row: Mapping[str, Any], who: str) -> None:
    _do(lambda: storage.lift(_table(url), [row], who), who, "Lifted.")


def _named(row: Mapping[str, Any]) -> str:
    """Which alerts a mute is about; its names may be patterns."""
    what = " ".join(part for part in (row["metric"], row["kind"]) if part) or "every alert"
    where = f"group {row['group']}" if row["group"] else "every group" if row["project"] else "every project"
    return f"{what} in {where}"


def _said(row: Mapping[str, Any]) -> str:
    until = row["until"]
    left = "until lifted" if until is None else f"for {formats.duration((until - datetime.now(UTC)).total_seconds())}"
    return " · ".join(part for part in (left, f"by {row['who']}", row["reason"]) if part)


def _who(key: str) -> str:
    """Who says it: whoever is logged in, else whom the reader says to be, remembered for the session."""
    known = login.who()
    if known is not None:
        return known
    # A widget that was drawn before keeps its value, whatever its default is now. Nothing is set where there is nothing
    # to set: even an empty value would wipe out what is being typed whenever the page refreshes itself.
    remembered = st.session_state.get("_who")
    if remembered and not st.session_state.get(key):
        st.session_state[key] = remembered
    said: str = st.text_input("Your name", max_chars=NAME_CHARS_MAX, key=key).strip()
    return said


def _do(act: Callable[[], object], who: str, done: str) -> None:
    if not who:
        st.error("Say who you are: others will read it beside the alert.", icon=":material/person:")
        return
    st.session_state._who = who
    try:
        act()
    except StorageError as error:
        st.error(f"It was not written: {plain(str(error))}", icon=":material/error:")
        return
    for question in (data.alerts, data.alert, data.alerts_of, data.mutes):
        question.clear()
    st.toast(done, icon=":material/check:")
    st.rerun()
