"""`compare` and `baseline` on the real engine, with runs as the worker stores them."""

import pytest

from tests.fixtures.lab import HOSTILE, Lab


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
