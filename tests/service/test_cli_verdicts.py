"""`verdict`, `compare`, `gate` and `baseline` on the real engine, with runs as the worker stores them."""

import json
import xml.etree.ElementTree as ET
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from runtide import cli
from runtide_storage import Client
from runtide_storage.cohorts import Cohorts
from runtide_storage.ids import key_id, run_key
from runtide_storage.writer import Writer
from runtide_workers.alerting.config import AlertSettings
from runtide_workers.alerting.judging import judge
from runtide_workers.alerting.plans import Plan, Planner
from runtide_workers.cli import gate
from tests.fixtures.histories import START_MS, Point, Stored
from tests.fixtures.storage import Engine

HOSTILE = "<b>|`x`</b>]]> & \x1b[31m\x00 @octocat #1 [a](http://b.c) \\| *e*"
DAY_MS = 86_400_000
SEEDS = (0.98, 0.99, 1.0, 1.01, 1.02, 1.005)


class Lab:
    """A database with runs in it, and the command line to it, in this process."""

    def __init__(self, database: Engine, capsys: pytest.CaptureFixture[str]) -> None:
        self.writer = Writer(database.client())
        self.cohorts = Cohorts(database.client("reader"))
        self.client = Client(database.url("reader"))
        self._capsys = capsys
        self.made_ms = START_MS + 100 * DAY_MS
        self._day = 0

    def run(
        self,
        run_id: str,
        level: float = 1.0,
        *,
        project: str = "p",
        state: str = "finished",
        steps: int = 200,
        metrics: Sequence[str] = ("val/loss",),
        last: float | None = None,
        goals: Sequence[tuple[str, str]] = (("val/loss", "minimize"),),
        config: dict[str, Any] | None = None,
        days: int = 1,
        **row: Any,
    ) -> str:
        """A falling curve of `level` per metric, so many days after the run before. The run's reference."""
        self._day += days
        start_ms = START_MS + self._day * DAY_MS
        run = Stored(self.writer, project, run_id)
        texts = {"name": "", "group": "g", "job_type": "", "tags": [], "notes": "", "host": "h"}
        ended = None if state == "running" else start_ms + 60_000
        times = {"state": state, "started_at": start_ms, "ended_at": ended, "attempt": 1, "version": 1}
        fixed = {"run": run.run, "project": project, "run_id": run_id, "exit_code": None}
        self.writer.rows("runs", [fixed | times | texts | row])
        self.writer.rows("metrics", [{"id": key_id(metric), "name": metric} for metric in metrics])
        rng = np.random.default_rng(run.run % 2**32)
        points = []
        for place, metric in enumerate(metrics):
            values = level * (0.5 + 1 / (1 + np.arange(steps) / 20)) * np.exp(rng.normal(0, 0.002, steps))
            if last is not None:
                values[-1] = last
            points += [
                Point(metric, step, start_ms + step, float(value), 1, 1, place * steps + step)
                for step, value in enumerate(values)
            ]
        run.batch(points, {1: 1})
        defined = {"step_metric": "", "summary": "", "alert": "", "ts": 1}
        self.writer.rows("metric_defs", [{"run": run.run, "name": n, "goal": g, **defined} for n, g in goals])
        told = [("config", name, value) for name, value in (config or {"lr": 0.1}).items()]
        told += [("meta", "cpu/count", 8), ("meta", "git/commit", run_id)]
        self.writer.rows(
            "run_values",
            [
                {"run": run.run, "section": section, "name": name, "value": json.dumps(value), "number": None, "ts": 1}
                for section, name, value in told
            ],
        )
        return run.ref

    def family(self, **options: Any) -> list[str]:
        """Six finished runs that differ as seeds do."""
        return [self.run(f"base{at}", level, **options) for at, level in enumerate(SEEDS)]

    def plan(self, *refs: str) -> list[Plan]:
        """As the worker plans runs at their start."""
        planner = Planner(self.cohorts, self.writer, AlertSettings())
        return [plan for _, plan in planner.plan({run_key(*ref.split("/")): 0.0 for ref in refs}, lambda _: None)]

    def settle(self, *refs: str) -> None:
        """As the worker judges runs at their end."""
        for plan in self.plan(*refs):
            self.writer.rows("verdicts", judge(self.cohorts, plan, plan.facts.state, [], self.made_ms))

    def event(self, ref: str, kind: str, body: dict[str, Any], seq: int = 90) -> None:
        row = {"run": run_key(*ref.split("/")), "ts": START_MS * 10**6, "writer": 1, "seq": seq, "attempt": 1}
        self.writer.rows("run_events", [row | {"kind": kind, "body": json.dumps(body)}])

    def alert(self, ref: str, title: str, metric: str = "val/loss") -> None:
        row = {"id": f"a{title}", "run": run_key(*ref.split("/")), "ts": START_MS, "kind": "regression", "text": ""}
        said = {"severity": "page", "title": title, "metric": metric, "step": 5, "state": "open", "detail": "{}"}
        self.writer.rows("alerts", [row | said | {"version": 1}])

    def __call__(self, *arguments: str, expect: int = 0) -> str:
        """Run a command; what it printed."""
        code = cli.main(arguments)
        printed = self._capsys.readouterr()
        self.error = printed.err
        assert code == expect, f"exit {code}: {printed.out}{printed.err}"
        assert "\x1b" not in printed.out and "\x00" not in printed.out and printed.err.count("\n") <= 1
        return printed.out

    def json(self, *arguments: str, expect: int = 0) -> Any:
        return json.loads(self(*arguments, "--json", expect=expect))


@pytest.fixture
def lab(database: Engine, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> Lab:
    monkeypatch.setenv("RUNTIDE_CLICKHOUSE", database.url("writer"))
    for role in ("reader", "analyst"):
        monkeypatch.setenv(f"RUNTIDE_CLICKHOUSE_{role.upper()}", database.url(role))
    monkeypatch.setenv("RUNTIDE_HOME", str(tmp_path))
    return Lab(database, capsys)


@pytest.fixture
def planned(lab: Lab) -> Lab:
    """A family with plans, a good and a bad run after it, both judged."""
    members = lab.family()
    lab.plan(*members)
    good, bad = lab.run("good", 1.003), lab.run("bad", 1.3, days=0)
    lab.settle(good, bad)
    return lab


def test_a_stored_verdict_is_shown(planned: Lab) -> None:
    planned.event("p/bad", "decision", {"verdict": "drop", "reason": "lr too\x1b[31m high", "next_step": None})
    found = planned.json("verdict", "bad")
    assert (found["run"], found["verdict"], found["stored"], found["n"]) == ("p/bad", "worse", True, 6)
    assert found["effect"] == pytest.approx(0.3, abs=0.02) and found["low"] < found["effect"] < found["high"]
    assert [row["metric"] for row in found["metrics"]] == ["val/loss"]
    assert found["baseline_runs"] == [f"p/base{at}" for at in range(6)]
    assert [row["decision"] for row in found["decisions"]] == ["drop"]
    assert planned.json("verdict", "p/good")["verdict"] == "same"
    plain = planned("verdict", "bad")
    assert "p/bad: worse" in plain and "% worse" in plain and "worked out now" not in plain and "drop: lr too" in plain


def test_a_verdict_that_is_not_stored_is_worked_out(lab: Lab) -> None:
    members = lab.family()
    lab.plan(*members)
    run = lab.run("new", 1.3)
    found = lab.json("verdict", run)  # no plan: the latest finished runs of its family
    assert (found["verdict"], found["stored"], found["baseline_runs"]) == ("worse", False, members)
    assert "no verdict is stored" in lab("verdict", run)
    lab.plan(run)
    assert lab.json("verdict", run)["verdict"] == "worse"  # by its plan
    assert len(lab.client.verdicts([run])) == len(lab.client.verdicts(["p/new"])) == 0  # nothing was written
    lab.settle(run)
    stored = lab.json("verdict", run)
    assert stored["stored"] and stored["effect"] == found["effect"]


def test_the_verdict_of_an_earlier_attempt_counts_no_more(planned: Lab) -> None:
    planned.run("good", 1.3, days=200, version=2, attempt=2)  # relaunched long after its first verdict
    found = planned.json("gate", "good", expect=1)
    assert (found["verdict"], found["stored"]) == ("worse", False)


def test_verdict_of_a_run_that_goes_on_says_so(lab: Lab) -> None:
    members = lab.family()
    lab.plan(*members)
    run = lab.run("now", 1.0, state="running", steps=100)
    assert "same so far" in lab("verdict", run)


def test_gate_exit_codes(planned: Lab) -> None:
    planned("gate", "good")
    assert planned.json("gate", "good")["exit_code"] == 0
    planned("gate", "bad", expect=1)
    assert planned.json("gate", "bad", expect=1)["exit_code"] == 1
    planned.run("alone", project="q")
    assert planned.json("gate", "q/alone", expect=2)["verdict"] == "no baseline"
    planned("gate", "nobody", expect=2)
    assert "there is no run" in planned.error
    planned.run("on", state="running")
    planned("gate", "on", expect=2)
    assert "still runs" in planned.error and "--wait" in planned.error
    planned("gate", "good", "--metric", "nope", expect=2)
    assert "has no metric nope; it has val/loss" in planned.error


def test_gate_without_clickhouse(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RUNTIDE_CLICKHOUSE_READER", "http://reader:x@127.0.0.1:9/runtide")
    lab("gate", "p/r", expect=3)
    assert "runtide up" in lab.error


@pytest.mark.parametrize("state", ["failed", "killed"])
def test_a_run_that_did_not_end_well_does_not_pass(planned: Lab, state: str) -> None:
    run = planned.run("broken", 0.5, state=state)
    assert state in planned.json("gate", run, expect=1)["reason"]


def test_a_run_that_ends_in_nan_does_not_pass(planned: Lab) -> None:
    run = planned.run("nan", 1.0, last=float("nan"))
    assert "ends in NaN" in planned.json("gate", run, expect=1)["reason"]


def test_an_open_alert_does_not_pass(planned: Lab) -> None:
    run = planned.run("alarmed", 1.0)
    assert planned.json("gate", run)["verdict"] == "same"
    planned.alert(run, "slower than ever", metric="speed")
    assert "slower than ever" in planned.json("gate", run, expect=1)["reason"]
    planned("gate", run, "--metric", "val/loss")  # judged alone
    planned.writer.rows(
        "alert_actions", [{"id": "aslower than ever", "action": "acknowledge", "who": "", "reason": "", "at": START_MS}]
    )
    planned("gate", run)


def test_gate_against_other_baselines(lab: Lab) -> None:
    members = lab.family(tags=["ref"])
    better = [lab.run(f"alt{at}", 0.5 * level, group="alt") for at, level in enumerate(SEEDS)]
    for member in better[:4]:
        lab.event(member, "artifact", {"name": "m", "aliases": ["best", "v2"]})
    lab.event(better[5], "artifact", {"name": "m", "aliases": ["other"]})
    run = lab.run("new", 1.0, tags=["ref"])  # carries the tag itself: never its own baseline

    def members_of(*given: str, expect: int = 0) -> list[str]:
        options = [part for each in given for part in ("--baseline", each)]
        found: list[str] = lab.json("gate", run, *options, expect=expect)["baseline_runs"]
        return found

    assert members_of("tag:ref") == members
    assert members_of("group:alt", expect=1) == better
    assert members_of("alias:best", expect=1) == better[:4]
    assert members_of("base0,base1", "p/base2") == members[:3]
    assert members_of("alias:other,tag:ref") == [*members, better[5]]  # one of another kind does not decide
    lab("gate", run, "--baseline", "base0", expect=2)  # one says little
    assert "give 3 or more" in lab("gate", run, "--baseline", "alt0", expect=2)
    for nothing in ("tag:none", "group:none", "alias:none", "new", "alias:", ","):
        lab("gate", run, "--baseline", nothing, expect=2)
        assert "no run to compare with" in lab.error
    lab("gate", run, "--baseline", "nobody", expect=2)
    assert "there is no run" in lab.error


def test_a_group_without_runs_that_alarmed_or_are_excluded(lab: Lab) -> None:
    members = lab.family(group="main")
    run = lab.run("new", 1.0)
    lab.alert(members[0], "bad")
    lab("baseline", "exclude", members[1], "--group", "g")
    assert lab.json("gate", run, "--baseline", "group:main")["baseline_runs"] == members[2:]
    lab("baseline", "accept", members[0], "--group", "g")
    assert lab.json("gate", run, "--baseline", "group:main")["baseline_runs"] == [members[0], *members[2:]]


def test_gate_on_chosen_metrics(lab: Lab) -> None:
    two = ("acc", "val/loss", "odd")
    goals = (("val/loss", "minimize"), ("acc", "maximize"))
    members = lab.family(metrics=two, goals=goals)
    lab.plan(*members)
    run = lab.run("up", 1.3, metrics=two, goals=goals)  # loss is worse, accuracy better
    lab.settle(run)
    assert lab.json("gate", run, expect=1)["verdict"] == "worse"  # the loss is the primary metric
    found = lab.json("gate", run, "--metric", "acc")
    assert (found["verdict"], [row["metric"] for row in found["metrics"]]) == ("better", ["acc"])
    assert lab.json("gate", run, "--metric", "acc", "--metric", "val/*", expect=1)["verdict"] == "worse"
    lab("gate", run, "--metric", "odd", expect=2)
    assert "no goal" in lab.error
    alone = lab.run("other", 1.0, metrics=("f1",), goals=())  # its baselines have none: can't tell
    assert lab.json("gate", alone, "--metric", "f1", expect=2)["metrics"][0]["verdict"] == "no baseline"


def test_metrics_of_a_few_points_are_compared_by_their_last_value(lab: Lab) -> None:
    members = lab.family(steps=2)
    run = lab.run("new", 1.5, steps=2)
    found = lab.json("gate", run, "--baseline", ",".join(members), expect=1)
    assert found["n"] == 6 and found["effect"] == pytest.approx(0.5, abs=0.03)


def test_gate_waits_for_the_end_and_the_verdict() -> None:
    """No clock but the test's own."""
    now_s, said = [0.0], [{"state": "running"}, {"state": "running"}, {"state": "finished"}]

    class Comparer:
        stored_from_s = 8.0

        @property
        def client(self) -> Any:
            return self

        def run(self, ref: str) -> Any:
            return said[min(int(now_s[0]), len(said) - 1)]

        def stored(self, run: Any) -> Any:
            return object() if now_s[0] >= self.stored_from_s else None

    def wait(wait_s: float, needs_stored: bool, stored_from_s: float = 8.0) -> tuple[str, float]:
        now_s[0] = 0.0
        comparer: Any = Comparer()
        comparer.stored_from_s = stored_from_s
        sleep: Callable[[float], None] = lambda s: now_s.__setitem__(0, now_s[0] + s)  # noqa: E731
        run = gate._ended(comparer, "r", wait_s, needs_stored=needs_stored, clock=lambda: now_s[0], sleep=sleep)
        return run["state"], now_s[0]

    assert wait(0, True) == ("running", 0.0)
    assert wait(1.5, True) == ("running", 1.5)
    assert wait(60, False) == ("finished", 2.0)
    assert wait(60, True) == ("finished", 8.0)
    assert wait(60, True, stored_from_s=1e9) == ("finished", 2.0 + gate.STORED_WAIT_S)
    assert wait(5, True) == ("finished", 5.0)


def test_reports_of_hostile_names(lab: Lab, tmp_path: Path) -> None:
    metric = "m|`<i>`]]>&\\|@x"
    goals = ((metric, "minimize"),)
    members = lab.family(metrics=(metric,), goals=goals, name=HOSTILE)
    run = lab.run("new", 1.5, metrics=(metric,), goals=goals, name=HOSTILE)
    xml, md = tmp_path / "deep" / "gate.xml", tmp_path / "gate.md"
    options = ["--baseline", ",".join(members), "--junit", str(xml), "--markdown", str(md)]
    lab("gate", run, *options, expect=1)

    root = ET.fromstring(xml.read_text(encoding="utf-8"))
    assert (root.tag, root.get("tests"), root.get("failures"), root.get("skipped")) == ("testsuites", "2", "2", "0")
    cases = root.findall("testsuite/testcase")
    assert [case.get("name") for case in cases] == [metric, "the whole run"]
    assert all("% worse than 6 baseline runs" in (case.find("failure").get("message") or "") for case in cases)  # type: ignore[union-attr]
    names = {each.get("name"): each.get("value") for each in root.findall("testsuite/properties/property")}
    assert names["name"] == HOSTILE.replace("\x1b", "\ufffd").replace("\x00", "\ufffd")

    lines = md.read_text(encoding="utf-8").splitlines()
    rows = [line for line in lines if line.startswith("|")]
    assert len(rows) == 3 and all(line.count("|") == 8 for line in rows)  # 7 columns, whatever is in them
    assert "<code>m&#124;&#96;&#60;i&#62;&#96;&#93;&#93;&#62;&#38;&#92;&#124;&#64;x</code>" in rows[2]
    body = "\n".join(lines)
    tags = {part.partition(">")[0] for part in body.split("<")[1:]}
    assert tags <= {"code", "/code", "sub", "/sub"} and "`" not in body and "@" not in body
    assert lab("gate", run, "--baseline", ",".join(members), "--markdown", "-", expect=1) == md.read_text()


def test_reports_of_a_run_that_passes_and_of_one_without_baseline(planned: Lab, tmp_path: Path) -> None:
    xml = tmp_path / "gate.xml"
    planned("gate", "good", "--junit", str(xml))
    suite = ET.fromstring(xml.read_text()).find("testsuite")
    assert suite is not None
    assert [suite.get(name) for name in ("tests", "failures", "skipped")] == ["2", "0", "0"]
    assert all(case.find("system-out") is not None for case in suite.findall("testcase"))
    planned.run("alone", project="q")
    planned("gate", "q/alone", "--junit", str(xml), "--markdown", str(tmp_path / "m"), expect=2)
    assert ET.fromstring(xml.read_text()).get("skipped") == "1"
    assert "no baseline" in (tmp_path / "m").read_text()
    planned("gate", "good", "--json", "--markdown", "-", expect=2)
    planned("gate", "good", "--junit", "-", "--markdown", "-", expect=2)
    assert ET.fromstring(planned("gate", "good", "--junit", "-")).tag == "testsuites"


def test_compare_puts_runs_side_by_side(planned: Lab) -> None:
    planned.run("other", 0.9, config={"lr": 0.2, "depth": 3}, metrics=("val/loss", "system/cpu"))
    planned.settle("p/other")
    found = planned.json("compare", "good", "other")
    assert [each["run_id"] for each in found["runs"]] == ["good", "other"]
    assert [each["verdict"]["verdict"] for each in found["runs"]] == ["same", "better"]
    assert {each["name"]: each["values"] for each in found["config"]} == {
        "depth": [None, 3], "lr": [0.1, 0.2], "meta.git/commit": ["good", "other"],
    }  # fmt: skip
    by_metric = {each["metric"]: each["runs"] for each in found["metrics"]}
    assert list(by_metric) == ["val/loss", "system/cpu"]
    assert by_metric["val/loss"][1]["best"] < by_metric["val/loss"][0]["best"] and by_metric["system/cpu"][0] is None
    plain = planned("compare", "good", "other")
    assert all(word in plain for word in ("p/good", "p/other", "they differ in", "lr", "val/loss", "% better"))


def test_compare_against_a_baseline(planned: Lab) -> None:
    found = planned.json("compare", "bad", "good", "--baseline", "base0,base1,base2", "--metric", "val/loss")
    assert [each["verdict"]["verdict"] for each in found["runs"]] == ["worse", "same"]
    assert found["runs"][0]["verdict"]["baseline_runs"] == ["p/base0", "p/base1", "p/base2"]
    planned("compare", "bad", "--metric", "nope", expect=2)
    planned("compare", *[f"r{at}" for at in range(21)], expect=2)


def test_compare_of_hostile_names(lab: Lab) -> None:
    lab.run("a", name=HOSTILE, tags=[HOSTILE], metrics=(HOSTILE,), goals=(), config={HOSTILE: HOSTILE})
    lab.run("b")
    assert "[a](http://b.c)" in lab("compare", "a", "b")
    assert lab.json("compare", "a", "b")["runs"][0]["name"] == HOSTILE


def test_baseline_of_a_run(planned: Lab) -> None:
    [found] = planned.json("baseline", "show", "bad")["baselines"]
    assert [member["run"] for member in found["members"]] == [f"p/base{at}" for at in range(6)]
    assert found["fields"]["group"] == "g" and found["primary"] == "val/loss"
    [metric] = found["metrics"]
    assert (metric["n"], metric["wild"], metric["alarms"], metric["tested"]) == (6, [], 0, 6)
    assert [each["step"] for each in metric["levels"]] == sorted(each["step"] for each in metric["levels"])
    assert metric["levels"][-1]["mean"] == pytest.approx(0.6, abs=0.05)
    assert metric["levels"][0]["low"] < metric["levels"][0]["mean"] < metric["levels"][0]["high"]
    assert found["calibration"] == {"runs": 6, "paged": 0, "alarmed": 0}
    plain = planned("baseline", "show", "bad")
    assert "on your last 6 healthy runs" in plain and "would have alarmed 0 times" in plain and "p/base3" in plain


def test_baseline_of_the_next_run(planned: Lab) -> None:
    [found] = planned.json("baseline", "show", "--project", "p")["baselines"]
    assert [member["run"] for member in found["members"]][-2:] == ["p/good", "p/bad"]  # no alert was raised on it
    planned("baseline", "exclude", "bad", "--reason", "bad \x1b[31midea")
    [found] = planned.json("baseline", "show", "--project", "p", "--group", "g")["baselines"]
    assert "p/bad" not in [member["run"] for member in found["members"]]
    assert [(mark["kind"], mark["value"]) for mark in found["marks"]] == [("exclude", "bad")]
    assert "excluded: bad" in planned("baseline", "show", "--project", "p")
    planned("baseline", "include", "bad")
    [found] = planned.json("baseline", "show", "--project", "p")["baselines"]
    assert "p/bad" in [member["run"] for member in found["members"]] and found["marks"] == []
    assert planned.json("baseline", "show", "--project", "p", "--group", "none")["baselines"] == []
    planned("baseline", "show", "--project", "p", "--metric", "nope", expect=2)
    assert "there is one for val/loss" in planned.error
    planned("baseline", "show", expect=2)
    assert "--project" in planned.error
    planned.plan(planned.run("first", project="q"))
    assert "no baseline yet: 1 of the 3 runs" in planned("baseline", "show", "--project", "q")


def test_pins_replace_the_latest_runs(planned: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    planned.run("tagged", 2.0, tags=["ref"], group="elsewhere")
    planned.event("p/base4", "artifact", {"name": "m", "aliases": ["best"]})
    monkeypatch.setenv("RUNTIDE_PROJECT", "p")

    def members() -> list[str]:
        [found] = planned.json("baseline", "show", "--group", "g")["baselines"]
        return [member["run"] for member in found["members"]]

    assert planned.json("baseline", "pin", "base1", "--reason", "r")["group"] == "g"
    planned("baseline", "pin", "tag:ref", "--group", "g")
    planned("baseline", "pin", "alias:best", "--group", "g")
    assert members() == ["p/base1", "p/base4", "p/tagged"]
    planned("baseline", "unpin", "tag:ref", "--group", "g")
    planned("baseline", "unpin", "base1")
    assert members() == ["p/base4"]
    planned("baseline", "unpin", "alias:best", "--group", "g")
    assert len(members()) == 8
    assert planned.client.marks("p").to_pylist() == []
    planned("baseline", "pin", "tag:", expect=2)
    planned("baseline", "pin", "nobody", expect=2)


def test_marks_only_count_for_their_group_and_who_set_them_is_known(lab: Lab) -> None:
    lab.run("r", name=HOSTILE, group="a")
    lab("baseline", "accept", "r", "--group", "b", "--reason", HOSTILE)
    [mark] = lab.client.marks("p")
    assert (mark["group"], mark["kind"], mark["value"], mark["reason"]) == ("b", "accept", "r", HOSTILE)
    assert len(lab.client.marks("q")) == 0 and len(lab.client.marks()) == 1


def test_plans_and_baselines_through_the_client(planned: Lab) -> None:
    [plan] = planned.client.plans(["bad"]).to_pylist()
    assert plan["members"] == [f"base{at}" for at in range(6)]
    assert len(planned.client.plans(project="p")) == 8 and len(planned.client.plans([])) == 0
    rows = planned.client.baselines(project="p").to_pylist()
    assert rows and len(rows) == len(planned.client.baselines(plan["family"]))
    assert {row["family"] for row in rows} == {plan["family"]}
    row = next(row for row in rows if row["aspect"] == "value" and len(row["members"]) == 6)
    assert sorted(row["members"]) == [f"base{at}" for at in range(6)] and len(row["curves"]) == 6
    assert len(planned.client.baselines("00")) == len(planned.client.baselines(project="q")) == 0
    assert {row["metric"] for row in planned.client.verdicts(project="p")} == {"", "val/loss"}


def test_points_of_a_wild_member_are_named(lab: Lab) -> None:
    members = [*lab.family(), lab.run("wild", 30.0)]
    lab.plan(*members)
    run = lab.run("new", 1.0)
    lab.plan(run)
    [found] = lab.json("baseline", "show", run)["baselines"]
    assert found["metrics"][0]["wild"] == ["wild"]
    assert {each["run"]: each["wild"] for each in found["members"]}["p/wild"] == ["val/loss"]
    assert found["metrics"][0]["tested"] == found["calibration"]["runs"] == 6  # the wild one is none of the healthy
    assert "left out" in lab("baseline", "show", run)
