"""The page of trends: families, levels, changes and the commits between."""

import math
from collections.abc import Iterator, Sequence
from datetime import timedelta
from typing import Any

import pytest

from runtide_dashboard import trends
from runtide_storage.errors import Unreachable
from runtide_storage.regressions import histories
from tests.fixtures.pages import HOSTILE, NOW, Storage, answered, open_page, words

STEADY = (2.0, 2.01, 1.99, 2.0, 2.01, 1.99, 2.0)
WORSE = (*STEADY, 3.0, 3.01, 2.99, 3.0)


@pytest.fixture
def storage(monkeypatch: pytest.MonkeyPatch) -> Iterator[Storage]:
    yield from answered(monkeypatch)


def finals(values: Sequence[float], family: str = "F1", **changes: Any) -> list[dict[str, Any]]:
    return [
        {
            "project": "llm", "group": "g", "family": family, "fields": "{}", "metric": "val/loss", "goal": "minimize",
            "run_id": f"r{i}", "run": f"gpt-{i:02d}", "started_at": NOW + timedelta(hours=i), "last": value,
            "last_step": 9, "best": None, "commit": f"{i:040x}"[::-1], "dirty": False,
        }
        | changes
        for i, value in enumerate(values)
    ]  # fmt: skip


def test_a_change_for_the_worse_is_shown_with_its_commits(storage: Storage) -> None:
    storage.finals = finals(WORSE)
    app = open_page("trends")
    assert "▼ worse than before" in words(app) and len(app.get("vega_lite_chart")) == 1
    [row] = app.dataframe[0].value.to_dict("records")
    assert row["run"] == "gpt-07" and row["commits"] == f"6{'0' * 9}..7{'0' * 9}"
    assert (row["runs_before"], row["runs_after"], row["before"], row["after"]) == (
        7, 4, pytest.approx(2.0, 1e-3), pytest.approx(3.0, 1e-3),
    )  # fmt: skip
    [link] = app.get("page_link")
    assert link.proto.query_string == "project=llm&runs=r7%2Cr6"


def test_families_are_chosen_by_the_address(storage: Storage) -> None:
    storage.finals = [*finals(STEADY, "F2", group=HOSTILE), *finals(WORSE)]
    app = open_page("trends", family="F2")
    assert "= steady" in words(app) and "No change of level" in words(app)
    assert r"<img" not in words(app)
    assert app.selectbox(key="_family").value == "F2"
    assert app.selectbox(key="_family").options[0].startswith("▼ llm/g")
    assert open_page("trends", family="gone").selectbox(key="_family").value == "F1"


def test_what_got_worse_comes_first_then_what_has_most_runs() -> None:
    rows = [*finals(STEADY[:2], "few"), *finals(STEADY[:6], "six"), *finals(STEADY, "seven"), *finals(WORSE, "worse")]
    found = trends.ordered(histories(rows, "final"))
    assert [each.rows[0]["family"] for each in found] == ["worse", "seven", "six", "few"]


def test_few_runs_and_no_values_say_so(storage: Storage) -> None:
    storage.finals = finals(STEADY[:3])
    assert "At least 6 runs" in words(open_page("trends"))
    storage.finals = finals([math.nan] * 3)
    assert "None of them has a finite value" in words(open_page("trends"))
    storage.finals = finals(STEADY)
    assert "Without a goal there is no best value" in words(open_page("trends", by="best"))


def test_empty_and_broken_stores_say_what_to_do(storage: Storage) -> None:
    assert "belongs to a family yet" in words(open_page("trends"))
    storage.error = Unreachable("ClickHouse can't be reached")
    assert "The database doesn't answer" in words(open_page("trends"))


def test_every_run_has_the_level_of_its_stretch() -> None:
    [found] = histories(finals([*WORSE[:7], math.nan, *WORSE[7:]]), "final")
    levels = trends.levels(found)
    [change] = found.changes
    assert levels[: change.change.first_after] == [pytest.approx(2.0)] * change.change.first_after
    assert levels[-4:] == [pytest.approx(3.0)] * 4 and len(levels) == 12


def test_sizes_in_words() -> None:
    [worse] = histories(finals(WORSE), "final")[0].changes
    assert trends.size(worse) == "50 % worse"
    [better] = histories(finals(WORSE, goal="maximize", metric="acc"), "final")[0].changes
    assert trends.size(better) == "50 % better"
    [unknown] = histories(finals(WORSE, goal=None, metric="zzz"), "final")[0].changes
    assert trends.size(unknown) == "50 % higher"
