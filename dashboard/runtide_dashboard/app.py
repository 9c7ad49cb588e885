"""The entry script: which pages there are. `python -m runtide_dashboard` serves it."""

from __future__ import annotations

from pathlib import Path

import streamlit as st

from runtide_dashboard import header, login

HERE = Path(__file__).parent
ICON = str(HERE / "pictures" / "icon.png")

# The picture comes first: a page's own icon would be fetched from outside.
st.set_page_config(page_icon=ICON, layout="wide")
page = st.navigation(
    [
        st.Page("views/live.py", title="Live", icon=":material/sensors:"),
        st.Page("views/runs.py", title="Runs", icon=":material/list:", default=True),
        st.Page("views/compare.py", title="Compare", icon=":material/show_chart:"),
        st.Page("views/run.py", title="Run", icon=":material/science:"),
        st.Page("views/alerts.py", title="Alerts", icon=":material/notifications:"),
        st.Page("views/trends.py", title="Trends", icon=":material/timeline:"),
        st.Page("views/sql.py", title="SQL", icon=":material/database:"),
        st.Page("views/pipeline.py", title="Pipeline", icon=":material/monitor_heart:"),
    ],
    position="top",
)
st.set_page_config(page_title=f"{page.title} · Runtide")
st.logo(ICON, size="large")
st.html(HERE / "frontend" / "page.css")
login.required()
header.show(choose_project=page.title != "Pipeline")  # the pipeline is of all projects
page.run()
