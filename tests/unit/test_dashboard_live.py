"""The page of what runs now."""

from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from runtide_dashboard import live
from runtide_storage.errors import Unreachable
from tests.fixtures.pages import HOSTILE, NOW, Storage, answered, open_page, run, words


@pytest.fixture
def storage(monkeypatch: pytest.MonkeyPatch) -> Iterator[Storage]:
    yield from answered(monkeypatch)


def test_what_runs_and_what_just_ended(storage: Storage) -> None:
    storage.runs[11] = replace(storage.runs[11], state="running", ended_at=None, name=HOSTILE)
    storage.runs[5] = replace(storage.runs[5], state="stalled", ended_at=None)
    storage.runs[7] = replace(storage.runs[7], ended_at=datetime.now(UTC) - timedelta(minutes=3))
    app = open_page("live")
    assert {metric.label: metric.value for metric in app.metric} == {
        "Running": "2", "Stalled": "1", "Points a second": "1,000", "Alerts": "0",
    }  # fmt: skip
    assert list(app.dataframe[0].value["run"]) == [HOSTILE, "gpt-07", "gpt-05"]
    assert "<img" not in words(app)
    assert (("llm/r11", "llm/r7", "llm/r5"), "eval/accuracy") in storage.asked  # one question for all sparklines


def test_the_metric_is_in_the_address(storage: Storage) -> None:
    storage.runs[5] = replace(storage.runs[5], state="running", ended_at=None)
    open_page("live", live_metric="system/cpu")
    assert (("llm/r5",), "system/cpu") in storage.asked


def test_when_nothing_runs_the_last_start_is_told(storage: Storage) -> None:
    app = open_page("live")
    assert "Nothing runs now. The last run, gpt\\-11, started" in words(app) and not app.dataframe


def test_empty_and_broken_stores_say_what_to_do(storage: Storage) -> None:
    storage.error = Unreachable("ClickHouse can't be reached")
    assert "The database doesn't answer" in words(open_page("live"))
    storage.error, storage.runs = None, []
    assert "No runs yet" in words(open_page("live"))


def test_a_moment_ago_is_ten_minutes() -> None:
    ended = [run(i, ended_at=NOW - timedelta(minutes=i)) for i in (1, 9, 11)]
    silent = [run(i, state="crashed", ended_at=None, seen_at=NOW - timedelta(minutes=i)) for i in (2, 12)]
    assert live.current([*ended, *silent], NOW) == [*ended[:2], silent[0]]
