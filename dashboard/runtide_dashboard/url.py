"""What a page shows is in its address, so that reload, back and sharing work.

Simple widgets bind themselves (`bind="query-params"`). Here is the rest: lists whose members may be unknown (a run that was
deleted must be named, not silently dropped) and the zoom window, which no widget holds.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

import streamlit as st

Window = tuple[float, float]

_REF = re.compile(r"[A-Za-z0-9._-]{1,128}/[A-Za-z0-9._-]{1,128}")


def refs(project: str | None = None) -> list[str]:
    """The runs of the address as "project/run_id", in order, each once. A bare id is one of `project`."""
    return parse_refs(st.query_params.get_all("runs"), project)


def parse_refs(values: Iterable[str], project: str | None = None) -> list[str]:
    """As `refs`, from the parameter's values: each holds one run or several, separated by commas."""
    words = [word.strip() for value in values for word in value.split(",")]
    whole = [word if "/" in word or project is None else f"{project}/{word}" for word in words if word]
    return [ref for ref in dict.fromkeys(whole) if _REF.fullmatch(ref)]


def set_refs(chosen: Sequence[str]) -> None:
    """Write the runs into the address."""
    _set("runs", [",".join(chosen)] if chosen else [])


def metrics() -> list[str]:
    """The metrics of the address; one parameter each, as their names may hold anything."""
    return list(dict.fromkeys(value for value in st.query_params.get_all("metrics") if value))


def set_metrics(chosen: Sequence[str]) -> None:
    """Write the metrics into the address."""
    _set("metrics", list(chosen))


def zoom() -> Window | None:
    """The zoom window in units of the x axis, None if there is none or it makes no sense."""
    return parse_window(st.query_params.get("zoom", ""))


def parse_window(text: str) -> Window | None:
    """"lo:hi" with lo < hi."""
    lo, _, hi = text.partition(":")
    try:
        window = float(lo), float(hi)
    except ValueError:
        return None
    return window if -1e300 < window[0] < window[1] < 1e300 else None


def set_zoom(window: Window | None) -> None:
    """Write the window into the address, or take it out."""
    _set("zoom", [] if window is None else [":".join(f"{edge:.12g}" for edge in window)])


def _set(name: str, values: list[str]) -> None:
    if values:
        st.query_params[name] = values
    elif name in st.query_params:
        del st.query_params[name]
