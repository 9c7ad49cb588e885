"""The page of one run: each part, what it says when it is empty, and what a run said of itself in words."""

import json
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest

from runtide_dashboard import notebook
from runtide_storage.errors import Unreachable
from runtide_storage.lineage import Item
from tests.fixtures.pages import HOSTILE, NOW, Storage, answered, drawn, open_page, words


@pytest.fixture
def storage(monkeypatch: pytest.MonkeyPatch) -> Iterator[Storage]:
    yield from answered(monkeypatch)


def event(kind: str, body: dict[str, Any], attempt: int = 1) -> dict[str, Any]:
    return {"ts": NOW, "attempt": attempt, "kind": kind, "body": json.dumps(body)}


def said(kind: str, **body: Any) -> str:
    [moment] = notebook.timeline([event(kind, body)])
    return moment.text


def test_without_a_word_the_newest_run_is_shown(storage: Storage) -> None:
    app = open_page("run")
    assert app.selectbox(key="_run").value == "llm/r11"
    _, [label], panels = drawn(app)
    assert label.name == "gpt-11"
    assert [panel.title for panel in panels] == ["eval/accuracy", "train/loss"]  # the machine's are in System


def test_the_machine_has_a_part_of_its_own(storage: Storage) -> None:
    _, _, panels = drawn(open_page("run", run="r2", section="system"))
    assert [panel.title for panel in panels] == ["system/cpu"]


def test_every_process_of_every_attempt_is_listed(storage: Storage) -> None:
    assert "No process has been heard of" in words(open_page("run", run="r2", section="processes"))
    storage.processes = [
        {"attempt": 2, "rank": rank, "host": HOSTILE, "pid": 7, "started_at": NOW, "seen_at": None, "lines": 9}
        for rank in (0, 1)
    ]
    app = open_page("run", run="r2", section="processes")
    assert list(app.dataframe[0].value["rank"]) == [0, 1] and "2 processes in 1 attempt" in words(app)


def test_data_and_artifacts_lead_to_the_other_runs(storage: Storage) -> None:
    assert "It said nothing of data or artifacts" in words(open_page("run", run="r2", section="data"))
    made = Item("output", "net", "", "blake2b:" + "a" * 40, "model", 3_400_000, 1, "/m/net", ("best",), NOW, "",
                tuple(f"llm/r{i}" for i in range(3, 11)))  # fmt: skip
    storage.lineage = [
        replace(made, role="dataset", name=HOSTILE, version="v2", used_by=()),
        replace(made, role="input", name="base:v1", made_by="llm/r1", used_by=("llm/r5",)),
        made,
    ]
    app = open_page("run", run="r2", section="data")
    text = words(app)
    assert "Used" in text and "Made" in text and HOSTILE not in text and "also called best · 3.4 MB" in text
    links = [link.proto.label for link in app.get("page_link")]
    assert links.count("r1") == 1 and links.count("r5") == 2 and "Compare all 2" in links and "Compare all 9" in links
    assert "r9" not in links  # six are named, the rest is in the comparison


def test_a_run_that_does_not_exist_is_named(storage: Storage) -> None:
    assert "There is no run gone here" in words(open_page("run", run="gone"))
    assert r"There is no run \<img src\=x" in words(open_page("run", run=HOSTILE))  # and Markdown shows it as text


def test_only_what_is_looked_at_is_asked_for(storage: Storage) -> None:
    open_page("run", run="r2")
    storage.asked.clear()
    app = open_page("run", run="r2", section="config")
    assert not app.get("bidi_component")
    [table] = app.dataframe
    assert dict(zip(table.value["name"], table.value["value"], strict=True)) == {"lr": "0", "same": "1"}
    assert (("llm/r2",), "config") in storage.asked and ("llm/r2",) not in storage.asked  # neither its events


def test_the_summary_has_every_metric_and_what_the_run_wrote(storage: Storage) -> None:
    storage.values["summary"] = {"verdict": "good", HOSTILE: [1]}
    metrics, written = open_page("run", run="r2", section="summary").dataframe
    assert list(metrics.value["metric"]) == ["eval/accuracy", "train/loss", "system/cpu"]
    assert list(metrics.value["last"]) == [3.0, 3.0, 3.0]
    assert dict(zip(written.value["name"], written.value["value"], strict=True)) == {"verdict": "good", HOSTILE: "[1]"}


def test_the_timeline_can_be_narrowed(storage: Storage) -> None:
    storage.events = [
        event("start", {"name": "x"}), event("heartbeat", {}), event("note", {"text": HOSTILE}, 2),
        event("finish", {"state": "failed", "error": "boom"}, 2),
    ]  # fmt: skip
    [table] = open_page("run", run="r2", section="timeline").dataframe
    assert list(table.value["what"]) == ["start", "note", "finish"]
    assert list(table.value["attempt"]) == [1, 2, 2]
    app = open_page("run", run="r2", section="timeline", kinds=["note", "no such kind"])
    assert list(app.dataframe[0].value["said"]) == [HOSTILE]
    assert "<img" not in words(app)


def test_the_capture_says_how_to_run_it_again(storage: Storage) -> None:
    storage.values["meta"] = {
        "argv": ["train.py", "--name", "a b"], "git/commit": "abc", "git/diff": "--- a\n+++ b\n", "cwd": "/there",
        "packages": {"numpy": "2"},
    }  # fmt: skip
    app = open_page("run", run="r2", section="capture")
    again, diff = (code.value for code in app.code)
    assert again.splitlines()[0] == "git checkout abc" and again.endswith("python train.py --name 'a b'")
    assert diff.startswith("--- a")
    assert [list(table.value["name"]) for table in app.dataframe] == [["cwd", "git/commit"], ["numpy"]]


@pytest.mark.parametrize(
    ("section", "sentence"),
    [
        ("curves", "has not logged a metric yet"),
        ("system", "Nothing was recorded of the machine"),
        ("summary", "Nothing yet"),
        ("capture", "Nothing was captured"),
        ("alerts", "No alert of this run"),
    ],
)
def test_an_empty_part_says_why(storage: Storage, section: str, sentence: str) -> None:
    storage.metrics = ()
    assert sentence in words(open_page("run", run="r2", section=section))


def test_an_empty_store_and_a_database_that_is_down_say_what_to_do(storage: Storage) -> None:
    runs, storage.runs = storage.runs, []
    assert "No runs yet" in words(open_page("run"))
    storage.runs = runs
    storage.error = Unreachable("ClickHouse can't be reached")
    assert "The database doesn't answer" in words(open_page("run", run="r2"))


def test_a_live_run_is_followed(storage: Storage) -> None:
    storage.runs[2] = replace(storage.runs[2], state="running", ended_at=None)
    _, [label], _ = drawn(open_page("run", run="r2"))
    assert label.state == "running"


def test_events_in_words() -> None:
    assert said("decision", verdict="keep", reason="lower loss", next_step="lr 3e-4") == (
        "keep · lower loss · next: lr 3e-4"
    )
    assert said("decision", verdict="drop") == "drop"
    assert said("decision", verdict="drop", hypothesis="warmup helps", against=[]) == "expected: warmup helps · drop"
    assert said("alert", title="NaN", text="at 5") == "NaN: at 5"
    assert said("tags", tags=["a", "b"]) == "a, b"
    assert said("end", state="killed") == "killed"
    assert said("drops", count=3, reason="too long") == "3 events were refused: too long"
    assert said("artifact", name="model", version=2, aliases=[]) == "name: model · version: 2"
    assert said("of_a_later_version", x={"y": 1}) == 'x: {"y": 1}'
    assert said("tags", tags="odd") == "odd"
