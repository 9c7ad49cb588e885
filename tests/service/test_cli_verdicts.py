"""`verdict` and `gate` on the real engine, with runs as the worker stores them."""

import xml.etree.ElementTree as ET
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from runtide_workers.cli import gate
from tests.fixtures.histories import START_MS
from tests.fixtures.lab import HOSTILE, SEEDS, Lab


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
