"""What a page shows is in its address, so that reload, back and sharing work: the address is the truth, widgets follow.

Streamlit's own `bind="query-params"` would write labels instead of values, and silently drop what it does not know; a
run that was deleted must be named instead.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterable, Sequence
from typing import Any

import streamlit as st

Window = tuple[float, float]

_PART = r"(?!\.{1,2}(?:/|$))[A-Za-z0-9._-]{1,128}"  # of the event contract
_REF = re.compile(f"{_PART}/{_PART}")


# The parameters of each page, no two pages the same; `project` is of all.
PAGES = {
    "runs": ("q", "state", "sort", "columns", "page"),
    "compare": (
        "runs",
        "metrics",
        "x",
        "x_metric",
        "log",
        "smooth",
        "band",
        "zoom",
        "base",
        "patch",
        "among",
        "target",
    ),
    "alerts": ("alert", "alert_state", "severity", "alert_zoom"),
    "run": ("run", "section", "kinds", "run_zoom"),
    "trends": ("family", "by"),
    "live": ("live_metric",),
    "sql": ("sql", "sql_metric", "chart", "chart_x", "chart_y"),
}


def enter(page: str) -> None:
    """At the top of a page: bring back what the reader had here before, unless the address says something itself.

    The navigation bar leads to an address without any parameters; going back may leave those of the other page.
    """
    memory = st.session_state.setdefault("_addresses", {})
    st.session_state._page = page
    for name in [name for other, names in PAGES.items() if other != page for name in names]:
        if name in st.query_params:
            del st.query_params[name]
    names = PAGES[page]
    if any(name in st.query_params for name in names):
        memory[page] = {name: st.query_params.get_all(name) for name in names if name in st.query_params}
    elif memory.get(page):
        st.query_params.update(memory[page])


def put(name: str, value: str | Sequence[str] | None) -> None:
    """Write a parameter; None takes it out, an empty list stays visible as "nothing was chosen"."""
    values = None if value is None else [value] if isinstance(value, str) else list(value) or [""]
    memory = st.session_state.get("_addresses", {}).setdefault(st.session_state.get("_page", ""), {})
    if values is None:
        memory.pop(name, None)
        if name in st.query_params:
            del st.query_params[name]
    else:
        memory[name] = values
        st.query_params[name] = values


def widget(name: str, value: Any) -> str:
    """The key for a widget that shows parameter `name`, after making it show `value`."""
    key = f"_{name}"
    if st.session_state.get(key) != value:  # an equal value is not set again: it would overwrite what is being typed
        st.session_state[key] = value
    return key


def taken(name: str, *, default: Any = None, drop: Collection[str] = ()) -> Callable[[], None]:
    """For `on_change` of the widget of parameter `name`: writes its value, or removes it when it is `default`.

    `drop` names parameters that lose their meaning by the change.
    """

    def take() -> None:
        value = st.session_state[f"_{name}"]
        put(name, None if value == default else value if isinstance(value, list) else str(value))
        for other in drop:
            put(other, None)

    return take


def text(name: str) -> str:
    return st.query_params.get(name, "")


def one_of(name: str, allowed: Collection[str], default: str) -> str:
    """The parameter's value if it is allowed, else `default`."""
    value = text(name)
    return value if value in allowed else default


def some_of(name: str, allowed: Collection[str] | None = None) -> list[str]:
    """The parameter's values, each once, in order; only those allowed, if that is given."""
    values = dict.fromkeys(value for value in st.query_params.get_all(name) if value)
    return [value for value in values if allowed is None or value in allowed]


def whole(name: str, lo: int, hi: int, default: int) -> int:
    """The parameter as a whole number within lo ... hi."""
    value = text(name)
    return max(lo, min(hi, int(value))) if re.fullmatch(r"-?\d{1,9}", value) else default


def says(name: str) -> bool:
    """Whether the address has this parameter, be it empty."""
    return name in st.query_params


def refs(project: str | None = None) -> list[str]:
    """The runs of the address as "project/run_id", in order, each once. A bare id is one of `project`."""
    return parse_refs(st.query_params.get_all("runs"), project)


def parse_refs(values: Iterable[str], project: str | None = None) -> list[str]:
    """As `refs`, from the parameter's values: each holds one run or several, separated by commas."""
    words = [word.strip() for value in values for word in value.split(",")]
    whole_refs = [word if "/" in word or project is None else f"{project}/{word}" for word in words if word]
    return [ref for ref in dict.fromkeys(whole_refs) if _REF.fullmatch(ref)]


def joined(chosen: Sequence[str], project: str | None) -> str:
    """The runs as one value; those of `project` by their bare id."""
    own = f"{project}/"
    return ",".join(ref.removeprefix(own) for ref in chosen)


def zoom() -> Window | None:
    """The zoom window in units of the x axis, None if there is none or it makes no sense."""
    return parse_window(text("zoom"))


def parse_window(value: str) -> Window | None:
    """ "lo:hi" with lo < hi."""
    lo, _, hi = value.partition(":")
    try:
        window = float(lo), float(hi)
    except ValueError:
        return None
    return window if -1e300 < window[0] < window[1] < 1e300 else None


def window_text(window: Window | None) -> str | None:
    """The window as `parse_window` reads it."""
    return None if window is None else ":".join(f"{edge:.15g}" for edge in window)
