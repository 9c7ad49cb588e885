"""Verdicts: intervals computed by hand, which steps are compared, and what makes a whole run worse."""

import math
from typing import Any

import numpy as np
import pytest

from runtide_storage.student import quantile, two_sided_p, within
from runtide_workers.detection.baseline import Baseline
from runtide_workers.detection.verdict import Judgement, difference, judge, judge_bins, judge_values, overall, rows

# Any printed table of Student's t, two-sided: df -> 95 %, 99 %.
TABLE = {
    1: (12.706, 63.657), 2: (4.303, 9.925), 3: (3.182, 5.841), 4: (2.776, 4.604), 5: (2.571, 4.032),
    9: (2.262, 3.250), 10: (2.228, 3.169), 19: (2.093, 2.861), 30: (2.042, 2.750), 120: (1.980, 2.617),
}  # fmt: skip

STEPS = np.arange(0, 1000, 50)


def line(level: float, steps: Any = STEPS) -> tuple[Any, Any]:
    """A flat curve."""
    return steps, np.full(len(steps), level)


def dense(level: float, length: int = 10_000) -> tuple[Any, Any]:
    """A falling curve with a point per step."""
    steps = np.arange(length)
    return steps, level / (1 + steps / 1000)


@pytest.mark.parametrize("df", TABLE)
def test_quantiles_are_those_of_the_tables(df: int) -> None:
    assert [round(quantile(df, confidence), 3) for confidence in (0.95, 0.99)] == list(TABLE[df])
    assert within(quantile(df), df) == pytest.approx(0.95, abs=1e-12)
    assert two_sided_p(-quantile(df), df) == pytest.approx(0.05, abs=1e-12)


def test_the_t_distribution_at_its_ends() -> None:
    assert within(1.0, 1) == pytest.approx(0.5)  # Cauchy: arctan(1) = pi/4
    assert within(1.0, 2) == pytest.approx(1 / math.sqrt(3))  # t / sqrt(2 + t^2)
    assert (within(0.0, 7), two_sided_p(math.inf, 7)) == (0.0, 0.0)
    assert quantile(10**5) == pytest.approx(1.95996, abs=1e-4)  # the normal distribution
    with pytest.raises(ValueError, match="at least 1"):
        within(1.0, 0)


def test_the_interval_by_hand() -> None:
    """9, 10, 11: mean 10, s 1, t(2) 4.3027: one more run lies within 10 -+ 4.3027 * sqrt(4/3) = 4.9683."""
    found = judge_values(14.0, [9.0, 10.0, 11.0], "minimize", "linear")
    assert (found.verdict, found.n, found.value, found.baseline) == ("same", 3, 14.0, 10.0)
    assert found.effect == pytest.approx(0.4)
    assert [found.low, found.high] == pytest.approx([0.4 - 0.49683, 0.4 + 0.49683], abs=1e-5)
    worse = judge_values(15.0, [9.0, 10.0, 11.0], "minimize", "linear")
    assert worse.verdict == "worse" and worse.low == pytest.approx(0.5 - 0.49683, abs=1e-5)
    assert worse.p is not None and worse.p < 0.05 < (found.p or 0)
    better = judge_values(15.0, [9.0, 10.0, 11.0], "maximize", "linear")
    assert better.verdict == "better" and better.effect == pytest.approx(-0.5)
    assert [better.low, better.high] == pytest.approx([-0.5 - 0.49683, -0.5 + 0.49683], abs=1e-5)


def test_the_interval_on_the_log_scale_is_one_of_ratios() -> None:
    """1, e, e^2: logarithms 0, 1, 2 with mean 1 and s 1; a run at e^7 is 6 above: 6 -+ 4.9683."""
    e = math.e
    found = judge_values(e**7, [1.0, e, e**2], "minimize")
    assert found.verdict == "worse" and found.baseline == pytest.approx(e)
    assert found.effect == pytest.approx(e**6 - 1)
    assert [found.low, found.high] == pytest.approx([e**1.03171 - 1, e**10.96829 - 1], 1e-4)
    lower = judge_values(e**-5, [1.0, e, e**2], "maximize")
    assert lower.verdict == "worse" and lower.effect == pytest.approx(1 - e**-6)  # at most 100 % worse
    assert 0 < (lower.low or 0) < lower.effect < (lower.high or 1) < 1  # type: ignore[operator]


def test_few_baselines_say_little() -> None:
    alone = judge_values(3.0, [1.0], "minimize")
    assert (alone.verdict, alone.low, alone.p) == ("no baseline", None, None) and alone.effect == pytest.approx(2.0)
    assert "give 3 or more" in alone.reason
    assert judge_values(1.2, [1.0, 1.1], "minimize").verdict == "no baseline"  # two can't show that it is the same
    assert judge_values(30.0, [1.0, 1.1], "minimize").verdict == "worse"  # but that it is not
    assert judge_values(1.2, [], "minimize").verdict == "no baseline"
    assert judge_values(1.2, [math.nan, math.inf], "minimize").n == 0


def test_a_difference_below_the_smallest_of_interest_is_none() -> None:
    assert judge_values(1.0004, [1.0] * 5, "minimize").verdict == "same"  # sure, but 0.04 %
    assert judge_values(1.0006, [1.0] * 5, "minimize").verdict == "worse"
    assert judge_values(0.9994, [1.0] * 5, "minimize").verdict == "better"
    same = judge_values(1.0, [1.0] * 5, "minimize")
    assert (same.verdict, same.effect, same.p) == ("same", 0.0, 1.0) and "no different from" in same.reason


def test_relative_to_nothing() -> None:
    found = judge_values(5.0, [-1.0, 0.0, 1.0], "maximize")
    assert (found.verdict, found.effect, found.low, found.baseline) == ("better", None, None, 0.0)
    assert "against a mean of 0" in found.reason
    assert judge_values(0.5, [-1.0, 0.0, 1.0], "maximize").verdict == "same"
    huge = judge_values(1e300, [1e299, 1.1e299, -0.9e299], "minimize")
    assert huge.verdict == "worse" and math.isfinite(huge.effect or math.nan)


def test_numbers_that_are_none() -> None:
    found = judge_values(math.nan, [1.0, 2.0, 3.0], "minimize")
    assert (found.verdict, found.is_broken, found.reason) == ("worse", True, "it is NaN")
    with pytest.raises(ValueError, match="positive"):
        judge_values(-1.0, [1.0], "minimize", "log")
    assert judge_values(-1.0, [1.0, 1.1, 0.9], "minimize").verdict == "better"  # linear by itself


def test_only_the_last_bins_count() -> None:
    baseline = Baseline.fit([line(level) for level in (0.98, 1.0, 1.02)])
    steps, values = line(1.0)
    assert judge(baseline, steps, values).verdict == "same"
    values[:10] = 50.0  # a bad start that was made up for
    assert judge(baseline, steps, values).verdict == "same"
    values[-3:] = 2.0
    found = judge(baseline, steps, values)
    assert (found.verdict, found.step) == ("worse", 950)
    assert found.value == pytest.approx(2.0) and found.effect == pytest.approx(1.0, abs=0.01)


def test_of_a_dense_curve_the_last_tenth_counts() -> None:
    baseline = Baseline.fit([dense(level) for level in (0.98, 0.99, 1.0, 1.01)])
    steps, values = dense(1.0)
    values[8000:8800] *= 3.0
    assert judge(baseline, steps, values).verdict == "same"
    values[8800:] *= 3.0
    found = judge(baseline, steps, values)
    assert found.verdict == "worse" and found.effect == pytest.approx(2.0, abs=0.1) and found.step is not None
    assert 9500 < found.step < 10_000


def test_a_run_that_ended_early_is_compared_at_its_own_last_step() -> None:
    """Of a falling curve: against the baselines' ends it would be far worse."""
    baseline = Baseline.fit([dense(level) for level in (0.99, 1.0, 1.01)])
    found = judge(baseline, *dense(1.0, length=3000))
    assert found.verdict == "same" and found.step is not None and 2800 < found.step < 3000
    assert found.effect == pytest.approx(0.0, abs=0.01)


def test_a_longer_run_is_compared_at_the_baselines_end() -> None:
    baseline = Baseline.fit([dense(level) for level in (0.99, 1.0, 1.01)])
    found = judge(baseline, *dense(1.0, length=30_000))
    assert found.verdict == "same" and found.step is not None and 9500 < found.step < 10_000


def test_members_that_do_not_reach_the_run_are_left_out() -> None:
    baseline = Baseline.fit([line(1.0), line(1.01), line(0.99), line(1.02), line(7.0, STEPS[:8])])
    found = judge(baseline, *line(1.0))
    assert (found.verdict, found.n) == ("same", 4) and found.baseline == pytest.approx(1.005, abs=1e-3)


def test_members_of_another_step_grid_are_interpolated() -> None:
    fine, coarse = np.arange(0, 1001, 10), np.arange(0, 1001, 100)
    members = [(fine, 10.0 + fine), (coarse, 10.0 + coarse * 1.001), (fine, 10.0 + fine * 1.002)]
    baseline = Baseline.fit(members)
    found = judge(baseline, np.arange(5, 1000, 30), 10.0 + np.arange(5, 1000, 30))
    assert found.verdict == "same" and found.n == 3 and found.effect == pytest.approx(0.0, abs=0.005)


def test_wild_members_are_left_out() -> None:
    levels = (1.0, 1.01, 0.99, 1.02, 0.98, 30.0)
    baseline = Baseline.fit([line(level) for level in levels])
    assert baseline.wild == (5,)
    found = judge(baseline, *line(1.5))
    assert (found.verdict, found.n) == ("worse", 5)


@pytest.mark.parametrize("last", [math.nan, math.inf, -math.inf])
def test_a_curve_that_ends_in_no_number_is_worse(last: float) -> None:
    baseline = Baseline.fit([line(level) for level in (0.98, 1.0, 1.02)])
    steps, values = line(0.5)
    values[5] = math.nan  # on the way it does not matter
    assert judge(baseline, steps, values).verdict == "better"
    values[-1] = last
    found = judge(baseline, steps[::-1], values[::-1])  # the last step, whenever it came
    assert (found.verdict, found.is_broken, found.p) == ("worse", True, 0.0) and "ends in" in found.reason


def test_nothing_to_compare() -> None:
    baseline = Baseline.fit([line(level) for level in (0.98, 1.0, 1.02)])
    assert judge(baseline, [], []).verdict == "no baseline"
    assert judge(baseline, [5000, 6000], [1.0, 1.0]).verdict == "no baseline"  # behind all of theirs


def test_bins_from_elsewhere_give_the_same() -> None:
    from runtide_workers.detection.grid import bin_means

    baseline = Baseline.fit([dense(level) for level in (0.98, 0.99, 1.0)], goal="maximize")
    steps, values = dense(0.7)
    binned = bin_means(baseline.edges, steps, values, baseline.scale)
    assert judge_bins(baseline, binned, float(values[-1])) == judge(baseline, steps, values)
    assert judge(baseline, steps, values).verdict == "worse"


def test_a_slower_run_is_worse() -> None:
    seconds = [(STEPS, STEPS * pace) for pace in (0.099, 0.1, 0.101)]
    baseline = Baseline.fit(seconds, of="pace")
    found = judge(baseline, STEPS, STEPS * 0.12)
    assert found.verdict == "worse" and found.effect == pytest.approx(0.2, abs=0.01)
    assert found.value == pytest.approx(0.12)
    assert judge(baseline, STEPS, STEPS * 0.1).verdict == "same"


def of(verdict: str, p: float | None = 0.5, n: int = 10) -> Judgement:
    return Judgement(verdict, f"says {verdict}", p=p, n=n)  # type: ignore[arg-type]


def test_the_primary_metric_decides() -> None:
    judged = {"loss": of("same"), "acc": of("worse", 1e-9)}
    assert overall(judged, "loss", "finished").verdict == "same"
    assert overall(judged, "acc", "finished").verdict == "worse"
    assert overall(judged, "acc", "finished").reason == "acc: says worse"
    assert overall(judged, "f1", "finished").verdict == "no baseline"
    assert overall(judged, "loss", "running").verdict == "same"


def test_without_a_primary_metric_all_decide_after_holms_correction() -> None:
    """Holm: the smallest of m p-values must be below 0.05/m, the next below 0.05/(m - 1), and so on."""
    three = {"a": of("worse", 0.016), "b": of("same"), "c": of("same")}
    assert overall(three, None, "finished").verdict == "worse"
    four = three | {"d": of("same")}  # 0.016 > 0.05/4
    assert overall(four, None, "finished").verdict == "same"
    assert "a does by itself" in overall(four, None, "finished").reason
    step_down = {"a": of("better", 0.012), "b": of("worse", 0.016), "c": of("same"), "d": of("same")}
    found = overall(step_down, None, "finished")  # 0.012 < 0.05/4, then 0.016 < 0.05/3
    assert (found.verdict, found.reason) == ("worse", "b: says worse")
    assert overall({"a": of("better", 1e-5), "b": of("same")}, None, "finished").verdict == "better"
    assert overall({"a": of("worse", 0.04), "b": of("no baseline", None, 1)}, None, "finished").verdict == "worse"


def test_nothing_comparable_is_no_baseline() -> None:
    assert overall({}, None, "finished").verdict == "no baseline"
    assert overall({}, "loss", "finished").verdict == "no baseline"
    found = overall({"a": of("no baseline", None, 0), "b": of("no baseline", 0.4, 2)}, None, "finished")
    assert (found.verdict, found.reason) == ("no baseline", "says no baseline")


def test_what_makes_a_run_worse_besides_its_levels() -> None:
    fine, better = {"loss": of("same")}, {"loss": of("better", 1e-9)}
    for state in ("failed", "crashed", "killed"):
        found = overall(better, "loss", state)
        assert found.verdict == "worse" and state in found.reason
    assert overall(fine, "loss", "finished", ["NaN in grad"]).verdict == "worse"
    assert "NaN in grad" in overall({}, None, "finished", ["NaN in grad"]).reason
    assert overall(better, "loss", "finished", ["slower"]).verdict == "better"
    broken = {"loss": Judgement("worse", "it ends in NaN", p=0.0, is_broken=True), "acc": of("better", 1e-9)}
    assert overall(broken, "loss", "finished").verdict == overall(broken, None, "finished").verdict == "worse"


def test_rows_for_storage() -> None:
    found = judge_values(15.0, [9.0, 10.0, 11.0], "minimize", "linear")
    stored = rows(7, {"loss": found}, overall({"loss": found}, "loss", "finished"), 1234)
    assert [(row["metric"], row["verdict"], row["run"], row["made_at"]) for row in stored] == [
        ("loss", "worse", 7, 1234),
        ("", "worse", 7, 1234),
    ]
    assert stored[0]["goal"] == "minimize" and stored[0]["n"] == 3
    assert rows(7, {}, Judgement("no baseline", "none"), 1)[0]["goal"] == ""


@pytest.mark.parametrize(
    ("effect", "text"),
    [(0.032, "3.2 % worse"), (-0.004, "0.4 % better"), (0.0, "no different"), (1.234, "123 % worse"),
     (1e6, "1.0e+08 % worse"), (math.inf, "inf % worse")],
)  # fmt: skip
def test_effects_in_words(effect: float, text: str) -> None:
    assert difference(effect) == text
