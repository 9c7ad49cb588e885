"""The part of a run's page about data and artifacts: what it used and made, who made that and who else used it."""

from __future__ import annotations

from collections.abc import Sequence

import streamlit as st

from runtide_dashboard import data, formats, url
from runtide_dashboard.names import plain
from runtide_dashboard.records import Run
from runtide_storage.lineage import Item

LINKS_MAX = 6  # runs named one by one
PLACE_CHARS_MAX = 120
DIGEST_CHARS = 20


def show(run: Run) -> None:
    items = data.lineage(run.ref)
    if not items:
        st.info(
            "It said nothing of data or artifacts. Let it: `run.use_dataset(NAME, PATH)`, "
            "`run.log_artifact(PATH, NAME)`, `run.use_artifact(NAME)`",
            icon=":material/database:",
        )
        return
    for title, roles in (("Used", ("dataset", "input")), ("Made", ("output",))):
        some = [item for item in items if item.role in roles]
        if not some:
            continue
        st.subheader(title, anchor=False)
        for item in some:
            with st.container(border=True, gap="small"):
                _item(run, item)


def _item(run: Run, item: Item) -> None:
    st.markdown(f"**{plain(item.name)}**" + (f" {plain(item.version)}" if item.version else ""))
    st.caption(" · ".join(_facts(item)))
    if item.made_by:
        with st.container(horizontal=True, vertical_alignment="center"):
            st.caption("Made by", width="content")
            _link(item.made_by)
    if item.used_by:
        with st.container(horizontal=True, vertical_alignment="center"):
            st.caption("Used by" if item.role == "output" else "Also used by", width="content")
            for ref in item.used_by[:LINKS_MAX]:
                _link(ref)
            _compare(run, item.used_by)


def _facts(item: Item) -> list[str]:
    words = ["dataset" if item.role == "dataset" else plain(item.type or "artifact")]
    words += [f"also called {plain(', '.join(item.aliases))}"] if item.aliases else []
    words += [formats.size(item.size)] if item.size is not None else []
    words += [formats.count(item.files, "file")] if item.files is not None and item.files > 1 else []
    words += [plain(item.digest[:DIGEST_CHARS])] if item.digest else []
    words += [plain(item.place[-PLACE_CHARS_MAX:])] if item.place else []
    return [*words, formats.ago(item.at)]


def _link(ref: str) -> None:
    project, _, run_id = ref.partition("/")
    st.page_link(
        "views/run.py", label=plain(run_id), icon=":material/science:",
        query_params={"project": project, "run": run_id, "section": "data"},
    )  # fmt: skip


def _compare(run: Run, others: Sequence[str]) -> None:
    some = [run.ref, *others][: data.RUNS_MAX]
    words = (
        f"Compare all {len(some)}" if len(some) == len(others) + 1 else f"Compare {len(some)} of {len(others) + 1:,}"
    )
    st.page_link(
        "views/compare.py", label=words, icon=":material/show_chart:",
        query_params={"project": run.project, "runs": url.joined(some, run.project)},
    )  # fmt: skip
