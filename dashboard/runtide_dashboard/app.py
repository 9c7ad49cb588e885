"""The entry script: which pages there are. `python -m runtide_dashboard` serves it."""

from __future__ import annotations

from pathlib import Path

import streamlit as st

from runtide_dashboard import header

PICTURES = Path(__file__).with_name("pictures")

# Not a ":material/…:" icon: for those the browser would fetch a picture from outside.
st.set_page_config(page_title="Runtide", page_icon=str(PICTURES / "icon.png"), layout="wide")
st.logo(str(PICTURES / "icon.png"), size="large")

page = st.navigation(
    [
        st.Page("views/runs.py", title="Runs", icon=":material/list:", default=True),
        st.Page("views/compare.py", title="Compare", icon=":material/show_chart:"),
        st.Page("views/pipeline.py", title="Pipeline", icon=":material/monitor_heart:"),
    ],
    position="top",
)
header.show(choose_project=page.title != "Pipeline")  # the pipeline is of all projects
page.run()
