"""Curves of many runs over many metrics: one canvas component, one payload of bytes.

The payload, little-endian: 4 bytes header length, a JSON header, padding to 8 bytes, then the arrays. x arrays are
float64 (steps are exact to 2^53), values float32. Equal x arrays travel once: metrics of a run are mostly logged at the
same steps. The browser keeps hover, pinned and hidden runs; Python keeps the window, which is in the URL.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any, Literal

import numpy as np
import streamlit as st
from numpy.typing import NDArray

Floats = NDArray[np.float64]
XKind = Literal["step", "time", "relative", "metric"]
Mark = Literal[-1, 0, 1]  # -Inf, NaN, +Inf

MARKS_MAX = 200  # per series; beyond that they are a carpet
_FRONTEND = Path(__file__).with_name("frontend")
_MODULES = tuple(
    f"{name}.js" for name in ("payload", "scale", "places", "theme", "baseline", "paint", "legend", "pointer", "view")
)


@dataclass(frozen=True, slots=True)
class RunLabel:
    """A run as the legend shows it. `style` 0-23: palette colour `style % 8`, dash `style // 8`."""

    ref: str
    id: str
    name: str
    short: str
    style: int
    state: str


@dataclass(frozen=True, slots=True)
class Series:
    """One run in one panel: all arrays (n,), x ascending and finite. A value that is not finite breaks the line.

    `lo` and `hi` are the band (both or neither); `smooth`, if given, is drawn strongly and `mean` faintly under it.
    `marks` says where values that are no numbers lie, `left` where it left its baseline.
    """

    run: int
    x: Floats
    mean: Floats
    lo: Floats | None = None
    hi: Floats | None = None
    smooth: Floats | None = None
    marks: Sequence[tuple[float, Mark]] = ()
    left: float | None = None


@dataclass(frozen=True, slots=True)
class Band:
    """What lies under the curves: all arrays (n,), x ascending."""

    x: Floats
    lo: Floats
    mean: Floats
    hi: Floats


@dataclass(frozen=True, slots=True)
class Panel:
    title: str
    series: Sequence[Series]
    log: bool = False
    under: Band | None = None


@dataclass(frozen=True, slots=True)
class Axis:
    """The x axis of all panels, in steps, ms since 1970, ms since the run's start, or units of the metric `name`."""

    kind: XKind
    window: tuple[float, float]
    full: tuple[float, float]
    log: bool = False
    name: str = ""

    @property
    def zoomed(self) -> bool:
        return self.window != self.full


@dataclass(slots=True)
class _Body:
    parts: list[bytes] = field(default_factory=list)
    size: int = 0

    def append(self, array: NDArray[Any]) -> int:
        """Adds an array at a multiple of 8 bytes and returns where."""
        at, raw = self.size, array.tobytes()
        self.parts.append(raw + b"\0" * (-len(raw) % 8))
        self.size += len(self.parts[-1])
        return at


def within(x: Floats, window: tuple[float, float]) -> slice:
    """The points within the window, and one on each side, so that lines reach the edges."""
    first, after = np.searchsorted(x, window[0]), np.searchsorted(x, window[1], side="right")
    return slice(max(0, int(first) - 1), int(after) + 1)


def encode(axis: Axis, runs: Sequence[RunLabel], panels: Sequence[Panel], caption: str = "") -> bytes:
    """The payload. `caption` says what is drawn, while nothing is pointed at.

    Raises ValueError when the arrays of a series differ in length.
    """
    body = _Body()
    xs: list[dict[str, int]] = []
    known: dict[bytes, int] = {}

    def x_index(x: Floats) -> int:
        array = np.ascontiguousarray(x, dtype="<f8")
        raw = array.tobytes()
        if raw not in known:
            known[raw] = len(xs)
            xs.append({"at": body.append(array), "n": len(array)})
        return known[raw]

    def values_at(values: Floats | None, n: int) -> int | None:
        if values is None:
            return None
        if len(values) != n:
            raise ValueError(f"a series has {n} x values and {len(values)} values")
        with np.errstate(over="ignore"):  # beyond float32 it is an infinity, and drawn as a gap
            return body.append(np.asarray(values, dtype="<f4"))

    def under_of(band: Band | None) -> dict[str, int | None] | None:
        if band is None:
            return None
        values = {name: values_at(getattr(band, name), len(band.x)) for name in ("lo", "mean", "hi")}
        return {"x": x_index(band.x), **values}

    header = {
        "caption": caption,
        "x": {
            "kind": axis.kind,
            "name": axis.name,
            "log": axis.log,
            "window": list(axis.window),
            "full": list(axis.full),
            "zoomed": axis.zoomed,
        },
        "runs": [
            {"ref": r.ref, "id": r.id, "name": r.name, "short": r.short, "style": r.style, "state": r.state}
            for r in runs
        ],
        "panels": [
            {
                "title": panel.title,
                "log": panel.log,
                "series": [
                    {
                        "run": series.run,
                        "x": x_index(series.x),
                        **{
                            name: values_at(getattr(series, name), len(series.x))
                            for name in ("mean", "lo", "hi", "smooth")
                        },
                        "bad": [[float(at), int(kind)] for at, kind in series.marks[:MARKS_MAX]],
                        "left": series.left,
                    }
                    for series in panel.series
                ],
                "under": under_of(panel.under),
            }
            for panel in panels
        ],
        "xs": xs,
    }
    encoded = json.dumps(header, allow_nan=False, separators=(",", ":")).encode()
    head = len(encoded).to_bytes(4, "little") + encoded
    return head + b"\0" * (-len(head) % 8) + b"".join(body.parts)


def decode(payload: bytes) -> tuple[Axis, list[RunLabel], list[Panel]]:
    """What `encode` was given, values rounded to float32: the browser's view of it, for tests."""
    length = int.from_bytes(payload[:4], "little")
    header = json.loads(payload[4 : 4 + length])
    body = 4 + length + -(4 + length) % 8
    xs = [np.frombuffer(payload, "<f8", x["n"], body + x["at"]) for x in header["xs"]]

    def values(at: int, n: int) -> Floats:
        return np.frombuffer(payload, "<f4", n, body + at).astype(np.float64)

    panels = []
    for panel in header["panels"]:
        found = []
        for one in panel["series"]:
            x = xs[one["x"]]
            lo, hi, smooth = (None if one[k] is None else values(one[k], len(x)) for k in ("lo", "hi", "smooth"))
            marks = tuple((at, kind) for at, kind in one["bad"])
            found.append(Series(one["run"], x, values(one["mean"], len(x)), lo, hi, smooth, marks, one["left"]))
        under = panel["under"]
        if under is not None:
            x = xs[under["x"]]
            under = Band(x, *(values(under[name], len(x)) for name in ("lo", "mean", "hi")))
        panels.append(Panel(panel["title"], found, panel["log"], under))
    x = header["x"]
    axis = Axis(x["kind"], tuple(x["window"]), tuple(x["full"]), x["log"], x["name"])
    return axis, [RunLabel(**run) for run in header["runs"]], panels


def show(payload: bytes, *, key: str, on_zoom: Callable[[], None]) -> None:
    """Draw the payload. `on_zoom` is called when the reader wants another window; `asked_window(key)` has it then."""
    _component()(data=payload, key=key, on_zoom_change=on_zoom)


def asked_window(key: str) -> tuple[float, float] | None:
    """Inside `on_zoom`: the window that was asked for, or None for everything."""
    wanted = st.session_state[key].get("zoom")
    if not isinstance(wanted, list) or len(wanted) != 2:
        return None
    lo, hi = float(wanted[0]), float(wanted[1])
    return (lo, hi) if lo < hi else None


def script() -> str:
    """The browser's half as one module: the files one after another, without the import and export between them."""
    sources = [(_FRONTEND / name).read_text("utf-8") for name in _MODULES]
    joined = "\n".join(re.sub(r"^import\b[^;]*;\n", "", source, flags=re.MULTILINE) for source in sources)
    return re.sub(r"^export (?!default\b)", "", joined, flags=re.MULTILINE)


@cache
def _component() -> Any:  # streamlit's ComponentRenderer; made once per process, at its first use
    html, css = ((_FRONTEND / name).read_text("utf-8") for name in ("curves.html", "curves.css"))
    return st.components.v2.component("runtide.curves", html=html, css=css, js=script())
