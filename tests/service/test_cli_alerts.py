"""`runtide alerts` and `runtide ack` on the real engine, as people call them."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from runtide import cli
from runtide_storage import Client
from runtide_storage.ids import run_key
from runtide_storage.writer import Writer
from tests.fixtures.histories import Point, Stored
from tests.fixtures.storage import Engine
from tests.fixtures.waiting import wait_until
from tests.fixtures.webhook import Webhook

DASHBOARD = "http://127.0.0.1:17702"
DETAIL = {
    "effect": 0.1234, "value": 3.21, "baseline": 2.86, "spread": 0.02, "since": 1040, "windows": 3, "n": 10,
    "early": True, "members": [f"b{i}" for i in range(10)], "nearest": "b9", "changes": {"commit": ["a" * 40, "b" * 40],
    "config": {"lr": [0.001, 0.01]}}, "z": 5.5,
}  # fmt: skip


class Shell:
    """`runtide ...` in this process, on a database of the test's own."""

    def __init__(self, database: Engine, capture: pytest.CaptureFixture[str]) -> None:
        self.writer = Writer(database.client())
        self.client = Client(database.url("reader"))
        self.capture = capture

    def __call__(self, *arguments: str, exit_code: int = 0) -> str:
        self.capture.readouterr()
        code = cli.main(arguments)
        output, errors = self.capture.readouterr()
        assert code == exit_code, f"exit {code}: {output}{errors}"
        return output if exit_code != 2 else errors

    def json(self, *arguments: str, exit_code: int = 0) -> Any:
        return json.loads(self(*arguments, "--json", exit_code=exit_code))

    def run(self, run_id: str, project: str = "llm", name: str = "gpt") -> None:
        row = {
            "run": run_key(project, run_id), "project": project, "run_id": run_id, "name": name, "group": "g",
            "job_type": "", "tags": [], "notes": "", "state": "running", "exit_code": None, "attempt": 1,
            "started_at": now_ms(), "ended_at": None, "host": "h", "version": 1,
        }  # fmt: skip
        self.writer.rows("runs", [row])

    def alert(self, id_: str, run_id: str = "r1", project: str = "llm", **fields: Any) -> str:
        row = {
            "id": id_.ljust(32, "0"), "run": run_key(project, run_id), "ts": now_ms(), "kind": "regression",
            "severity": "page", "title": f"title {id_}", "text": "since step 5", "metric": "val/loss", "step": 1200,
            "state": "open", "detail": json.dumps(DETAIL), "version": now_ms(), "incident": "", "quiet": 0,
        }  # fmt: skip
        self.writer.rows("alerts", [row | fields])
        return str(row["id"])

    def states(self) -> dict[str, str]:
        return {row["id"][:4]: row["state"] for row in self.client.alerts().to_pylist()}


def now_ms() -> int:
    return time.time_ns() // 1_000_000


@pytest.fixture
def environment(database: Engine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    given = {"": "writer", "_READER": "reader", "_ANALYST": "analyst"}
    for suffix, role in given.items():
        monkeypatch.setenv(f"RUNTIDE_CLICKHOUSE{suffix}", database.url(role))
    monkeypatch.setenv("RUNTIDE_HOME", str(tmp_path))
    monkeypatch.setenv("RUNTIDE_DASHBOARD", DASHBOARD)


@pytest.fixture
def shell(database: Engine, environment: None, capsys: pytest.CaptureFixture[str]) -> Iterator[Shell]:
    made = Shell(database, capsys)
    made.run("r1")
    made.run("r2", name="")
    yield made
    made.client.close()


def test_the_list_is_narrowed_down(shell: Shell) -> None:
    shell.alert("aaaa", ts=now_ms() - 3000)
    shell.alert("bbbb", "r2", ts=now_ms() - 2000, severity="warn")
    shell.alert("cccc", ts=now_ms() - 1000, severity="info", state="resolved")
    shell.run("r9", project="other")
    shell.alert("dddd", "r9", project="other")

    def ids(*arguments: str) -> list[str]:
        return [row["id"][:4] for row in shell.json("alerts", *arguments)["alerts"]]

    assert ids() == ["dddd", "cccc", "bbbb", "aaaa"]
    assert ids("--project", "llm") == ["cccc", "bbbb", "aaaa"]
    assert ids("--run", "llm/r2") == ids("--run", "r2") == ["bbbb"]
    assert ids("--state", "resolved") == ["cccc"]
    assert ids("--severity", "warn") == ["dddd", "bbbb", "aaaa"]  # and what is worse
    assert ids("--limit", "1") == ["dddd"]
    assert "no alerts like that" in shell("alerts", "--project", "nope")
    assert "no run 'nope'" in shell("alerts", "--run", "nope", exit_code=2)
    assert "--state" in shell("alerts", "--state", "nope", exit_code=2)


def test_a_page_is_explained(shell: Shell) -> None:
    alert = shell.alert("aaaa", title="val/loss of gpt is 12 % worse")
    shell.alert("bbbb", severity="warn")
    listed = shell("alerts")
    assert listed.count("runtide ack") == 1  # of the page only
    for text in (listed, shell("alerts", "show", "aaaa")):
        lines = {line.split()[0]: " ".join(line.split()[1:]) for line in text.splitlines() if line.startswith("  ")}
        assert "val/loss of gpt is 12 % worse" in text
        levels = "3.21 against 2.86; the baselines differ by 0.02 (1 sd) (early)"
        assert lines["effect"] == f"12.34% worse at step 1,200: {levels}"
        assert lines["since"] == "step 1,040, 3 windows in a row"
        assert lines["baselines"] == "10 runs: b4, b5, b6, b7, b8, b9 and 4 earlier"
        assert "commit aaaaaaaaaa..bbbbbbbbbb" in lines["changed"] and "lr 0.001 -> 0.01" in lines["changed"]
        assert lines["link"] == f"{DASHBOARD}/alerts?project=llm&alert={alert}"
        assert lines["compare"] == f"{DASHBOARD}/compare?project=llm&runs=r1,b2,b3,b4,b5,b6,b7,b8,b9&metrics=val%2Floss"
        assert "runtide ack aaaa0000" in text
    shown = shell.json("alerts", "show", "aaaa")
    assert shown["detail"]["z"] == 5.5 and shown["link"].endswith(alert) and shown["state"] == "open"


def test_an_alert_of_peoples_own(shell: Shell) -> None:
    shell.alert("aaaa", kind="user", metric="", step=None, detail="{}", title="hot", text="87 degrees")
    text = shell("alerts", "show", "aaaa")
    assert "hot" in text and "87 degrees" in text and "baselines" not in text
    detail = {"value": "NaN", "members": [], "nearest": "", "changes": {}, "n": 0}
    shell.alert("bbbb", kind="nan", detail=json.dumps(detail), text="loss is NaN", step=50)
    text = shell("alerts", "show", "bbbb")
    assert "at         step 50\n" in text and "changed" not in text and "effect" not in text


def test_nothing_in_a_name_repaints_the_terminal(shell: Shell) -> None:
    evil = "\x1b[31mred\x1b]0;t\x07\x9b2J"
    detail = DETAIL | {"members": [evil], "nearest": evil, "changes": {"config": {evil: [evil, evil]}}}
    shell.alert("aaaa", title=evil, text=evil, metric=evil, detail=json.dumps(detail))
    calls = (["alerts"], ["alerts", "show", "aaaa"], ["ack", "aaaa", "--reason", evil], ["alerts", "show", "aaaa"])
    for arguments in calls:
        assert not set("\x1b\x07\x9b") & set(shell(*arguments))


def test_ids_may_be_short_where_they_are_clear(shell: Shell) -> None:
    shell.alert("abcd1")
    shell.alert("abcd2")
    shell.run("abcd")
    shell.alert("ffff", "abcd")
    assert shell.json("alerts", "show", "abcd1")["id"].startswith("abcd1")
    assert "could be any of 2 alerts" in shell("alerts", "show", "abcd", exit_code=2)
    assert "there is no alert 'eeee'" in shell("alerts", "show", "eeee", exit_code=2)
    assert shell.json("ack", "abcd")["acknowledged"] == ["ffff".ljust(32, "0")]  # a run is called so
    assert "could be any of 2 alerts" in shell("ack", "abc", exit_code=2)  # though that run's id begins so, too


def test_acknowledged_is_acknowledged_once(shell: Shell) -> None:
    shell.alert("aaaa")
    shell.alert("bbbb", state="resolved")
    assert "is acknowledged now" in shell("ack", "aaaa", "--reason", "known data")
    assert "is acknowledged already" in shell("ack", "aaaa")
    assert "is resolved already" in shell("ack", "bbbb")
    assert shell.states() == {"aaaa": "acknowledged", "bbbb": "resolved"}
    [row] = shell.client.sql("SELECT count() AS n FROM alert_actions").to_pylist()
    assert row["n"] == 1
    assert "known data" in shell("alerts", "show", "aaaa")
    assert shell.json("ack", "aaaa", "--reopen") == {"open": ["aaaa".ljust(32, "0")], "unchanged": []}
    assert shell.states()["aaaa"] == "open"
    assert "there is no alert and no run 'nope'" in shell("ack", "nope", exit_code=2)


def test_a_run_stands_for_its_open_alerts(shell: Shell) -> None:
    shell.alert("aaaa")
    shell.alert("bbbb", severity="info")
    shell.alert("cccc", state="resolved")
    shell.alert("dddd", "r2")
    assert shell("ack", "llm/r1").count("is acknowledged now") == 2
    assert shell.states() == {"aaaa": "acknowledged", "bbbb": "acknowledged", "cccc": "resolved", "dddd": "open"}
    assert "llm/r1 has no alert that is open" in shell("ack", "llm/r1")


def test_mutes_come_and_go(shell: Shell) -> None:
    assert "nothing is muted" in shell("alerts", "mutes")
    first = shell.json(
        "alerts", "mute", "--project", "llm", "--metric", "val/*", "--for", "1h30m", "--reason", "moving"
    )
    second = shell.json("alerts", "mute", "--kind", "nan")
    assert first["for_s"] == 5400 and second["for_s"] is None
    rows = shell.json("alerts", "mutes")["mutes"]
    assert [(row["id"], row["metric"], row["reason"]) for row in rows] == [
        (second["id"], "", ""), (first["id"], "val/*", "moving"),
    ]  # fmt: skip
    assert first["id"] in shell("alerts", "mutes") and "moving" in shell("alerts", "mutes")
    assert shell.json("alerts", "unmute", first["id"][:6]) == {"lifted": [first["id"]]}
    assert "in force" in shell("alerts", "unmute", first["id"], exit_code=2)
    assert shell.json("alerts", "unmute", "--all") == {"lifted": [second["id"]]}
    assert shell.json("alerts", "mutes") == {"mutes": []}


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["mute"], "mute what?"),
        (["mute", "--all", "--kind", "nan"], "mute what?"),
        (["mute", "--kind", "nan", "--for", "soon"], "--for soon: expected a duration"),
        (["unmute"], "unmute what?"),
        (["unmute", "--all", "x"], "unmute what?"),
        (["test"], "RUNTIDE_NOTIFY"),
        (["replay"], "replay what?"),
        (["replay", "--rule", "> 5"], "--rule and --metric belong together"),
        (["replay", "--threshold", "4", "--metric", "m"], "--threshold stands for itself"),
        (["nope"], "nope"),
        (["show"], "ID"),
    ],
)
def test_wrong_usage_is_one_line(shell: Shell, arguments: list[str], said: str) -> None:
    line = shell("alerts", *arguments, exit_code=2)
    assert said in line and line.count("\n") == 1


def test_a_mute_of_everything(shell: Shell) -> None:
    assert "muted for 2 h 0 min" in shell("alerts", "mute", "--all", "--for", "2h")
    [row] = shell.json("alerts", "mutes")["mutes"]
    assert (row["project"], row["group"], row["metric"], row["kind"]) == ("", "", "", "")


def test_every_channel_is_tried(shell: Shell, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    with Webhook() as good, Webhook(status=500) as bad:
        monkeypatch.setenv("RUNTIDE_NOTIFY", good.at("s3cr3t-one"))
        (tmp_path / "alerts.toml").write_text(
            f"[[notify]]\nurl = '{bad.at('s3cr3t-two')}'\nlabel = 'night shift'\nseverity = 'warn'\n"
        )
        found = shell.json("alerts", "test", exit_code=1)["channels"]
        text = shell("alerts", "test", exit_code=1)
        assert len(good.received) == len(bad.received) == 2
    assert [(each["label"], each["ok"]) for each in found] == [("night shift", False), ("json", True)]
    assert "error=500" in found[0]["error"]
    assert "FAIL  night shift (from warn on)" in text and "ok    json (from page on)" in text
    assert "s3cr3t" not in text + json.dumps(found)
    assert "a test" in good.bodies[0]["title"] and DASHBOARD in good.bodies[0]["message"]


def test_following_shows_what_comes_and_what_changes(shell: Shell, environment: None) -> None:
    shell.alert("aaaa", ts=now_ms() - 5000)
    shell.alert("bbbb", ts=now_ms() - 4000)
    process = subprocess.Popen(
        [sys.executable, "-m", "runtide.cli", "alerts", "--follow", "--limit", "1", "--json"],
        env=dict(os.environ), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, bufsize=1,
    )  # fmt: skip
    seen: list[tuple[str, str, str]] = []
    try:
        assert process.stdout is not None

        def next_one() -> tuple[str, str, str]:
            row = json.loads(process.stdout.readline())  # type: ignore[union-attr]
            seen.append((row["id"][:4], row["change"], row["state"]))
            return seen[-1]

        assert next_one() == ("bbbb", "new", "open")  # of the old ones only the newest
        shell.alert("cccc")
        assert next_one() == ("cccc", "new", "open")
        shell("ack", "aaaa")
        assert next_one() == ("aaaa", "changed", "acknowledged")
        shell.alert("cccc", state="resolved", version=now_ms() + 1)
        assert next_one() == ("cccc", "changed", "resolved")
    finally:
        process.send_signal(signal.SIGINT)
        _, errors = process.communicate(timeout=20)
    assert process.returncode == 0 and "Traceback" not in errors, errors


def test_the_query_api(shell: Shell) -> None:
    shell.alert("aaaa")
    shell.alert("bbbb", severity="warn", state="resolved")
    ids = [row["id"][:4] for row in shell.client.alerts("llm", state=["open", "resolved"], severity="warn")]
    assert ids == ["bbbb"]
    assert shell.client.alert("aa")["detail"]["n"] == 10
    assert len(shell.client.alerts(run="llm/r2")) == 0
    for wrong in ({"state": "opened"}, {"severity": ["page", "bad"]}):
        with pytest.raises(Exception, match="there is no"):
            shell.client.alerts(**wrong)


def test_a_view_of_the_latest_word(shell: Shell) -> None:
    alert = shell.alert("aaaa")
    shell("ack", alert, "--reason", "one")
    shell("ack", alert, "--reopen", "--reason", "two")
    wait_until(lambda: shell.states() == {"aaaa": "open"}, 5, or_else="it is not open again")


def test_a_rule_is_tried_on_runs_that_have_ended(shell: Shell) -> None:
    for run_id, worst in (("e1", 3.0), ("e2", 9.0)):
        run = Stored(shell.writer, "llm", run_id)
        run.begin()
        points = [Point("loss", step, now_ms(), worst if step == 3 else 1.0, 1, 1000, step) for step in range(6)]
        run.batch(points, {1000: 1})
        event = {"run": run.run, "ts": now_ms() * 1_000_000, "writer": 1000, "seq": 9, "attempt": 1, "kind": "finish"}
        shell.writer.rows("run_events", [event | {"body": '{"state":"finished","exit_code":0}'}])
        shell.writer.refold([run.run])
    found = shell.json("alerts", "replay", "--rule", "> 5", "--metric", "lo*", "--project", "llm")
    assert (found["runs"], found["curves"]) == (2, 2)
    [hit] = found["hits"]
    assert (hit["run_id"], hit["metric"], [alert["step"] for alert in hit["alerts"]]) == ("e2", "loss", [3])
    text = shell("alerts", "replay", "--rule", '{"above": 5}', "--metric", "loss")
    assert "it would have fired on 1 of 2 runs, 1 times" in text and "llm/e2" in text
    assert "0 of 2 runs" in shell("alerts", "replay", "--rule", "> 50", "--metric", "loss", "--project", "llm")
    for wrong in ("over 5", '{"above": "x"}', "{nonsense"):
        assert f"--rule {wrong}: " in shell("alerts", "replay", "--rule", wrong, "--metric", "loss", exit_code=2)


def test_another_threshold_is_tried_on_healthy_runs(shell: Shell) -> None:
    assert "no healthy runs to try this on yet" in shell("alerts", "replay", "--threshold", "4")
    [found] = shell.json("alerts", "replay", "--threshold", "4", "--project", "llm")["projects"]
    assert (found["project"], found["threshold"], found["runs"]) == ("llm", 4.0, 0)
