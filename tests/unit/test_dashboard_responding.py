"""Acknowledging and muting from the page of an alert."""

from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from fnmatch import fnmatchcase
from typing import Any

import pytest
from streamlit.testing.v1 import AppTest

from runtide_dashboard import data, responding
from runtide_storage.errors import Unreachable
from tests.fixtures.pages import HOSTILE, NOW, Storage, alert, answered, open_page, words

ALERT = "c" * 32
REASON = f"respond_reason_{ALERT}_open"
MUTE = {
    "id": "0a1b2c3d", "project": "llm", "group": "", "metric": "train/*", "kind": "regression", "until": None,
    "who": "bob", "reason": "known", "at": NOW,
}  # fmt: skip


class Table:
    """What was written, or why nothing could be."""

    def __init__(self) -> None:
        self.written: list[tuple[str, dict[str, Any]]] = []
        self.error: Exception | None = None

    def rows(self, table: str, rows: Sequence[Mapping[str, Any]]) -> None:
        if self.error:
            raise self.error
        self.written += [(table, dict(row)) for row in rows]


@pytest.fixture
def storage(monkeypatch: pytest.MonkeyPatch) -> Iterator[Storage]:
    for fake in answered(monkeypatch):
        fake.alerts = [alert("r11", "train/loss", id=ALERT, ts=NOW)]
        for question in ("alerts", "alert", "alerts_of", "mutes"):  # the page empties their caches
            getattr(data, question).clear = lambda: None
        yield fake


@pytest.fixture
def table(monkeypatch: pytest.MonkeyPatch) -> Table:
    made = Table()
    monkeypatch.setenv("RUNTIDE_CLICKHOUSE_RESPONDER", "http://responder:x@127.0.0.1:1/runtide")
    monkeypatch.setattr(responding, "_table", lambda url: made)
    return made


def press(app: AppTest, label: str) -> None:
    [button] = [each for each in app.button if each.label == label]
    button.click().run()
    assert not app.exception


def test_without_the_user_the_command_is_named(storage: Storage, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("RUNTIDE_CLICKHOUSE_RESPONDER", raising=False)
    app = open_page("alerts", alert=ALERT)
    assert f"runtide ack {ALERT[:8]}" in words(app) and not [each for each in app.button if each.label == "Acknowledge"]


def test_an_alert_is_acknowledged_by_somebody(storage: Storage, table: Table) -> None:
    app = open_page("alerts", alert=ALERT)
    press(app, "Acknowledge")
    assert "Say who you are" in words(app) and table.written == []
    app.text_input(key="respond_who").input(" ada ")
    app.text_input(key=REASON).input("known")
    press(app, "Acknowledge")
    [(name, row)] = table.written
    assert name == "alert_actions"
    assert {key: row[key] for key in ("id", "action", "who", "reason")} == {
        "id": ALERT, "action": "acknowledge", "who": "ada", "reason": "known",
    }  # fmt: skip


def test_it_is_reopened(storage: Storage, table: Table) -> None:
    storage.alerts = [alert("r11", "train/loss", id=ALERT, ts=NOW, state="acknowledged")]
    app = open_page("alerts", alert=ALERT)
    app.text_input(key="respond_who").input("ada")
    press(app, "Reopen")
    assert [row["action"] for _, row in table.written] == ["reopen"]


@pytest.mark.parametrize(
    ("choice", "expected"),
    [(0, ("g", "train/loss", "regression")), (1, ("", "train/loss", "regression")), (2, ("", "", "regression"))],
)
def test_its_like_are_muted(storage: Storage, table: Table, choice: int, expected: tuple[str, str, str]) -> None:
    app = open_page("alerts", alert=ALERT)
    what = app.radio(key="mute_what")
    what.set_value(what.options[choice])
    app.radio(key="mute_span").set_value("1 day")
    app.text_input(key="mute_who").input("ada")
    press(app, "Mute")
    [(name, row)] = table.written
    assert name == "mutes" and row["until"] - row["at"] == 24 * 3600 * 1000
    assert (row["group"], row["metric"], row["kind"]) == expected and row["project"] == "llm"


def test_a_name_is_muted_as_it_is_and_not_as_a_pattern(storage: Storage, table: Table) -> None:
    storage.alerts = [alert("r11", "loss[0]*", id=ALERT, ts=NOW)]
    app = open_page("alerts", alert=ALERT)
    app.text_input(key="mute_who").input("ada")
    press(app, "Mute")
    [(_, row)] = table.written
    assert fnmatchcase("loss[0]*", row["metric"]) and not fnmatchcase("loss0x", row["metric"])


def test_what_could_not_be_written_is_said(storage: Storage, table: Table) -> None:
    table.error = Unreachable("ClickHouse is away")
    app = open_page("alerts", alert=ALERT)
    app.text_input(key="respond_who").input("ada")
    app.text_input(key=REASON).input("typed with care")
    press(app, "Acknowledge")
    assert "It was not written: ClickHouse is away" in words(app)
    assert app.text_input(key=REASON).value == "typed with care"


def test_the_reason_for_one_alert_is_not_put_forward_for_the_next(storage: Storage, table: Table) -> None:
    other = "e" * 32
    app = open_page("alerts", alert=ALERT)
    what = app.radio(key="mute_what")
    what.set_value(what.options[1])
    app.text_input(key="respond_who").input("ada")
    app.text_input(key=REASON).input("known")
    press(app, "Acknowledge")
    storage.alerts = [alert("r11", "eval/accuracy", id=other, ts=NOW)]
    app.query_params["alert"] = other
    app.run()
    assert not app.exception
    assert app.text_input(key=f"respond_reason_{other}_open").value == ""
    assert app.text_input(key="respond_who").value == app.text_input(key="mute_who").value == "ada"
    press(app, "Mute")
    assert table.written[-1][1]["metric"] == "eval/accuracy"


def test_what_is_muted_is_listed_and_lifted(storage: Storage, table: Table) -> None:
    until = datetime.now(UTC) + timedelta(hours=2, seconds=20)
    everywhere = {"id": "e", "project": "", "metric": "", "kind": "", "until": until, "reason": ""}
    storage.mutes = [MUTE, MUTE | everywhere, MUTE | {"id": "f", "project": "vision"}]
    app = open_page("alerts")
    text = words(app)
    assert "train/\\* regression in every group" in text and "until lifted · by bob · known" in text
    assert "every alert in every project" in text and "for 2 h · by bob" in text
    app.button(key="lift_0a1b2c3d").click().run()
    assert "Say who you are" in words(app) and table.written == []
    app.text_input(key="lift_who").input("ada").run()
    app.button(key="lift_0a1b2c3d").click().run()
    assert not app.exception
    [(name, row)] = table.written
    assert name == "mutes" and (row["id"], row["active"], row["who"], row["metric"]) == (
        MUTE["id"],
        0,
        "ada",
        "train/*",
    )


def test_without_the_user_a_mute_names_the_command(storage: Storage, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("RUNTIDE_CLICKHOUSE_RESPONDER", raising=False)
    storage.mutes = [MUTE | {"metric": HOSTILE, "who": HOSTILE, "reason": HOSTILE}]
    app = open_page("alerts")
    assert "runtide alerts unmute 0a1b2c3d" in words(app) and HOSTILE not in words(app)
    assert not [each for each in app.button if each.label == "Lift"]
