"""The entry script: which pages there are. `python -m runtide_dashboard` serves it."""

from __future__ import annotations

from pathlib import Path

import streamlit as st

from runtide_dashboard import header

PICTURES = Path(__file__).with_name("pictures")

# The picture comes first: a page's own icon would be fetched from outside.
st.set_page_config(page_icon=str(PICTURES / "icon.png"), layout="wide")
page = st.navigation(
    [
        st.Page("views/runs.py", title="Runs", icon=":material/list:", default=True),
        st.Page("views/compare.py", title="Compare", icon=":material/show_chart:"),
        st.Page("views/pipeline.py", title="Pipeline", icon=":material/monitor_heart:"),
    ],
    position="top",
)
st.set_page_config(page_title=f"{page.title} · Runtide")
st.logo(str(PICTURES / "icon.png"), size="large")
header.show(choose_project=page.title != "Pipeline")  # the pipeline is of all projects
page.run()
