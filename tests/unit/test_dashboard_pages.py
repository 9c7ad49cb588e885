"""The pages' logic and states, with storage's answers put in its place."""

from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import pytest
import streamlit as st
from streamlit.testing.v1 import AppTest

from runtide_dashboard import data, launch
from runtide_dashboard.curves import decode
from runtide_dashboard.records import Curve, Health, Project, Run, Summary
from runtide_storage.errors import QueryError, Unreachable

NOW = datetime.now(UTC)
HOSTILE = "<img src=x onerror=alert(1)> **bold** ![p](http://h/p.png)"
METRICS = ("train/loss", "eval/accuracy", "system/cpu")


def run(i: int, **changes: Any) -> Run:
    made = Run(
        ref=f"llm/r{i}", project="llm", id=f"r{i}", name=f"gpt-{i:02d}", state="finished", group="g", tags=("a",),
        host="h", attempt=1, started_at=NOW - timedelta(hours=100 - i), ended_at=NOW - timedelta(hours=99 - i),
        seen_at=NOW, rank=i,
    )  # fmt: skip
    return replace(made, **changes)


class Storage:
    """What the pages' questions are answered with."""

    def __init__(self) -> None:
        self.runs = [run(i) for i in range(12)]
        self.runs[3] = replace(self.runs[3], state="crashed", name=HOSTILE)
        self.health = Health(behind_s=0.4, workers=1, points_per_s=1000.0, lag=0, dead_letters=0)
        self.metrics: tuple[str, ...] = METRICS
        self.error: Exception | None = None
        self.asked: list[tuple[Any, ...]] = []

    def answer(self, value: Callable[..., Any]) -> Callable[..., Any]:
        def ask(*arguments: Any) -> Any:
            if self.error is not None:
                raise self.error
            self.asked.append(arguments)
            return value(*arguments)

        return ask


def summary(ref: str, metric: str) -> Summary:
    i = int(ref.rpartition("r")[2])
    return Summary(
        n=10, nonfinite=0, first_step=0, last=1.0 + i, last_step=99, min=0.5 + i, min_step=50, max=9.0, max_step=1,
        first_ms=0, last_ms=1000, goal=None,
    )  # fmt: skip


def curve() -> Curve:
    x = np.arange(100.0)
    return Curve(x, np.exp(-x / 30), None, None, ())


@pytest.fixture
def storage(monkeypatch: pytest.MonkeyPatch) -> Iterator[Storage]:
    st.cache_data.clear()
    fake = Storage()
    answers: dict[str, Callable[..., Any]] = {
        "projects": lambda: (Project("llm", len(fake.runs)), Project("vision", 3)) if fake.runs else (),
        "runs": lambda project: data.RunList(tuple(reversed(fake.runs)) if project == "llm" else (), len(fake.runs)),
        "find": lambda refs, listed: (
            [one for ref in refs for one in fake.runs if one.ref == ref],
            [ref for ref in refs if ref not in {one.ref for one in fake.runs}],
        ),
        "metric_names": lambda project: fake.metrics,
        "metrics_of": lambda refs: fake.metrics if refs else (),
        "summaries": lambda refs, metrics: {(ref, metric): summary(ref, metric) for ref in refs for metric in metrics},
        "sparklines": lambda refs, metric: {ref: [3.0, 2.0, 1.0] for ref in refs},
        "curves": lambda refs, metrics, x, window, points: {
            metric: {ref: curve() for ref in refs} for metric in metrics
        },
        "values": lambda refs, section: (
            {ref: {"lr": i, "same": 1} for i, ref in enumerate(refs)} if section == "config" else {}
        ),
        "pipeline": lambda: fake.health,
        "dead_letters": lambda limit: [],
    }
    for name, value in answers.items():
        monkeypatch.setattr(data, name, fake.answer(value))
    monkeypatch.setattr(data, "answers", lambda: fake.error is None)
    yield fake
    st.cache_data.clear()


def open_page(view: str = "", **parameters: str | list[str]) -> AppTest:
    app = AppTest.from_file(str(launch.APP), default_timeout=30)
    app.run()
    for name in list(app.query_params):
        del app.query_params[name]
    for name, value in parameters.items():
        app.query_params[name] = value
    if view:
        app.switch_page(f"views/{view}.py")
    app.run()
    assert not app.exception
    return app


def words(app: AppTest) -> str:
    """All text of the page."""
    kinds = (app.markdown, app.caption, app.info, app.warning, app.error, app.subheader, app.code)
    return "\n".join(str(element.value) for kind in kinds for element in kind)


def drawn(app: AppTest) -> tuple[Any, Any, Any]:
    """What the curves component was given: axis, runs, panels."""
    [component] = app.get("bidi_component")
    return decode(component.proto.bytes)


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
    storage.runs = [run(i) for i in range(70)]
    app = open_page("compare", runs=",".join(f"r{i}" for i in range(70)))
    assert len(drawn(app)[1]) == data.RUNS_MAX
    assert f"Showing {data.RUNS_MAX} of 70 runs" in words(app)


def test_results_and_differences_follow(storage: Storage) -> None:
    app = open_page("compare", runs="r1,r2", metrics=["train/loss"])
    results, differences = app.dataframe
    assert list(results.value["best0"]) == [1.5, 2.5]
    assert np.isnan(results.value["change0"][0]) and results.value["change0"][1] == pytest.approx(66.67, abs=0.01)
    assert list(differences.value["key"]) == ["lr"]


def test_only_live_runs_are_followed(storage: Storage, monkeypatch: pytest.MonkeyPatch) -> None:
    refreshes: list[object] = []
    fragment = st.fragment

    def recorded(function: Callable[..., Any], *, run_every: float | None = None) -> Any:
        refreshes.append(run_every)
        return fragment(function, run_every=run_every)

    app = open_page("compare", runs="r1")
    monkeypatch.setattr(st, "fragment", recorded)
    app.run()
    assert refreshes == [None, None]
    refreshes.clear()
    storage.runs[1] = replace(storage.runs[1], state="running", ended_at=None)
    app.run()
    assert refreshes == [2, 2]


def test_the_pipeline_in_figures(storage: Storage) -> None:
    storage.health = Health(behind_s=None, workers=0, points_per_s=None, lag=None, dead_letters=3)
    app = open_page("pipeline")
    assert {metric.label: metric.value for metric in app.metric}["Behind"] == "no worker"
    assert "no worker running" in words(app)


def test_an_unknown_project_is_named(storage: Storage) -> None:
    assert "There is no project other" in words(open_page(project="other"))
