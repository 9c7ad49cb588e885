"""How runs came out against the history of their families, metric by metric, as the worker judged them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import pandas as pd
import streamlit as st

from runtide_dashboard.differences import ABSENT
from runtide_dashboard.names import plain
from runtide_dashboard.records import Judgement

SIGNS = {"better": ("▲", "green"), "same": ("=", "gray"), "worse": ("▼", "red"), "no baseline": ("·", "gray")}
ROW_PX = 34
CONTENT_ROWS = 20  # a longer table scrolls inside itself


def difference(judgement: Judgement) -> str:
    """How much better or worse, with the 95 % interval of that; the worker counts what is worse as positive."""
    effect, low, high = judgement.effect, judgement.low, judgement.high
    if effect is None:
        return ABSENT
    word = "worse" if effect > 0 else "better"
    if low is None or high is None:
        return f"{abs(effect):.2%} {word}"
    if effect <= 0:
        low, high = -high, -low
    return f"{abs(effect):.2%} {word} ({low:.2%} to {high:.2%})"


def rows(
    names: Mapping[str, str], metrics: Sequence[str], found: Mapping[tuple[str, str], Judgement]
) -> list[tuple[str, str, Judgement]]:
    """(run's name, metric, judgement) metric by metric, in the order of the runs. `names`: ref -> name."""
    return [
        (name, metric, found[ref, metric])
        for metric in metrics
        for ref, name in names.items()
        if (ref, metric) in found
    ]


def show(judged: Sequence[tuple[str, str, Judgement]]) -> None:
    """The table, or the words for why there is none."""
    st.subheader("Against the baseline", anchor=False)
    if not judged:
        st.caption("No verdict on these metrics yet: it takes a finished run, and earlier runs of its family.")
        return
    column = st.column_config
    frame = pd.DataFrame(
        {
            "run": [name for name, _, _ in judged],
            "metric": [metric for _, metric, _ in judged],
            "verdict": [[_label(each.verdict)] for _, _, each in judged],
            "difference": [difference(each) for _, _, each in judged],
            "value": [each.value for _, _, each in judged],
            "baseline": [each.baseline for _, _, each in judged],
            "step": pd.array([each.step for _, _, each in judged], "Int64"),
            "n": [each.n for _, _, each in judged],
        }
    )
    words = list(dict.fromkeys([*SIGNS, *(each.verdict for _, _, each in judged)]))
    st.dataframe(
        frame, hide_index=True, row_height=ROW_PX, placeholder=ABSENT, key="judged",
        height="content" if len(frame) <= CONTENT_ROWS else ROW_PX * CONTENT_ROWS,
        alt="Verdict of each run on each metric against the baseline of its family",
        column_config={
            "run": column.TextColumn("Run", width=230), "metric": column.TextColumn("Metric", width=160),
            "verdict": column.MultiselectColumn(
                "Verdict", width=118, options=[_label(word) for word in words],
                color=[SIGNS.get(word, ("", "gray"))[1] for word in words],
            ),
            "difference": column.TextColumn("Difference (95 % interval)", width=250),
            "value": column.NumberColumn("Level", format="%.5g"),
            "baseline": column.NumberColumn("of the baseline", format="%.5g"),
            "step": column.NumberColumn("at step", format="localized", width=84),
            "n": column.NumberColumn("Baseline runs", width=104),
        },
    )  # fmt: skip
    reasons = list(dict.fromkeys(each.reason for _, _, each in judged if each.verdict == "no baseline" and each.reason))
    if reasons:
        st.caption("; ".join(plain(reason) for reason in reasons[:3]))


def _label(word: str) -> str:
    """ "▲ better": colour is never the only channel."""
    return f"{SIGNS.get(word, ('○', ''))[0]} {word}"
