"""What a curve's points give away about it, beside those of earlier runs."""

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pytest

from runtide_workers.detection import Alert, Bank, Baseline, Monitor
from runtide_workers.detection.cusum import normal_score

STEPS = 10_000
Curve = tuple[np.ndarray, np.ndarray]
Change = Callable[[np.ndarray, np.ndarray], np.ndarray]  # of the share of the run and the values


def loss(seed: int, points: int = 500, change: Change | None = None, first: int = 0, last: int = STEPS) -> Curve:
    """A loss that falls from 4 to 1.6, with 1 % between runs and 2 % between points."""
    rng = np.random.default_rng(seed)
    x = np.linspace(first, last, points).round()
    y = 4 * (x / STEPS + 0.01) ** -0.2 * np.exp(rng.normal(0, 0.01) + rng.normal(0, 0.02, len(x)))
    return x, y if change is None else change(x / STEPS, y)


def accuracy(seed: int, points: int = 500, change: Change | None = None) -> Curve:
    x, y = loss(seed, points, change)
    return x, 1 - y / 5


def family(make: Callable[..., Curve] = loss, runs: int = 12, **options: int) -> list[Curve]:
    return [make(1000 + seed, **options) for seed in range(runs)]


def watch(baseline: Baseline | None, curve: Curve) -> list[Alert]:
    monitor = Monitor(baseline, goal="minimize")
    return monitor.update(*curve) + monitor.finish()


def kinds(alerts: Sequence[Alert]) -> list[str]:
    return [alert.kind for alert in alerts]


def shifted(effect: float, begin: float = 0.4, end: float = 2.0) -> Change:
    return lambda share, y: y * np.where((share >= begin) & (share < end), 1 + effect, 1.0)


def stuck(share: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Learns nothing any more after 30 %."""
    return np.where(share < 0.3, y, y * (share + 0.01) ** 0.2 / 0.31**0.2)


def exploding(share: np.ndarray, y: np.ndarray) -> np.ndarray:
    return y * np.exp(np.clip((share - 0.4) * 4, 0, 5) ** 2)


DENSE = Baseline.fit(family())
SPARSE = Baseline.fit(family(points=20))
ACCURATE = Baseline.fit(family(accuracy), goal="maximize", scale="linear")


@pytest.mark.parametrize(
    ("points", "change", "kind"),
    [
        (500, shifted(0.1), "regression"),
        (500, stuck, "plateau"),
        (500, exploding, "divergence"),
        (20, shifted(0.2), "regression"),
        (20, stuck, "plateau"),
    ],
)
def test_a_run_that_gets_worse_is_paged_once_by_its_shape(points: int, change: Change, kind: str) -> None:
    alerts = watch(DENSE if points == 500 else SPARSE, loss(1, points, change))
    assert [(alert.kind, alert.severity) for alert in alerts] == [(kind, "page")]
    assert 0.3 < alerts[0].step / STEPS < 0.7


@pytest.mark.parametrize("baseline", [DENSE, SPARSE])
def test_healthy_runs_are_not_paged(baseline: Baseline) -> None:
    points = 20 if baseline is SPARSE else 500
    assert [watch(baseline, loss(seed, points)) for seed in range(30)] == [[]] * 30


def test_for_an_accuracy_less_is_worse() -> None:
    assert kinds(watch(ACCURATE, accuracy(1, change=shifted(0.1)))) == ["regression"]
    assert kinds(watch(ACCURATE, accuracy(1, change=shifted(-0.1)))) == ["improvement"]


def test_a_better_run_is_told_but_never_paged() -> None:
    (alert,) = watch(DENSE, loss(1, change=shifted(-0.1)))
    assert (alert.kind, alert.severity) == ("improvement", "info")


def test_an_alarm_says_how_much_since_when_and_beside_what() -> None:
    (alert,) = watch(DENSE, loss(1, change=shifted(0.1, begin=0.2)))
    detail = alert.detail
    assert detail["effect"] == pytest.approx(0.1, abs=0.03)
    assert detail["value"] / detail["baseline"] - 1 == pytest.approx(detail["effect"])
    assert detail["baseline"] == pytest.approx(4 * (alert.step / STEPS) ** -0.2, rel=0.03)
    assert detail["spread"] == pytest.approx(0.01, rel=0.7)
    assert 0.15 * STEPS < detail["since"] <= alert.step
    assert detail["windows"] in (2, 3) and detail["n"] == 12 and detail["early"] is True
    assert detail["statistic"] > detail["threshold"] == DENSE.threshold


def test_a_curve_that_comes_back_has_recovered() -> None:
    alerts = watch(DENSE, loss(1, change=shifted(0.1, 0.2, 0.4)))
    assert [(alert.kind, alert.severity) for alert in alerts] == [("regression", "page"), ("recovered", "info")]
    assert alerts[1].step >= 0.5 * STEPS


def test_the_level_at_the_end_counts_though_the_statistic_was_late() -> None:
    late = loss(1, change=shifted(0.1, begin=0.955))
    monitor = Monitor(DENSE, threshold=50.0)
    assert monitor.update(*late) == []
    (alert,) = monitor.finish()
    assert (alert.kind, alert.severity) == ("final_regression", "page")
    assert monitor.finish() == []


def test_nothing_is_tested_behind_the_end_of_the_baselines() -> None:
    beyond = loss(1, 900, change=shifted(0.5, begin=1.01), last=2 * STEPS)
    assert watch(DENSE, beyond) == []


@pytest.mark.parametrize("options", [{"points": 80}, {"points": 3000}, {"first": 4000}, {"last": 6000}])
def test_other_grids_and_lengths_are_compared_at_the_same_steps(options: dict[str, Any]) -> None:
    assert [watch(DENSE, loss(seed, **options)) for seed in range(8)] == [[]] * 8
    assert kinds(watch(DENSE, loss(1, change=shifted(0.2, begin=0.45), **options))) == ["regression"]


def test_baselines_of_different_grids_and_lengths() -> None:
    grids = [(500, STEPS), (100, STEPS), (2000, STEPS), (300, 7000), (400, STEPS), (90, STEPS)]
    mixed = [loss(seed, points, last=last) for seed, (points, last) in enumerate(grids)]
    baseline = Baseline.fit(mixed)
    assert watch(baseline, loss(11)) == []
    assert kinds(watch(baseline, loss(11, change=shifted(0.15)))) == ["regression"]


def test_late_and_repeated_points_change_nothing() -> None:
    x, y = loss(1)
    monitor = Monitor(DENSE)
    found = monitor.update(x[:400], y[:400])
    found += monitor.update(x[:300], 10 * y[:300])  # again, and much worse: too late to count
    assert found + monitor.update(x[400:], y[400:]) + monitor.finish() == []


@pytest.mark.parametrize("baseline", [DENSE, None])
def test_a_value_that_is_no_number_is_told_at_once_and_once(baseline: Baseline | None) -> None:
    x, y = loss(1)
    y[[100, 200]] = math.nan, math.inf
    (alert,) = watch(baseline, (x, y))
    assert (alert.kind, alert.severity, alert.step) == ("nan", "page", int(x[100]))
    assert alert.detail == {"value": "nan"}


def test_a_slower_run_is_told_by_its_clock() -> None:
    def clock(seed: int, slow: float = 0.0) -> Curve:
        rng = np.random.default_rng(seed)
        x = np.arange(0, STEPS, 20)
        return x, np.cumsum(rng.normal(1, 0.05, len(x)) * np.where(x > 5000, 1 + slow, 1.0)) * 2 + 100

    baseline = Baseline.fit([clock(seed) for seed in range(8)], of="pace")
    mean, low, high = baseline.level(5000)
    assert mean == pytest.approx(0.1, rel=0.03) and low < mean < high  # 2 s per 20 steps
    assert watch(baseline, clock(20)) == []
    alerts = watch(baseline, clock(20, slow=0.1))
    assert [(alert.kind, alert.severity) for alert in alerts] == [("throughput", "page")]
    assert 5000 < alerts[0].step < 6500
    assert alerts[0].detail["effect"] == pytest.approx(0.1, abs=0.03)


@pytest.mark.parametrize("runs", [3, 4, 20])
def test_one_threshold_serves_few_and_many_baselines(runs: int) -> None:
    baseline = Baseline.fit(family(runs=runs))
    assert sum("page" in {alert.severity for alert in watch(baseline, loss(seed))} for seed in range(60)) <= 1
    assert kinds(watch(baseline, loss(1, change=shifted(0.2)))) == ["regression"]


@pytest.mark.parametrize("runs", [4, 12])
def test_runs_that_differ_by_a_constant_only_are_not_paged_for_it(runs: int) -> None:
    """Each window says the same again: 64 of them are no more evidence than one."""
    rng, x = np.random.default_rng(5), np.arange(200.0)

    def run() -> Curve:
        return x, np.exp(-x / 80 + rng.normal(0, 0.01) + rng.normal(0, 0.001, len(x)))

    watched = [watch(Baseline.fit([run() for _ in range(runs)]), run()) for _ in range(200)]
    assert sum(alert.severity == "page" for alerts in watched for alert in alerts) <= 2


def test_two_baselines_say_nothing_yet() -> None:
    assert watch(Baseline.fit(family(runs=2)), loss(1, change=shifted(1.0))) == []


def test_the_one_wild_run_is_left_out() -> None:
    curves = [*family(runs=7), loss(7, change=shifted(0.5, begin=0.0))]
    baseline = Baseline.fit(curves)
    assert (baseline.wild, baseline.n) == ((7,), 7)
    assert kinds(watch(baseline, loss(1, change=shifted(0.1)))) == ["regression"]
    assert Baseline.fit(family()).wild == ()


def test_each_baseline_is_tested_against_all_others() -> None:
    odd = [*family(), loss(1, change=shifted(0.12, begin=0.6)), loss(2, change=shifted(0.12, begin=0.6))]
    baseline = Baseline.fit(odd)
    assert baseline.wild == () and len(baseline.peaks) == 14
    assert (baseline.peaks > baseline.threshold).tolist() == [False] * 12 + [True] * 2
    assert np.isnan(Baseline.fit(family(runs=3)).peaks).all(), "two others are too few to test a third by"


def test_a_level_is_in_the_metrics_own_units() -> None:
    mean, low, high = DENSE.level(STEPS)
    assert mean == pytest.approx(4, rel=0.02) and (low, high) == pytest.approx((0.99 * mean, 1.01 * mean), rel=0.01)
    assert ACCURATE.level(STEPS)[0] == pytest.approx(1 - 4 / 5, rel=0.05)


def test_what_cannot_be_a_baseline_is_refused() -> None:
    with pytest.raises(ValueError, match="no curve"):
        Baseline.fit([([1, 2], [math.nan, math.nan])])
    with pytest.raises(ValueError, match="goal 'lower'"):
        Baseline.fit(family(), goal="lower")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="equally long"):
        Baseline.fit([([1, 2, 3], [1.0, 2.0])])


def test_a_bank_reuses_slots_and_holds_its_size() -> None:
    bank = Bank()
    x, y = loss(1, change=shifted(0.2))
    slots = [bank.add(DENSE), bank.add(None), bank.add(SPARSE)]
    held = bank.nbytes
    for begin in range(0, len(x), 50):
        for slot in slots:
            bank.update(np.full(50, slot), x[begin : begin + 50], y[begin : begin + 50])
    assert bank.nbytes == held and len(bank) == 3
    bank.drop(slots[:2])
    assert len(bank) == 1
    with pytest.raises(KeyError):
        bank.drop(slots[0])
    again = bank.add(DENSE)
    assert again in slots[:2] and bank.nbytes == held
    fresh = bank.update(np.full(len(x), again), x, y)
    assert [(alert.slot, alert.kind) for alert in fresh] == [(again, "regression")], "nothing is left of the old curve"


def test_a_spike_and_a_divergence_show_without_a_baseline() -> None:
    x, y = loss(1)
    assert watch(None, (x, y)) == []
    spiked = y.copy()
    spiked[300] *= 4
    (spike,) = watch(None, (x, spiked))
    assert (spike.kind, spike.severity, spike.step) == ("spike", "info", int(x[300]))
    found = watch(None, loss(1, change=exploding))
    assert ("divergence", "warn") in [(alert.kind, alert.severity) for alert in found]
    monitor = Monitor(None)  # whether more is worse is unknown: no divergence
    assert "divergence" not in kinds(monitor.update(*loss(1, change=exploding)))


def test_normal_scores_are_as_improbable_as_the_t_they_stand_for() -> None:
    # two-sided 0.5 % and 0.001 % points of Student's t (tables) beside those of the normal distribution
    for freedom, t, z in ((3, 7.453, 2.807), (5, 4.773, 2.807), (10, 3.581, 2.807), (30, 3.030, 2.807)):
        assert normal_score(np.array(t), np.array(freedom)) == pytest.approx(z, abs=0.05)
        assert normal_score(np.array(-t), np.array(freedom)) == pytest.approx(-z, abs=0.05)
    assert normal_score(np.array(2.5), np.array(1e6)) == pytest.approx(2.5, abs=1e-3)
