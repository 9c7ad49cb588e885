"""The Alerts page: feed, filters, explanation and states, with storage's answers put in its place."""

from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from typing import Any, cast

import pytest

from runtide_dashboard import alerts
from runtide_dashboard.records import Alert
from runtide_storage.errors import Unreachable
from tests.fixtures.pages import HOSTILE, NOW, Storage, answered, drawn, open_page, words

DETAIL = {
    "effect": 0.1234, "value": 3.21, "baseline": 2.86, "spread": 0.02, "since": 1040, "windows": 3, "n": 10,
    "early": True, "members": [f"r{i}" for i in range(11)], "nearest": "r10",
    "changes": {
        "commit": ["a" * 40, "b" * 40], "diff": {"files": ["train.py", "data.py"], "sha256": "x"},
        "config": {"lr": [0.001, 0.01], "new": [None, "y"]}, "packages": {"torch": ["2.1", "2.2"]},
    },
}  # fmt: skip


def alert(number: int, **changes: Any) -> Alert:
    made = Alert(
        id=f"{number:032x}", project="llm", run_id="r11", run="gpt-11", ts=NOW - timedelta(minutes=number),
        kind="regression", severity="page", state="open", title=f"train/loss is {number} % worse", text="It is so.",
        metric="train/loss", step=1200, quiet=False, who="", reason="", detail=DETAIL,
    )  # fmt: skip
    return replace(made, **changes)


@pytest.fixture
def storage(monkeypatch: pytest.MonkeyPatch) -> Iterator[Storage]:
    for fake in answered(monkeypatch):
        fake.alerts = [
            alert(1),
            alert(2, severity="warn", state="acknowledged", who="me@h", reason="known *data*"),
            alert(3, severity="info", state="resolved", metric="", step=None, detail={}, kind="user", text=""),
        ]
        yield fake


def listed(app: Any) -> list[str]:
    return list(app.dataframe[0].value["title"])


def test_the_feed_is_newest_first_with_signs_and_words(storage: Storage) -> None:
    app = open_page("alerts")
    assert listed(app) == [f"train/loss is {number} % worse" for number in (1, 2, 3)]
    assert [words_ for [words_] in app.dataframe[0].value["severity"]] == ["▲ page", "△ warn", "· info"]
    assert [words_ for [words_] in app.dataframe[0].value["state"]] == ["● open", "◐ acknowledged", "✓ resolved"]
    assert "3 alerts" in words(app)


def test_filters_come_from_the_address(storage: Storage) -> None:
    assert listed(open_page("alerts", alert_state=["open"])) == ["train/loss is 1 % worse"]
    assert listed(open_page("alerts", severity=["warn", "info"])) == [f"train/loss is {n} % worse" for n in (2, 3)]
    assert len(listed(open_page("alerts", severity=["no such thing"]))) == 3
    assert "1 alert of 3" in words(open_page("alerts", alert_state=["open"]))


def test_filters_that_hide_everything_can_be_cleared(storage: Storage) -> None:
    app = open_page("alerts", alert_state=["resolved"], severity=["page"])
    assert not app.dataframe and "None of 3 alerts passes the filters" in words(app)
    next(button for button in app.button if button.label == "Clear filters").click().run()
    assert len(listed(app)) == 3


def test_a_filter_that_is_set_is_in_the_address(storage: Storage) -> None:
    app = open_page("alerts", alert_state=["open", "resolved"])
    state, severity = cast(list[Any], app.get("button_group"))
    assert state.value == ["open", "resolved"] and severity.value == []
    severity.set_value(["page"]).run()
    assert listed(app) == ["train/loss is 1 % worse"]
    assert app.query_params["severity"] == "page" and app.query_params["alert_state"] == ["open", "resolved"]


def test_one_alert_is_explained_among_its_baseline(storage: Storage) -> None:
    app = open_page("alerts", alert=alert(1).id)
    text = words(app)
    assert "train/loss is 1 % worse" in text and "It is so\\." in text
    assert {metric.label: metric.value for metric in app.metric} == {
        "Worse by": "12.34%", "Value": "3.210", "Baseline": "2.860", "Spread": "0.02000", "At step": "1,200",
        "Since step": "1,040", "Baseline runs": "10",
    }  # fmt: skip
    _, runs, [panel] = drawn(app)
    assert panel.title == "train/loss"
    assert [label.ref for label in runs] == ["llm/r11", *(f"llm/r{i}" for i in range(3, 11))]  # the newest eight
    changes = app.dataframe[1].value
    assert list(changes["what"]) == ["git commit", "uncommitted changes", "lr", "new", "package torch"]
    assert list(changes["there"]) == ["a" * 10, "–", "0.001", "–", "2.1"]
    assert list(changes["here"]) == ["b" * 10, "train.py, data.py", "0.01", "y", "2.2"]
    assert f"runtide ack {alert(1).id[:8]}" in text


def test_it_leads_to_the_comparison_and_to_the_run(storage: Storage) -> None:
    link, run = open_page("alerts", alert=alert(1).id).get("page_link")
    assert link.proto.label == "Compare in full"
    runs = "%2C".join(["r11", *(f"r{i}" for i in range(3, 11))])
    assert link.proto.query_string == f"project=llm&runs={runs}&metrics=train%2Floss"
    assert (run.proto.label, run.proto.query_string) == ("Open the run", "project=llm&run=r11")


def test_a_window_of_the_address_is_shown(storage: Storage) -> None:
    axis, _, _ = drawn(open_page("alerts", alert=alert(1).id, alert_zoom="10:50"))
    assert axis.window == (10, 50)


def test_what_people_said_of_it(storage: Storage) -> None:
    text = words(open_page("alerts", alert=alert(2).id))
    assert "acknowledged by me\\@h: known \\*data\\*" in text and "runtide ack" not in text


def test_an_alert_of_peoples_own_has_less_to_say(storage: Storage) -> None:
    app = open_page("alerts", alert=alert(3).id)
    assert not app.metric and not app.get("bidi_component") and len(app.dataframe) == 1
    assert "user" in words(app)


def test_a_quiet_one_says_so(storage: Storage) -> None:
    storage.alerts = [alert(1, quiet=True)]
    assert "nobody was told" in words(open_page("alerts", alert=alert(1).id))


def test_the_chosen_one_is_explained_though_a_filter_hides_it(storage: Storage) -> None:
    app = open_page("alerts", alert=alert(1).id, alert_state=["resolved"])
    assert "train/loss is 1 % worse" in words(app) and app.query_params["alert"] == alert(1).id


def test_an_alert_that_is_not_there_is_named(storage: Storage) -> None:
    assert "There is no alert nope" in words(open_page("alerts", alert="nope"))


def test_hostile_texts_are_texts(storage: Storage) -> None:
    hostile = {"config": {HOSTILE: [HOSTILE, None]}, "packages": "nonsense", "commit": 5, "diff": {"files": [HOSTILE]}}
    detail = {"members": [HOSTILE], "nearest": HOSTILE, "changes": hostile, "effect": "NaN", "value": "NaN"}
    fields = {"title": HOSTILE, "text": HOSTILE, "kind": HOSTILE, "metric": HOSTILE, "who": HOSTILE, "reason": HOSTILE}
    storage.alerts = [alert(1, run=HOSTILE, state="acknowledged", detail=detail, **fields)]
    app = open_page("alerts", alert=alert(1).id)
    assert HOSTILE not in words(app) and "<img" not in words(app).replace("\\<", "")
    assert listed(app) == [HOSTILE]
    assert list(app.dataframe[1].value["here"]) == [HOSTILE, "–"]


def test_a_project_without_alerts_says_what_would_be_here(storage: Storage) -> None:
    storage.alerts = []
    text = words(open_page("alerts"))
    assert "No alerts in llm" in text and "appears here" in text


def test_without_runs_the_page_says_how_to_get_one(storage: Storage) -> None:
    storage.runs, storage.alerts = [], []
    assert "No runs yet" in words(open_page("alerts"))


def test_without_a_database_there_is_one_banner_and_no_trace(storage: Storage) -> None:
    app = open_page("alerts", alert=alert(1).id)
    storage.error = Unreachable("ClickHouse at h:1 can't be reached: start it with `runtide up`")
    app.run()
    assert not app.exception
    text = words(app)
    assert text.count("The database doesn't answer") == 1 and "Traceback" not in text


def test_when_the_list_is_cut_it_says_so(storage: Storage, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("runtide_dashboard.data.ALERTS_MAX", 3)
    assert "only the newest 3 are listed here" in words(open_page("alerts"))


def test_words_of_a_later_version_are_shown_as_they_are() -> None:
    assert alerts.label(alerts.STATES, "snoozed") == "○ snoozed"
    assert alerts.colour(alerts.STATES, "snoozed") == "gray"


@pytest.mark.parametrize(
    ("effect", "tile"), [(0.5, ("Worse by", "50.00%")), (-0.02, ("Better by", "2.00%")), ("NaN", None), (None, None)]
)
def test_the_first_tile_says_by_how_much(effect: object, tile: tuple[str, str] | None) -> None:
    found = alerts.tiles(alert(1, step=None, detail={"effect": effect}))
    assert [each[:2] for each in found] == ([tile] if tile else [])
