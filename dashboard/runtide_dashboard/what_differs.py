"""The part of Compare that says how runs differ besides their curves: settings, code, data, surroundings."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from typing import Any

import streamlit as st

from runtide_dashboard import comparison, names, results, url
from runtide_dashboard.records import Run
from runtide_storage import differences

# Title, its parts, and what is said when nothing differs; one of several parts is named before what it holds.
GROUPS = (
    ("Settings that differ", {"config": ""}, "All runs have the same settings."),
    ("Code that differs", {"code": ""}, ""),
    ("Data that differs", {"dataset": "", "input": "artifact "}, ""),
    ("Surroundings that differ", {"environment": "", "hardware": "", "packages": "package "}, ""),
)
DIFF = "diff"  # of part "code": the uncommitted changes
CONTENT_LINES = 24  # a longer patch scrolls inside itself
PATCH_PX = 480
PATCH_LINES_MAX = 2_000

Recorded = Mapping[str, Mapping[str, Mapping[str, Any]]]  # run -> part -> name -> value


def show(runs: Sequence[Run], full: Sequence[str], recorded: Recorded, base: str) -> None:
    """`full`: a distinct name of each run; `base`: the run whose code the others' is held against."""
    short = names.shorten(full)
    for title, parts, nothing in GROUPS:
        rows = comparison.difference_rows(runs, {run.ref: _named(recorded.get(run.ref, {}), parts) for run in runs})
        if rows or nothing:
            st.subheader(title, anchor=False)
        if rows:
            results.show_differences(rows, runs, short, key=f"differs_{'_'.join(parts)}")
        elif nothing:
            st.caption(nothing)
        if "code" in parts:
            _code(dict(zip((run.ref for run in runs), full, strict=True)), recorded, base)


def _named(of_run: Mapping[str, Mapping[str, Any]], parts: Mapping[str, str]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for part, prefix in parts.items():
        for name, value in of_run.get(part, {}).items():
            if (part, name) == ("code", DIFF):
                files = ", ".join(differences.changed_files(str(value))) or "some"
                found["uncommitted changes"] = f"{files} ({hashlib.sha256(str(value).encode()).hexdigest()[:7]})"
            else:
                found[prefix + name] = value
    return found


def _code(full: Mapping[str, str], recorded: Recorded, base: str) -> None:
    """The uncommitted changes of one run against those of the base, and how to see what was committed between."""
    code = {ref: recorded.get(ref, {}).get("code", {}) for ref in full}
    there = code[base]
    others = [ref for ref in full if ref != base and _version(code[ref]) != _version(there)]
    if not others:
        return
    chosen = others[0]
    if len(others) > 1:
        chosen = st.selectbox(
            f"Code of a run against {full[base]}", others, key=url.widget("patch", url.one_of("patch", others, chosen)),
            on_change=url.taken("patch", default=chosen), format_func=full.__getitem__, width=420,
        )  # fmt: skip
    here = code[chosen]
    commits = [str(each.get("commit") or "") for each in (there, here)]
    if all(commits) and commits[0] != commits[1]:
        st.code(f"git diff {commits[0]} {commits[1]}", language="bash")
    lines = differences.compare_diffs(str(there.get(DIFF) or ""), str(here.get(DIFF) or ""))
    if not lines:
        return
    st.caption("What was not committed, the base's against this run's")
    if len(lines) > PATCH_LINES_MAX:
        lines = [*lines[:PATCH_LINES_MAX], f"… and {len(lines) - PATCH_LINES_MAX:,} more lines: runtide diff has them"]
    st.code("\n".join(lines), language="diff", height="content" if len(lines) <= CONTENT_LINES else PATCH_PX)


def _version(code: Mapping[str, Any]) -> tuple[Any, Any]:
    return code.get("commit"), code.get(DIFF)
