"""What becomes a page, and who is told how often."""

import itertools
from typing import Any

import orjson
import pytest

from runtide_storage.cohorts import Facts
from runtide_workers.alerting.baselines import Cohort
from runtide_workers.alerting.followed import PACE, VALUE, Followed, Series
from runtide_workers.alerting.incidents import Board, Surroundings, Told, describe, metrics_for_page
from runtide_workers.alerting.plans import Plan
from runtide_workers.detection import Alert

AROUND = Surroundings("http://d", 600.0, quiet=False)
METRICS = ("val/loss", "a", "b", "c", "d")


def followed(run: int = 1, primary: str = "val/loss", watched: int = 5) -> Followed:
    facts = Facts(run, "p", f"r{run}", "", "g", "", (), "running", 1, 0, 0)
    cohort = Cohort(members=(7, 8, 9), values=dict.fromkeys(METRICS[:watched]))  # type: ignore[arg-type]
    plan = Plan(facts, 1, dict.fromkeys(METRICS, "minimize"), primary, None, cohort, {7: "r7", 8: "r8", 9: "r9"})
    return Followed(plan, 1, 0)


def alarm(metric: str, step: int = 10, kind: str = "regression", severity: str = "page", **detail: Any) -> Any:
    aspect = PACE if kind == "throughput" else VALUE
    return Series(1, metric, aspect), Alert(kind, severity, step, {"effect": 0.1, **detail})  # type: ignore[arg-type]


def recovered(metric: str, step: int = 20) -> Any:
    return Series(1, metric, VALUE), Alert("recovered", "info", step)


def judged(
    findings: list[Any], run: Followed | None = None, told: Told | None = None, changes: dict[str, Any] | None = None,
    around: Surroundings = AROUND, board: Board | None = None, now_ms: int = 1_000_000,
) -> Board:  # fmt: skip
    run, board = run or followed(), board or Board([])
    for series, alert in findings:
        row = board.apply(run, series, alert, now_ms)
        if row is not None:
            describe(row, run, alert, around, ("r9", changes or {}))
    board.settle(told or Told(), around, now_ms)
    return board


def states(board: Board) -> dict[tuple[str, str], tuple[str, str]]:
    return {(row["metric"], row["kind"]): (row["severity"], row["state"]) for row in board.rows.values()}


def told(board: Board) -> list[str]:
    return [row["metric"] for row in board.rows.values() if row["severity"] == "page" and not row["quiet"]]


def test_the_primary_metric_pages_alone_and_others_warn() -> None:
    assert states(judged([alarm("val/loss")])) == {("val/loss", "regression"): ("page", "open")}
    assert states(judged([alarm("a")])) == {("a", "regression"): ("warn", "open")}


def test_two_others_page_together_and_are_told_once() -> None:
    board = judged([alarm("a"), alarm("b", 12)])
    assert set(states(board).values()) == {("page", "open")}
    assert len(told(board)) == 1
    judged([alarm("c", 14)], board=board)
    assert states(board)["c", "regression"] == ("page", "open")
    assert len(told(board)) == 1


def test_any_cut_into_batches_ends_in_the_same_rows() -> None:
    findings = [alarm("a"), alarm("b", 12), recovered("a"), alarm("c", 22), recovered("b", 24), alarm("val/loss", 30)]
    reference = states(judged(findings))
    assert reference["a", "regression"] == ("page", "resolved")
    for cuts in itertools.product((False, True), repeat=len(findings) - 1):
        board = Board([])
        batch: list[Any] = []
        for finding, cut in zip(findings, (*cuts, True), strict=True):
            batch.append(finding)
            if cut:
                judged(batch, board=board)
                batch = []
        assert states(board) == reference


def test_who_takes_over_replays_and_changes_nothing() -> None:
    findings = [alarm("a"), alarm("b", 12), recovered("a")]
    stored = judged(findings).take()
    assert judged(findings, board=Board(stored)).take() == []
    halfway = judged(findings[:2]).take()
    changed = judged(findings, board=Board(halfway)).take()
    assert [(row["metric"], row["state"]) for row in changed] == [("a", "resolved")]


def test_a_metric_that_recovered_does_not_count() -> None:
    board = judged([alarm("a"), recovered("a"), alarm("b", 30)])
    assert states(board)["b", "regression"] == ("warn", "open")


def test_slower_runs_warn_and_recover_by_themselves() -> None:
    board = judged([alarm("val/loss", kind="throughput"), recovered("val/loss")])
    assert states(board) == {("val/loss", "throughput"): ("warn", "open")}
    slow = Series(1, "val/loss", PACE), Alert("recovered", "info", 40)
    assert states(judged([slow], board=board)) == {("val/loss", "throughput"): ("warn", "resolved")}


@pytest.mark.parametrize(
    ("metric", "expected"), [("val/loss", "page"), ("train/other_loss", "page"), ("grad/norm", "page"), ("lr", "warn")]
)
def test_nan(metric: str, expected: str) -> None:
    board = judged([(Series(1, metric, VALUE), Alert("nan", "page", 3, {"value": "NaN"}))])
    assert states(board) == {(metric, "nan"): (expected, "open")}


def test_nan_that_healthy_runs_have_too_is_no_news() -> None:
    run = followed()
    run.plan.cohort.nonfinite = frozenset(("val/loss",))
    assert states(judged([(Series(1, "val/loss", VALUE), Alert("nan", "page", 3))], run)) == {}


@pytest.mark.parametrize("together", [True, False])
def test_of_a_run_that_is_worse_and_slower_people_hear_that_it_is_worse(together: bool) -> None:
    slower, worse = alarm("val/loss", kind="throughput"), alarm("val/loss", 12)
    for run in range(20):  # the order of ids is another one each time
        board = Board([])
        for findings in [[slower, worse]] if together else [[slower], [worse]]:
            judged(findings, followed(run), board=board)
        assert set(states(board).values()) == {("page", "open")}
        assert [row["kind"] for row in board.rows.values() if not row["quiet"]] == ["regression"]


def test_speed_is_one_fact_however_many_metrics_say_it() -> None:
    board = judged([alarm("val/loss", kind="throughput"), alarm("tokens_per_s"), alarm("samples_per_s")])
    assert {severity for severity, _ in states(board).values()} == {"warn"}
    assert states(judged([alarm("a")], board=board))["a", "regression"] == ("page", "open")


def test_counters_and_schedules_may_jump() -> None:
    jumps = [(Series(1, metric, VALUE), Alert("spike", "info", 3)) for metric in ("lr", "epoch", "grad/norm", "a")]
    assert set(states(judged(jumps))) == {("grad/norm", "spike"), ("a", "spike")}


def test_better_runs_are_noted_and_nobody_is_told() -> None:
    board = judged([alarm("val/loss", kind="improvement", severity="info")])
    assert states(board) == {("val/loss", "improvement"): ("info", "open")}
    assert told(board) == []


def test_runs_that_changed_the_same_way_are_one_incident() -> None:
    known, changes = Told(), {"config": {"lr": [0.1, 1.0]}}
    first = judged([alarm("val/loss")], followed(1), known, changes)
    second = judged([alarm("val/loss")], followed(2), known, changes)
    third = judged([alarm("val/loss")], followed(3), known, {"config": {"lr": [0.1, 2.0]}})
    later = judged([alarm("val/loss")], followed(4), known, changes, now_ms=1_000_000 + 601_000)
    incidents = [next(iter(board.rows.values()))["incident"] for board in (first, second, third, later)]
    assert [len(told(board)) for board in (first, second, third, later)] == [1, 0, 1, 1]
    assert incidents[0] == incidents[1] != incidents[2]


def test_without_a_recorded_change_each_run_stands_for_itself() -> None:
    known = Told()
    boards = [judged([alarm("val/loss")], followed(run), known) for run in (1, 2)]
    assert [len(told(board)) for board in boards] == [1, 1]


def test_a_quiet_project_keeps_its_alerts_to_itself() -> None:
    board = judged([alarm("val/loss")], around=Surroundings("", 600.0, quiet=True))
    assert states(board) == {("val/loss", "regression"): ("page", "open")}
    assert told(board) == []


def test_rules_page_each_for_itself() -> None:
    rules = [
        (Series(1, "a", VALUE), Alert("rule", "page", 5, {"rule": rule, "value": 9.0})) for rule in ("> 5", "< 100")
    ]
    board = judged(rules)
    assert len(board.rows) == 2 and len(told(board)) == 2


def test_the_row_explains_itself() -> None:
    run = followed()
    run.plan.cohort.used = {"val/loss": (7, 9)}
    detail: dict[str, Any] = {
        "value": 1.2,
        "baseline": 1.0,
        "spread": 0.01,
        "n": 2,
        "windows": 3,
        "since": 4.0,
        "z": float("nan"),
    }
    series, alert = alarm("val/loss", **detail)
    [row] = judged([(series, alert)], run, changes={"commit": ["aaaa", "bbbb"], "config": {"lr": [0.1, 1.0]}}).take()
    assert row["title"] == "val/loss of r1 is 10.0% worse than its baselines"
    for words in ("mean of 2 baseline runs", "step 10", "since step 4", "commit aaaa..bbbb", "config.lr 0.1 -> 1.0"):
        assert words in row["text"]
    told_detail = orjson.loads(row["detail"])
    assert told_detail["members"] == ["r7", "r9"] and told_detail["nearest"] == "r9" and told_detail["z"] == "NaN"
    assert told_detail["link"] == "http://d/compare?project=p&runs=r1,r7,r9&metrics=val%2Floss"


def test_how_many_metrics_make_a_page() -> None:
    assert [metrics_for_page(watched) for watched in (0, 1, 2, 5, 10)] == [2, 2, 2, 2, 2]
    assert 2 < metrics_for_page(50) <= metrics_for_page(200) < 10
