"""Runs are planned, followed, alarmed and judged, on a real ClickHouse."""

from dataclasses import replace
from typing import Any

import orjson
import pytest

from runtide_storage.ids import run_key
from runtide_workers.alerting import judging, stored
from runtide_workers.alerting import lookout as lookout_module
from runtide_workers.alerting.config import AlertSettings, ProjectSettings, RuleSettings
from tests.fixtures.families import T0_NS, Training, family
from tests.fixtures.lookouts import Watch
from tests.fixtures.messages import Message, head, message
from tests.fixtures.storage import Engine


@pytest.fixture(autouse=True)
def _without_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lookout_module, "PLAN_PERIOD_S", 0.0)


@pytest.fixture
def watch(database: Engine) -> Watch:
    """With eight healthy runs behind it."""
    watch = Watch(database)
    for training in family(8):
        watch.train([training])
    return watch


def live(name: str, seed: int, **changes: Any) -> Training:
    return replace(Training(name, seed, start_ns=T0_NS), **changes)


def started_at(made: Message, start_ns: int) -> Message:
    return head(made, lambda header: {**header, "start": start_ns})


def test_a_family_and_its_black_sheep(watch: Watch) -> None:
    watch.train(
        [
            live("ok1", 1), live("ok2", 2), live("bad", 3, worse=1.3, config={"lr": 0.9, "batch_size": 32}),
            live("nan", 4, nan_at=200), live("slow", 5, step_s=0.13), live("good", 6, worse=0.8),
            live("failed", 7, exit_code=1),
        ]
    )  # fmt: skip
    found = watch.found()
    assert {run for run, *_ in found} == {"bad", "nan", "slow"}
    assert ("nan", "val/loss", "nan", "page") in found
    assert ("slow", "val/loss", "throughput", "warn") in found
    assert watch.verdicts() == {
        **{f"base{i}": "no baseline" for i in range(3)}, **{f"base{i}": "same" for i in range(3, 8)},
        "ok1": "same", "ok2": "same", "bad": "worse", "nan": "worse", "slow": "same", "good": "better",
        "failed": "worse",
    }  # fmt: skip
    [told] = watch.alerts(run_id="bad", severity="page", metric="val/loss")
    detail = orjson.loads(told["detail"])
    assert detail["primary"] and detail["changes"]["config"] == {"lr": [0.1, 0.9]} and len(detail["members"]) == 8
    assert 0.2 < detail["effect"] < 0.5 and "config.lr 0.1 -> 0.9" in told["text"]
    sent = [orjson.loads(each.value) for each in watch.published if each.topic == "runtide.alerts"]
    assert {row["id"] for row in sent} == {row["id"] for row in watch.alerts()}


def test_the_alarm_comes_while_the_run_goes_on(watch: Watch) -> None:
    lines = list(live("bad", 3, worse=1.3, onset=0.3).messages(per_message=20, ends=False))
    seen = []
    for some in lines:
        watch.store([some])
        watch.settle()
        seen.append(bool(watch.alerts(run_id="bad", severity="page")))
    first = seen.index(True)
    assert 120 // 20 <= first < len(lines) // 2


def test_the_first_runs_of_a_project_have_what_needs_no_baseline(database: Engine) -> None:
    watch = Watch(database)
    watch.train([live("first", 1, nan_at=50), live("other", 2)])
    assert watch.found() == {("first", "val/loss", "nan", "page")}


def test_whom_a_run_is_compared_with_is_fixed_at_its_start(watch: Watch) -> None:
    watch.store(list(live("early", 1).messages())[:2])
    watch.settle()
    later = family(3, "later", start_ns=T0_NS - 3600 * 10**9)
    watch.train([replace(each, seed=50 + i) for i, each in enumerate(later)])
    assert watch.members()["early"] == [f"base{i}" for i in range(8)]
    watch.train([live("late", 2)])
    assert set(watch.members()["late"]) == {f"base{i}" for i in range(8)} | {f"later{i}" for i in range(3)}


def test_other_hardware_is_another_family(watch: Watch) -> None:
    elsewhere = live("elsewhere", 1, worse=1.5, config={"lr": 0.1, "batch_size": 64})
    watch.train([elsewhere])
    assert watch.members()["elsewhere"] == [] and watch.verdicts()["elsewhere"] == "no baseline"
    assert watch.found() == set()


def test_an_alarmed_run_is_a_baseline_only_when_somebody_accepts_it(watch: Watch) -> None:
    watch.train([live("bad", 3, worse=1.3)])
    day_ns = 86_400 * 10**9
    watch.train([live("next", 4, start_ns=T0_NS + day_ns)])
    assert "bad" not in watch.members()["next"]
    watch.mark("accept", "bad")
    watch.mark("exclude", "base0")
    watch.train([live("after", 5, start_ns=T0_NS + 2 * day_ns)])
    assert "bad" in watch.members()["after"] and "base0" not in watch.members()["after"]


def test_pinned_runs_replace_the_family(watch: Watch) -> None:
    for name in ("base1", "base2", "base5"):
        watch.mark("run", name)
    watch.train([live("run", 1)])
    assert watch.members()["run"] == ["base1", "base2", "base5"]


def test_a_curve_that_returns_resolves_its_alarm(watch: Watch) -> None:
    watch.train([live("dip", 1, worse=1.3, onset=0.2, until=0.4)])
    states = {row["state"] for row in watch.alerts(run_id="dip") if row["severity"] == "page"}
    assert states == {"resolved"} and watch.verdicts()["dip"] == "same"


def test_a_relaunched_run_is_judged_by_what_counts(watch: Watch) -> None:
    """The first attempt was bad from step 120 on; the second one goes back there and does well."""
    first = live("again", 3, worse=1.4, onset=0.3)
    watch.store(list(first.messages(ends=False))[:5])
    watch.settle()
    assert watch.alerts(run_id="again", severity="page", state="open")
    second = live("again", 3)
    lines = [line for line in second.lines() if line.get("s", 120) >= 120]
    made = message("test", "again", "w-second", 0, lines)
    watch.store([started_at(made, T0_NS + 10**12)])
    watch.settle()
    assert watch.verdicts()["again"] == "same"
    assert not watch.alerts(run_id="again", severity="page", state="open")


def test_what_was_not_seen_live_is_found_in_storage(watch: Watch) -> None:
    watch.store(live("bad", 3, worse=1.3).messages(), is_seen=False)
    watch.lookout.adopt(lambda run_id: True)
    watch.settle()
    assert watch.verdicts()["bad"] == "worse"
    assert watch.lookout.followed == 0


def test_others_runs_are_left_to_them(watch: Watch) -> None:
    watch.store(list(live("mine", 1).messages())[:3])
    watch.store(list(live("theirs", 2).messages())[:3])
    watch.settle()
    assert watch.lookout.followed == 2
    watch.lookout.adopt(lambda run_id: run_id == "mine")
    watch.settle()
    assert watch.lookout.followed == 1


def test_history_is_judged_and_nobody_is_told(database: Engine) -> None:
    watch = Watch(database)
    for training in [*family(6), live("bad", 3, worse=1.5)]:
        watch.store(training.messages(), is_seen=False)
    watch.lookout.adopt(lambda run_id: True)
    watch.settle()
    assert watch.alerts() == []
    assert watch.verdicts()["bad"] == "worse" and len(watch.members()["bad"]) == 6


def test_rules_of_the_script_and_of_the_file(database: Engine) -> None:
    file = RuleSettings("test", "val/*", {"above": 2.0, "name": "too high", "severity": "warn"})
    watch = Watch(database, AlertSettings(rules=(file,)))
    define = ({"name": "val/loss", "goal": "minimize"}, {"name": "acc", "alert": {"below": 0.32, "severity": "page"}})
    watch.train([live("ruled", 1, define=define)])
    rules = {(row["metric"], row["severity"]) for row in watch.alerts(kind="rule")}
    assert rules == {("val/loss", "warn"), ("acc", "page")}


def test_a_rule_that_makes_no_sense_stops_nothing(database: Engine) -> None:
    watch = Watch(database)
    watch.train([live("odd", 1, define=({"name": "acc", "alert": {"over": "the moon"}},))])
    assert watch.verdicts()["odd"] == "no baseline"


def test_nan_that_healthy_runs_log_too_is_no_news(database: Engine) -> None:
    watch = Watch(database)
    for training in family(6, nan_at=100):  # side by side, the last may be planned when the first have ended
        watch.train([training])
    assert len(watch.alerts(kind="nan", state="open")) == 6
    for i in range(6):
        watch.mark("accept", f"base{i}")
    watch.train([live("run", 1, nan_at=120)])
    assert watch.alerts(kind="nan", run_id="run") == [] and len(watch.members()["run"]) == 6


def test_settings_of_a_project(database: Engine) -> None:
    project = ProjectSettings("test", primary="acc", threshold=1e6, quiet=True)
    watch = Watch(database, AlertSettings(projects={"test": project}))
    watch.train(family(8))
    watch.train([live("bad", 3, worse=1.2), live("nan", 4, nan_at=200)])
    kinds = {(run, kind) for run, _, kind, _ in watch.found()}
    assert kinds == {("nan", "nan"), ("bad", "final_regression")}  # the threshold is out of reach while it runs
    assert all(row["quiet"] for row in watch.alerts())
    [plan] = watch.client.sql("SELECT primary FROM v_plans WHERE run_id = 'bad'").to_pylist()
    assert plan["primary"] == "acc"


def test_a_run_that_cannot_be_read_is_left_alone(watch: Watch, monkeypatch: pytest.MonkeyPatch) -> None:
    poison = run_key("test", "poison")
    judge = judging.judge

    def failing(cohorts: Any, plan: Any, *rest: Any) -> Any:
        if plan.facts.run == poison:
            raise ArithmeticError("for the test")
        return judge(cohorts, plan, *rest)

    monkeypatch.setattr(lookout_module, "judge", failing)
    from runtide_workers.alerting.detector import Detector
    from tests.fixtures.waiting import wait_until

    detector = Detector(watch.another)
    monkeypatch.setattr("runtide_workers.alerting.detector.PAUSE_S", 0.01)
    watch.store(live("poison", 1).messages(), is_seen=False)
    watch.store(live("fine", 2).messages(), is_seen=False)
    detector.start()
    detector.own(lambda _: True)
    wait_until(lambda: "fine" in watch.verdicts() and detector.idle, 30, or_else=lambda: str(watch.verdicts()))
    assert "poison" not in watch.verdicts() and detector.failures == 2
    detector.stop(10)


def test_a_detector_that_falls_behind_reads_again(watch: Watch, monkeypatch: pytest.MonkeyPatch) -> None:
    from runtide_workers.alerting.detector import Detector
    from tests.fixtures.alert_replay import as_batches
    from tests.fixtures.waiting import wait_until

    monkeypatch.setattr("runtide_workers.alerting.detector.WAITING_POINTS_MAX", 500)
    detector = Detector(watch.another)
    for batch in as_batches(live("bad", 3, worse=1.3).messages(), 3):
        detector.note(watch.sink.store(batch))  # before anybody takes them away
    assert detector.shed > 0
    detector.start()
    wait_until(lambda: watch.verdicts().get("bad") == "worse", 30, or_else=lambda: str(watch.verdicts()))
    assert watch.alerts(run_id="bad", severity="page")
    detector.stop(10)


def test_a_baseline_is_stored_and_found_again(watch: Watch, database: Engine) -> None:
    watch.train([live("one", 1)])
    count = "SELECT countIf(length(members) = 8) AS n FROM baselines"
    before = watch.client.sql(count).to_pylist()[0]["n"]
    again = Watch(database)
    again.train([live("two", 2, start_ns=T0_NS + 1)])
    assert again.members()["two"] == again.members()["one"]
    assert again.client.sql(count).to_pylist()[0]["n"] == before > 0


def test_the_next_runs_baseline_is_made_when_a_run_ends(watch: Watch) -> None:
    watch.lookout._next_chores_s = 0.0
    watch.settle()
    newest = "SELECT arraySort(members) AS members FROM baselines WHERE metric = 'val/loss' ORDER BY length(members)"
    rows = watch.client.sql(newest).to_pylist()
    assert rows[-1]["members"] == sorted(run_key("test", f"base{i}") for i in range(8))


def test_an_idle_gpu_is_a_regression_too(database: Engine) -> None:
    watch = Watch(database)
    gpu = "system/gpu/0/percent"
    for i, training in enumerate([*family(6), live("idle", 1)]):
        busy = 40.0 if training.run_id == "idle" else 95.0
        lines = [line | {"m": {**line["m"], gpu: busy + (i + line["s"]) % 3}} if "m" in line else line
                 for line in training.lines()]  # fmt: skip
        made = message("test", training.run_id, f"w-{training.run_id}", 0, lines)
        watch.store([started_at(made, training.start_ns)])
        watch.settle()
    found = {(row["metric"], row["severity"]) for row in watch.alerts(run_id="idle")}
    assert (gpu, "warn") in found and all(metric == gpu for metric, _ in found)


@pytest.mark.parametrize("long_points", [100, 1_000_000])
def test_a_long_run_is_read_in_pieces(watch: Watch, monkeypatch: pytest.MonkeyPatch, long_points: int) -> None:
    monkeypatch.setattr(stored, "POINTS_MAX", 100)
    monkeypatch.setattr(stored, "LONG_POINTS", long_points)
    watch.store(list(live("bad", 3, worse=1.3, onset=0.2).messages(ends=False))[:6], is_seen=False)
    watch.lookout.adopt(lambda run_id: True)
    watch.settle()
    assert watch.alerts(run_id="bad", severity="page", metric="val/loss")
    watch.store(list(live("bad", 3, worse=1.3, onset=0.2).messages())[6:])
    watch.settle()
    assert watch.verdicts()["bad"] == "worse"
