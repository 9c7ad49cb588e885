"""The pages' logic and states, with storage's answers put in its place."""

import json
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import timedelta
from typing import Any

import numpy as np
import pytest
import streamlit as st
from streamlit.testing.v1 import AppTest

from runtide_dashboard import data, table
from runtide_dashboard.records import Health, Judgement
from runtide_storage.errors import FilterError, QueryError, Unreachable
from tests.fixtures.pages import HOSTILE, NOW, Storage, answered, drawn, open_page, run, words


def said(app: AppTest) -> str:
    """The words above the curves."""
    [component] = app.get("bidi_component")
    payload = component.proto.bytes
    length = int.from_bytes(payload[:4], "little")
    return str(json.loads(payload[4 : 4 + length])["caption"])


@pytest.fixture
def storage(monkeypatch: pytest.MonkeyPatch) -> Iterator[Storage]:
    yield from answered(monkeypatch)


def test_the_runs_are_listed_the_newest_first(storage: Storage) -> None:
    app = open_page()
    [table] = app.dataframe
    assert list(table.value["run"])[:2] == ["gpt-11", "gpt-10"]
    assert [words_ for [words_] in table.value["status"]].count("⚠ crashed") == 1
    assert "12 runs" in words(app)


def test_a_hostile_name_is_a_cell_and_nothing_else(storage: Storage) -> None:
    app = open_page()
    assert HOSTILE in list(app.dataframe[0].value["run"])
    assert "<img" not in words(app)


def test_the_filter_looks_at_names_tags_and_states(storage: Storage) -> None:
    assert list(open_page(q="gpt 07").dataframe[0].value["run"]) == ["gpt-07"]
    assert len(open_page(q="CRASHED").dataframe[0].value) == 1
    assert len(open_page(state=["crashed"]).dataframe[0].value) == 1
    assert len(open_page(state=["no such state"]).dataframe[0].value) == 12


def test_a_filter_with_an_operator_is_asked_of_storage(storage: Storage) -> None:
    storage.passing = ("llm/r7", "llm/r3")
    app = open_page(q="config.lr > 0.01")
    assert list(app.dataframe[0].value["run"]) == ["gpt-07", HOSTILE]
    assert ("llm", "config.lr > 0.01") in storage.asked and "2 runs of 12" in words(app)
    assert list(open_page(q="config.lr > 0.01", state=["crashed"]).dataframe[0].value["run"]) == [HOSTILE]


def test_a_filter_that_is_none_is_pointed_at(storage: Storage, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(project: str, where: str) -> None:
        raise FilterError("expected a value", where, len(where))

    monkeypatch.setattr(data, "passing", refuse)
    app = open_page(q="config.lr >")
    assert not app.dataframe
    assert "This filter can't be read" in words(app) and "config.lr >\n           ^" in words(app)


def test_words_and_filters_are_told_apart() -> None:
    for text in ("lr>1", 'tags has "x"', "state in ('a')", "group is null", "name ~ 'x'", "host like 'gpu-%'"):
        assert table.is_filter(text), text
    for text in ("", "gpt 07", "trained in paris", "this has been", "it is", "likely-best"):
        assert not table.is_filter(text), text


def test_verdicts_have_a_column_once_there_are_any(storage: Storage) -> None:
    assert "verdict" not in open_page().dataframe[0].value.columns
    storage.verdicts = {"llm/r11": "worse", "llm/r10": "no baseline"}
    st.cache_data.clear()
    assert list(open_page().dataframe[0].value["verdict"].fillna(""))[:3] == ["▼ worse", "no baseline", ""]


def test_a_filter_that_hides_everything_can_be_cleared(storage: Storage) -> None:
    app = open_page(q="nothing like this")
    assert not app.dataframe and "None of 12 runs passes the text filter" in words(app)
    next(button for button in app.button if button.label == "Clear filters").click().run()
    assert len(app.dataframe[0].value) == 12


def test_chosen_metrics_are_the_columns(storage: Storage) -> None:
    labels = open_page(columns=["system/cpu"]).dataframe[0].value.columns
    assert "last0" in labels and "last1" not in labels and "best0" not in labels


def test_many_runs_come_in_pages_and_the_cap_is_said_aloud(storage: Storage) -> None:
    storage.runs = [run(i) for i in range(230)]
    app = open_page()
    assert len(app.dataframe[0].value) == 100 and "of 3" in words(app)
    assert list(open_page(page="3").dataframe[0].value["run"])[-1] == "gpt-00"
    assert len(open_page(page="99").dataframe[0].value) == 30  # beyond the end: the last one


def test_without_runs_the_page_says_how_to_get_one(storage: Storage) -> None:
    storage.runs = []
    for page in ("", "compare"):
        text = words(open_page(page))
        assert "No runs yet" in text and "runtide.init" in text


@pytest.mark.parametrize("page", ["", "compare"])
def test_a_database_that_never_answered_is_not_taken_for_an_empty_one(storage: Storage, page: str) -> None:
    storage.error = Unreachable("gone")
    text = words(open_page(page))
    assert "The database doesn't answer" in text and "No runs yet" not in text


@pytest.mark.parametrize("page", ["", "compare", "pipeline"])
def test_without_a_database_there_is_a_banner_and_no_trace(storage: Storage, page: str) -> None:
    app = open_page(page)
    storage.error = Unreachable("ClickHouse at h:1 can't be reached: start it with `runtide up`")
    app.run()
    assert not app.exception
    text = words(app)
    assert "The database doesn't answer" in text and "runtide up" in text
    assert "Traceback" not in text


def test_the_last_curves_stay_when_the_database_goes(storage: Storage, monkeypatch: pytest.MonkeyPatch) -> None:
    app = open_page("compare", runs="r1,r2")
    before = drawn(app)[1]

    def gone(*_: object) -> None:
        raise Unreachable("gone")

    monkeypatch.setattr(data, "curves", gone)
    app.run()
    assert not app.exception
    assert "old. Trying again" in words(app)
    assert drawn(app)[1] == before


def test_a_question_that_cannot_be_answered_is_shown_as_such(storage: Storage) -> None:
    app = open_page("compare")
    storage.error = QueryError("too much memory")
    app.run()
    assert not app.exception and "too much memory" in words(app)


def test_compare_draws_what_the_address_says(storage: Storage) -> None:
    app = open_page("compare", runs="r1,r2", metrics=["train/loss"], zoom="10:50", log="y", smooth="40")
    axis, runs, [panel] = drawn(app)
    assert axis.window == (10, 50) and axis.full == (0, 99)
    assert [label.ref for label in runs] == ["llm/r1", "llm/r2"]
    assert panel.title == "train/loss" and panel.log and panel.series[0].smooth is not None
    [[_, _, x, window, _]] = [arguments for arguments in storage.asked if len(arguments) == 5]
    assert x == "step" and window[0] < 10 and window[1] > 50  # with what is needed to draw up to the edges


def test_a_link_that_names_whole_runs_chooses_the_project(storage: Storage) -> None:
    app = open_page("compare", runs="llm/r4,llm/r5")
    assert [label.ref for label in drawn(app)[1]] == ["llm/r4", "llm/r5"]
    assert app.query_params["project"] == "llm"


def test_without_a_choice_the_newest_are_compared(storage: Storage) -> None:
    app = open_page("compare")
    assert [label.id for label in drawn(app)[1]] == ["r11", "r10", "r9", "r8", "r7"]
    assert "The newest 5 runs" in words(app)


def test_a_run_that_is_gone_is_named(storage: Storage) -> None:
    app = open_page("compare", runs="r1,deleted-one")
    assert [label.id for label in drawn(app)[1]] == ["r1"]
    assert "Not found: llm/deleted\\-one" in words(app)


def test_nothing_chosen_says_what_to_do(storage: Storage) -> None:
    assert "Choose runs above" in words(open_page("compare", runs=""))
    assert "Choose at least one metric" in words(open_page("compare", runs="r1", metrics=""))


def test_runs_without_metrics_say_so(storage: Storage) -> None:
    storage.metrics = ()
    assert "not logged a metric yet" in words(open_page("compare", runs="r1"))


def test_too_many_runs_are_cut_aloud(storage: Storage) -> None:
    storage.runs = [run(i) for i in range(110)]
    app = open_page("compare", runs=",".join(f"r{i}" for i in range(110)))
    assert len(drawn(app)[1]) == data.RUNS_MAX
    assert f"Showing {data.RUNS_MAX} of 110 runs" in words(app)


def test_results_and_differences_follow(storage: Storage) -> None:
    app = open_page("compare", runs="r1,r2", metrics=["train/loss"])
    results, differences = app.dataframe
    assert list(results.value["best0"]) == [1.5, 2.5]
    assert np.isnan(results.value["change0"][0]) and results.value["change0"][1] == pytest.approx(66.67, abs=0.01)
    assert list(differences.value["key"]) == ["lr"]


def patch(line: str) -> str:
    head = "diff --git a/train.py b/train.py\nindex 1..2 100644\n--- a/train.py\n+++ b/train.py\n"
    return f"{head}@@ -1 +1 @@\n-x\n+{line}\n"


def test_code_data_and_surroundings_that_differ_are_shown(storage: Storage) -> None:
    storage.recorded = {
        f"llm/r{i}": {
            "code": {"commit": f"c{i}", "diff": patch(HOSTILE if i == 2 else f"lr = {i}")},
            "dataset": {"digits": f"v{i}"}, "output": {"net": str(i)},
            "packages": {"numpy": f"2.{i}", "scipy": "1"}, "environment": {"python": "3.11"},
        }
        for i in (1, 2, 3)
    }  # fmt: skip
    app = open_page("compare", runs="r1,r2,r3", metrics=["train/loss"])
    assert not app.exception
    keys = [list(table.value["key"]) for table in app.dataframe[1:]]
    assert keys == [["lr"], ["commit", "uncommitted changes"], ["digits"], ["package numpy"]]
    assert "git diff c1 c2" in words(app) and f"+{HOSTILE}" in words(app) and "lr = 3" not in words(app)
    app.selectbox(key="_patch").select("llm/r3").run()
    assert "git diff c1 c3" in words(app) and "lr = 3" in words(app) and app.query_params["patch"] == "llm/r3"


def test_the_same_code_is_not_compared(storage: Storage) -> None:
    storage.recorded = {f"llm/r{i}": {"code": {"commit": "c", "diff": patch("x")}} for i in (1, 2)}
    app = open_page("compare", runs="r1,r2", metrics=["train/loss"])
    assert "git diff" not in words(app) and "not committed" not in words(app)


def test_all_runs_are_in_order_not_only_those_of_the_page(storage: Storage) -> None:
    storage.runs = [run(i) for i in range(130)]
    app = open_page("runs", sort="best:train/loss")
    assert list(app.dataframe[0].value["run"])[:3] == ["gpt-00", "gpt-01", "gpt-02"]
    assert next(iter(open_page("runs").dataframe[0].value["run"])) == "gpt-129"
    assert next(iter(open_page("runs", sort="nonsense").dataframe[0].value["run"])) == "gpt-129"


def test_verdicts_come_with_their_intervals(storage: Storage) -> None:
    storage.judgements["llm/r1", "train/loss"] = Judgement("worse", "", 90, 1.2, 1.0, 0.2, 0.1, 0.3, 5)
    storage.judgements["llm/r2", "train/loss"] = Judgement("better", "", 90, 0.8, 1.0, -0.2, -0.3, 0.01, 5)
    storage.judgements["llm/r2", "eval/accuracy"] = Judgement(
        "no baseline", HOSTILE, None, None, None, None, None, None, 0
    )
    app = open_page("compare", runs="r1,r2", metrics=["train/loss", "eval/accuracy"])
    [table] = [each.value for each in app.dataframe if "verdict" in each.value]
    assert [list(words) for words in table["verdict"]] == [["▼ worse"], ["▲ better"], ["· no baseline"]]
    assert list(table["difference"]) == ["20.00% worse (10.00% to 30.00%)", "20.00% better (-1.00% to 30.00%)", "–"]
    assert "\\<img" in words(app)


def test_the_baseline_lies_under_the_curves_and_says_who_left_it(storage: Storage) -> None:
    storage.members = ("llm/r3", "llm/r4")
    storage.left = {("llm/r2", "train/loss"): 40.0, ("llm/r9", "train/loss"): 9.0}
    app = open_page("compare", runs="r1,r2", metrics=["train/loss"])
    _, _, [panel] = drawn(app)
    assert panel.under.hi.tolist() == [1.0] * 10
    assert [series.left for series in panel.series] == [None, 40.0]
    caption = said(app)
    assert "grey: 10 to 90 % of 2 baseline runs" in caption and "gpt-02 at step 40 in train/loss" in caption
    _, _, [plain] = drawn(open_page("compare", runs="r1,r2", metrics=["train/loss"], band="off"))
    assert plain.under is None and [series.left for series in plain.series] == [None, None]


def test_a_run_of_another_project_leaves_its_baseline_too(storage: Storage) -> None:
    storage.runs[2] = run(2, ref="vision/r2", project="vision")
    storage.left = {("vision/r2", "train/loss"): 90.0}
    app = open_page("compare", project="llm", runs="llm/r1,vision/r2", metrics=["train/loss"])
    assert [series.left for series in drawn(app)[2][0].series] == [None, 90.0]


def test_the_chosen_base_is_the_first_whose_baseline_is_wanted(storage: Storage) -> None:
    open_page("compare", runs="r1,r2", metrics=["train/loss"], base="llm/r2")
    assert (("llm/r2", "llm/r1"),) in storage.asked


def test_along_the_clock_there_is_no_baseline(storage: Storage) -> None:
    storage.members = ("llm/r3",)
    storage.left = {("llm/r2", "train/loss"): 90.0}
    app = open_page("compare", runs="r1,r2", metrics=["train/loss"], x="time")
    [panel] = drawn(app)[2]
    assert panel.under is None and [series.left for series in panel.series] == [None, None]
    app = open_page("compare", runs="r1,r2", metrics=["train/loss"], x="relative")
    [panel] = drawn(app)[2]
    assert panel.under is not None and [series.left for series in panel.series] == [None, None]


def test_without_a_baseline_nothing_is_said_of_one(storage: Storage) -> None:
    app = open_page("compare", runs="r1,r2", metrics=["train/loss"])
    assert drawn(app)[2][0].under is None and "baseline" not in said(app)


def test_curves_are_drawn_along_a_metric(storage: Storage) -> None:
    storage.metrics = ("train/loss", "tokens/seen")
    app = open_page("compare", runs="r1,r2", metrics=["train/loss"], x="metric")
    axis, _, _ = drawn(app)
    assert (axis.kind, axis.name, axis.full) == ("metric", "tokens/seen", (1.5, 9.0))
    assert app.query_params["x_metric"] == "tokens/seen"
    assert (("llm/r1", "llm/r2"), ("train/loss",), "tokens/seen", None, 500) in storage.asked


def test_without_any_metric_the_axis_is_the_step(storage: Storage) -> None:
    storage.metrics = ()
    assert "not logged a metric yet" in words(open_page("compare", runs="r1", x="metric"))


def test_only_live_runs_are_followed(storage: Storage, monkeypatch: pytest.MonkeyPatch) -> None:
    refreshes: list[object] = []
    fragment = st.fragment

    def recorded(function: Callable[..., Any], *, run_every: float | None = None) -> Any:
        refreshes.append(run_every)
        return fragment(function, run_every=run_every)

    app = open_page("compare", runs="r1")
    monkeypatch.setattr(st, "fragment", recorded)
    app.run()
    assert refreshes == [None, None, None]
    refreshes.clear()
    storage.runs[1] = replace(storage.runs[1], state="running", ended_at=None)
    app.run()
    assert refreshes == [2, 2, None]  # what settings do is not followed


def test_the_pipelines_last_hour_and_its_workers(storage: Storage) -> None:
    assert not open_page("pipeline").get("vega_lite_chart")  # nothing to draw yet
    at = [NOW - timedelta(seconds=30 * i) for i in (3, 2, 1)]
    storage.hour = [{"at": each, "points_per_s": 5.0, "lag": 1, "behind_s": 0.1} for each in at]
    storage.workers = [
        {"worker": HOSTILE, "seen_at": NOW, "behind_s": 0.2, "waiting": 3, "stored": 9, "repeated": 1, "refused": 0}
    ]
    storage.partitions = [{"partition": 0, "worker": HOSTILE, "lag": 4, "seen_at": NOW}]
    storage.shippers = [
        {"host": HOSTILE, "directory": "/j", "backlog_bytes": 5_000, "lag_s": 2.0, "journals": 1, "resent_lines": 0,
         "failures": 0, "seen_at": NOW}
    ]  # fmt: skip
    app = open_page("pipeline")
    assert len(app.get("vega_lite_chart")) == 3
    workers, partitions, shippers = (table.value for table in app.dataframe)
    assert list(workers["worker"]) == [HOSTILE] and "<img" not in words(app)
    assert list(partitions["lag"]) == [4] and list(shippers["backlog_bytes"]) == [5.0]


def test_the_pipeline_in_figures(storage: Storage) -> None:
    storage.health = Health(behind_s=None, workers=0, points_per_s=None, lag=None, dead_letters=3)
    app = open_page("pipeline")
    assert {metric.label: metric.value for metric in app.metric}["Behind"] == "no worker"
    assert "no worker running" in words(app)


def test_an_unknown_project_is_named(storage: Storage) -> None:
    assert "There is no project other" in words(open_page(project="other"))
