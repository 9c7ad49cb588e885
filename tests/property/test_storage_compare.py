"""What is read of many runs equals what pandas makes of their raw points, whatever way they came in."""

import itertools
import math
from typing import Any

import numpy as np
import pandas as pd
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from runtide_storage import Client
from runtide_storage.ids import key_id, run_key
from runtide_storage.writer import Touched, Writer
from tests.fixtures.histories import START_MS, History, Stored, aggregate, current, histories, near, same

NUMBERS = itertools.count()
PLAIN = settings(max_examples=12, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
RUNS, METRICS = 1_000, ("val/loss", "acc", "lr")
GOALS = {"val/loss": "minimize", "acc": "maximize"}
EXACT = ("n", "nonfinite", "first", "first_step", "last", "last_step", "min", "min_step", "max", "max_step")


def name_metrics(writer: Writer) -> None:
    writer.rows("metrics", [{"id": key_id(name), "name": name} for name in METRICS])


def raw_points(rng: np.random.Generator) -> pd.DataFrame:
    """1,000 runs; every fifth resumed, every seventh logs steps again, every eleventh goes backwards; odd values."""
    frames = []
    for number in range(RUNS):
        steps = np.arange(30) * (1 + number % 50)
        attempts = np.ones(30, np.uint16)
        if number % 5 == 0:  # the second attempt begins before the first one's end
            steps, attempts = np.r_[steps[:20], steps[15:]], np.r_[attempts[:20], np.full(15, 2, np.uint16)]
        if number % 7 == 0:
            steps, attempts = np.repeat(steps, 2), np.repeat(attempts, 2)
        seq = np.arange(len(steps))
        if number % 11 == 0:
            steps = np.where(attempts == 1, steps[::-1], steps)
        for metric in METRICS:
            if metric == "lr" and number % 2:
                continue
            value = 2 + 3 / (1 + steps) + 0.1 * rng.standard_normal(len(steps))
            odd = rng.random(len(steps))
            value[odd < 0.02], value[(odd >= 0.02) & (odd < 0.03)] = np.nan, np.inf
            if metric == "acc" and number % 97 == 3:
                value[:] = np.nan
            frames.append(
                pd.DataFrame(
                    {
                        "run_id": f"r{number:04d}",
                        "metric": metric,
                        "step": steps,
                        "ts": START_MS + 10 * seq + 100_000 * attempts.astype(np.int64),
                        "value": value,
                        "attempt": attempts,
                        "writer": number * 10 + attempts.astype(np.uint64),
                        "seq": seq,
                    }
                )
            )
    return pd.concat(frames, ignore_index=True)


def store(writer: Writer, points: pd.DataFrame, rng: np.random.Generator) -> None:
    """In batches of random order, a tenth of the lines twice."""
    keys = {run_id: run_key("p", run_id) for run_id in points["run_id"].unique()}
    name_metrics(writer)
    writers = points[["run_id", "writer", "attempt"]].drop_duplicates()
    about = {"project": "p", "rank": 0, "host": "h", "pid": 1, "started_at": START_MS}
    writer.rows(
        "writers",
        [
            about | {"run": keys[run_id], "run_id": run_id, "writer": name, "writer_id": f"w{name}", "attempt": attempt}
            for run_id, name, attempt in writers.itertuples(index=False)
        ],
    )
    writer.rows(
        "metric_defs",
        [
            {"run": key, "name": name, "goal": goal, "step_metric": "", "summary": "", "alert": "", "ts": 1}
            for key in keys.values()
            for name, goal in GOALS.items()
        ],
    )
    arriving = pd.concat([points, points.sample(frac=0.1, random_state=1)]).sample(frac=1, random_state=2)
    for batch in np.array_split(np.arange(len(arriving)), 5):
        some = arriving.iloc[batch]
        writer.points(
            {
                "run": some["run_id"].map(keys).to_numpy(np.uint64),
                "key": some["metric"].map(key_id).to_numpy(np.uint64),
                **{name: some[name].to_numpy() for name in ("step", "ts", "value", "attempt")},
                "writer": some["writer"].to_numpy(np.uint64),
                "seq": some["seq"].to_numpy(np.uint64),
            }
        )
        touched = some.groupby("run_id")["step"].agg(["min", "max"])
        writer.rollup([Touched(keys[run], int(lo), int(hi)) for run, lo, hi in touched.itertuples()])
    writer.refold(keys.values())


def expected(points: pd.DataFrame) -> pd.DataFrame:
    """By pandas alone: a row per run and metric."""
    starts = points.groupby(["run_id", "metric", "attempt"])["step"].min().unstack()
    later = starts.reindex(columns=[2])[2].reindex(pd.MultiIndex.from_frame(points[["run_id", "metric"]])).to_numpy()
    counted = points[~((points["attempt"] == 1) & (points["step"] >= later))]
    counted = counted.sort_values(["run_id", "metric", "step", "ts", "seq"], kind="stable")
    finite = counted[np.isfinite(counted["value"])]
    by, by_finite = counted.groupby(["run_id", "metric"]), finite.groupby(["run_id", "metric"])["value"]
    found = pd.DataFrame({"n": by.size(), "first": by["value"].agg(lambda v: v.iloc[0])})
    found["last"] = by["value"].agg(lambda v: v.iloc[-1])
    found["first_step"], found["last_step"] = by["step"].min(), by["step"].max()
    found["nonfinite"] = found["n"] - by_finite.size().reindex(found.index, fill_value=0)
    found["min"], found["max"], found["mean"] = by_finite.min(), by_finite.max(), by_finite.mean()
    for name in ("min", "max"):
        at = finite.loc[(by_finite.idxmin() if name == "min" else by_finite.idxmax()).to_numpy()]
        found[f"{name}_step"] = at.set_index(["run_id", "metric"])["step"]
    return found.reset_index()


def test_a_thousand_runs_compared_equal_pandas_on_the_raw_events(writer: Writer, client: Client) -> None:
    rng = np.random.default_rng(20_26)
    points = raw_points(rng)
    store(writer, points, rng)
    refs = [f"p/r{number:04d}" for number in range(RUNS)]
    want = expected(points).sort_values(["metric", "run_id"]).reset_index(drop=True)
    got = client.compare(refs).to_pandas().sort_values(["metric", "run_id"]).reset_index(drop=True)
    assert got[["run_id", "metric"]].astype(str).equals(want[["run_id", "metric"]].astype(str))
    for name in EXACT:
        has_some = slice(None) if name not in ("min_step", "max_step") else want["n"] > want["nonfinite"]
        np.testing.assert_array_equal(
            got.loc[has_some, name].to_numpy(float), want.loc[has_some, name].to_numpy(float), err_msg=name
        )
    # Sums are made in another order: equal but for the last digits.
    np.testing.assert_allclose(got["mean"].to_numpy(float), want["mean"].to_numpy(float), rtol=1e-12)
    best = want["metric"].map({"val/loss": "min", "acc": "max"})
    wanted_best = [
        row[name] if isinstance(name, str) else np.nan for name, (_, row) in zip(best, want.iterrows(), strict=True)
    ]
    np.testing.assert_array_equal(got["best"].to_numpy(float), np.array(wanted_best, float))
    assert (got["goal"].fillna("") == want["metric"].map(GOALS).fillna("")).all()


@PLAIN
@given(st.lists(histories(attempts_max=2, lines_max=6), min_size=2, max_size=5))
def test_deltas_and_bands_are_those_of_the_current_points(
    writer: Writer, client: Client, several: list[History]
) -> None:
    project = f"p{next(NUMBERS)}"
    runs = [Stored(writer, project, f"r{number}") for number in range(len(several))]
    for run, history in zip(runs, several, strict=True):
        run.store(history)
    refs = [run.ref for run in runs]
    kept = [[p for p in current(history.points) if p.metric == "loss"] for history in several]
    levels = {run.run_id: aggregate(points)["last"] for run, points in zip(runs, kept, strict=True) if points}
    rows = client.compare(refs, baseline=refs[1:], metrics="loss").to_pylist()
    assert [row["run_id"] for row in rows] == list(levels)
    for row in rows:
        others = [v for run, v in levels.items() if run not in (row["run_id"], "r0") and math.isfinite(v)]
        assert row["baseline_n"] == len(others)
        assert same(row["value"], levels[row["run_id"]])
        if others:
            mean = sum(others) / len(others)
            assert near(row["baseline"], mean, max(map(abs, others))) and row["verdict"] is None
            assert (row["baseline_low"], row["baseline_high"]) == (min(others), max(others))
    check_band(client, refs, kept)


def check_band(client: Client, refs: list[str], kept: list[list[Any]]) -> None:
    """At one place per step the band is made of each run's mean there."""
    means = [
        {
            step: [p.value for p in points if p.step == step and math.isfinite(p.value)]
            for step in {p.step for p in points}
        }
        for points in kept
    ]
    steps = sorted({step for each in means for step in each})
    if steps and steps[-1] - steps[0] >= 100_000:
        return
    band = client.baseline_band(refs, "loss", points=100_000).to_pylist()
    assert [row["x"] for row in band] == steps
    for row in band:
        there = sorted(math.fsum(v) / len(v) for each in means if (v := each.get(row["x"])))
        assert row["n"] == len(there)
        if not there:
            assert row["q50"] is None and row["mean"] is None
            continue
        scale = max(abs(v) for v in there)
        with np.errstate(all="ignore"):
            for name, want in (("min", there[0]), ("max", there[-1]), ("q50", np.quantile(there, 0.5))):
                assert near(row[name], float(want), scale)
