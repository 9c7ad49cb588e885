"""Who may see the pages, where that is configured: login by OpenID Connect, which Streamlit does (`st.login`).

The file that RUNTIDE_DASHBOARD_LOGIN names has the section [auth] of Streamlit's secrets. Without it there are no
accounts; with it nothing is shown, asked of the database or said of it to whoever is not logged in.
"""

from __future__ import annotations

import os
from functools import cache
from pathlib import Path
from typing import Any

import streamlit as st

from runtide_dashboard.launch import LOGIN
from runtide_dashboard.names import plain


def required() -> None:
    """Before anything else of a page: go no further without a login, if one is configured."""
    if not os.environ.get(LOGIN):
        return
    if not _is_configured():
        st.error(f"{LOGIN} names no file with a section [auth], so nobody can log in.", icon=":material/lock:")
        st.stop()
    _way_back()(data={"logged_in": bool(st.user.is_logged_in)}, key="way_back")
    if not st.user.is_logged_in:
        st.subheader("Runtide", anchor=False)
        st.button("Log in", type="primary", icon=":material/login:", on_click=st.login)
        st.stop()


@cache
def _way_back() -> Any:  # streamlit's ComponentRenderer; made once per process, at its first use
    script = Path(__file__).parent / "frontend" / "way_back.js"
    return st.components.v2.component("runtide.way_back", js=script.read_text("utf-8"))


def _is_configured() -> bool:
    try:
        return "auth" in st.secrets
    except FileNotFoundError:
        return False


def who() -> str | None:
    """The name of whoever is logged in; None where nobody has to be."""
    if not os.environ.get(LOGIN) or not st.user.is_logged_in:
        return None
    return str(st.user.get("email") or st.user.get("name") or st.user.get("sub") or "") or None


def show() -> None:
    """Who is logged in, and the way out; nothing where nobody has to be."""
    name = who()
    if name is not None:
        with st.popover(plain(name), icon=":material/account_circle:", key="account"):
            st.button("Log out", icon=":material/logout:", on_click=st.logout)
