"""docs/sql-cookbook.md: every query runs as the analyst, and says what the records of the laboratory say."""

import json
import math
import re
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from runtide_storage import Client
from runtide_storage.ids import run_key
from runtide_storage.writer import Writer
from tests.fixtures.laboratory import GPUS_PER_HOST, OUT_OF_MEMORY, STEP_S, Laboratory, store_laboratory
from tests.fixtures.storage import Engine, fresh_database

DOCUMENT = Path(__file__).parents[2] / "docs" / "sql-cookbook.md"
PARAMETERS = {"project": "llm", "metric": "val/loss", "step": 99, "minutes": 45, "target": 2.6, "run": "ddp"}
QUERIES: dict[str, str] = dict(
    re.findall(r"^### ([^\n]+)\n\n```sql\n(.*?)\n```", DOCUMENT.read_text(), re.MULTILINE | re.DOTALL)
)

Rows = Sequence[Sequence[Any]]  # in the order of the query's columns


@pytest.fixture(scope="module")
def laboratory(clickhouse: Engine) -> Iterator[tuple[Laboratory, Client]]:
    with fresh_database(clickhouse) as database:
        made = store_laboratory(Writer(database.client()))
        with Client(database.url("analyst")) as client:
            yield made, client


EXPECTED: dict[str, Callable[[Laboratory], Rows]] = {}


def answers(title: str) -> Callable[[Callable[[Laboratory], Rows]], Callable[[Laboratory], Rows]]:
    def note(expected: Callable[[Laboratory], Rows]) -> Callable[[Laboratory], Rows]:
        EXPECTED[title] = expected
        return expected

    return note


def of_sweep(lab: Laboratory) -> pd.DataFrame:
    """best, lr, wd and seed of the sweep's runs that have a result."""
    frame = pd.DataFrame({"best": lab.best(), "group": lab.fact("group")})
    for name in ("lr", "wd", "seed"):
        frame[name] = lab.config(name)
    return frame[(frame["group"] == "sweep") & frame["best"].notna()]


def hours(lab: Laboratory) -> "pd.Series[float]":
    """run_id -> hours from the start of its first process to its end, else to what was heard last."""
    found = {}
    for run in lab.runs:
        ts = lab.points[(lab.points["run_id"] == run.run_id) & (lab.points["project"] == run.project)]["ts"]
        ended = lab.ended_ms[run.run_id] if run.end else ts.max() + 1_000
        found[run.run_id] = (ended - (ts.min() - 30_000)) / 3_600_000
    return pd.Series(found)


def of_ranks(lab: Laboratory) -> pd.DataFrame:
    """perf/step_s of every process, with its host."""
    frame = lab.points[(lab.points["metric"] == "perf/step_s") & (lab.points["project"] == "llm")].copy()
    hosts, of_run = list(STEP_S), lab.fact("host")
    frame["host"] = [
        hosts[(hosts.index(of_run[run]) + rank) % len(hosts)]
        for run, rank in zip(frame["run_id"], frame["rank"], strict=True)
    ]
    return frame


@answers("Which runs are the best?")
def _(lab: Laboratory) -> Rows:
    best = lab.best().sort_values().head(10)
    val = lab.of("val/loss")
    at = {run: val[(val["run_id"] == run) & (val["value"] == value)]["step"].min() for run, value in best.items()}
    return [(run, run, value, at[run]) for run, value in best.items()]


@answers("Which is the best run of each group?")
def _(lab: Laboratory) -> Rows:
    frame = pd.DataFrame({"best": lab.best(), "group": lab.fact("group")}).dropna()
    found = [(group, part["best"].idxmin(), part["best"].min(), len(part)) for group, part in frame.groupby("group")]
    return sorted(found, key=lambda row: row[2])


@answers("How much do seeds differ?")
def _(lab: Laboratory) -> Rows:
    parts = of_sweep(lab).groupby(["lr", "wd"])["best"]
    rows = [
        (f"{lr:g}" if lr >= 1e-3 else json.dumps(lr), json.dumps(wd), len(v), v.mean(), v.std())
        for (lr, wd), v in parts
    ]
    return sorted((row for row in rows if row[2] >= 3), key=lambda row: row[3])


@answers("How sensitive is the result to the learning rate?")
def _(lab: Laboratory) -> Rows:
    return [(lr, len(v), v.min(), v.median()) for lr, v in of_sweep(lab).groupby("lr")["best"]]


@answers("Which settings matter?")
def _(lab: Laboratory) -> Rows:
    frame = of_sweep(lab)
    rows = [
        (name, frame[name].astype(float).corr(frame["best"], method="spearman"), len(frame))
        for name in ("lr", "wd", "seed")
    ]
    return sorted(rows, key=lambda row: (-abs(row[1]), row[0]))


@answers("Is one variant really better than the other?")
def _(lab: Laboratory) -> Rows:
    best, group = lab.best(), lab.fact("group")
    plain, flash = (best[group[best.index] == name] for name in ("plain", "flash"))
    return [(plain.mean(), flash.mean(), stats.ttest_ind(plain, flash, equal_var=False).pvalue)]


@answers("Who was ahead at the same step?")
def _(lab: Laboratory) -> Rows:
    val = lab.of("val/loss")
    last = val[val["step"] <= PARAMETERS["step"]].groupby("run_id").last()
    return [(run, row["value"], row["step"]) for run, row in last.sort_values("value").head(10).iterrows()]


@answers("Who was ahead after the same time?")
def _(lab: Laboratory) -> Rows:
    val = lab.of("val/loss")
    started = lab.points[lab.points["project"] == "llm"].groupby("run_id")["ts"].min() - 30_000
    soon = val[val["ts"] <= val["run_id"].map(started) + 60_000 * int(str(PARAMETERS["minutes"]))]
    return list(soon.groupby("run_id")["value"].last().sort_values().head(10).items())


@answers("How many steps did it take to reach a target?")
def _(lab: Laboratory) -> Rows:
    val = lab.of("val/loss")
    first = val[val["value"] <= PARAMETERS["target"]].groupby("run_id")["step"].min().reset_index()
    return list(first.sort_values(["step", "run_id"]).head(10).itertuples(index=False))


@answers("Which runs overfit?")
def _(lab: Laboratory) -> Rows:
    best, last = lab.best(), lab.last()
    rows = [(run, best[run], last[run], last[run] - best[run]) for run in best.index if last[run] > 1.02 * best[run]]
    return sorted(rows, key=lambda row: (-row[3], row[0]))


@answers("Does the result depend on the version of the data?")
def _(lab: Laboratory) -> Rows:
    frame = pd.DataFrame({"best": lab.best(), "version": lab.fact("dataset")}).dropna()
    return [(version, len(v), v.mean()) for version, v in frame.groupby("version")["best"]]


@answers("Why did runs fail?")
def _(lab: Laboratory) -> Rows:
    causes: dict[str, list[str]] = {}
    for run in lab.runs:
        if run.project == "llm" and run.end == "failed":
            causes.setdefault(str(run.error).splitlines()[-1], []).append(run.run_id)
    assert OUT_OF_MEMORY.splitlines()[-1] in causes
    return sorted(
        ((cause, len(runs), sorted(runs)) for cause, runs in causes.items()), key=lambda row: (-row[1], row[0])
    )


@answers("How much time went into runs that came to nothing?")
def _(lab: Laboratory) -> Rows:
    ends = lab.fact("end")[lambda end: ~end.index.isin(["now", "well"])].replace("", "crashed")
    took = hours(lab)
    states = sorted(set(ends) - {"finished"})
    return [(state, int((ends == state).sum()), took[ends[ends == state].index].sum()) for state in states]


@answers("Which runs diverged, and when?")
def _(lab: Laboratory) -> Rows:
    odd = lab.current[(lab.current["project"] == "llm") & ~np.isfinite(lab.current["value"])]
    return [(run, metric, part["step"].min(), len(part)) for (run, metric), part in odd.groupby(["run_id", "metric"])]


@answers("What changed before it got worse?")
def _(lab: Laboratory) -> Rows:
    nights = [run for project, run, _ in lab.verdicts if project == "llm"]
    worse = next(run for project, run, verdict in lab.verdicts if project == "llm" and verdict == "worse")
    before = nights[nights.index(worse) - 1]
    now = {name: value for (run, name), value in sorted(lab.values.items()) if run == worse}
    return [(name, lab.values[before, name], v) for name, v in now.items() if v != lab.values[before, name]]


@answers("How were runs judged?")
def _(lab: Laboratory) -> Rows:
    judged = pd.DataFrame(lab.verdicts, columns=["project", "run", "verdict"])[lambda rows: rows["project"] == "llm"]
    return [(verdict, len(runs), sorted(runs)) for verdict, runs in judged.groupby("verdict")["run"]]


@answers("Which runs were relaunched, and how much did they log twice?")
def _(lab: Laboratory) -> Rows:
    own = lab.points[lab.points["project"] == "llm"]
    rows = [
        (run, part["attempt"].max(), len(part), int((~part["is_current"]).sum()))
        for run, part in own.groupby("run_id")
        if part["attempt"].max() > 1
    ]
    return sorted(rows, key=lambda row: -row[3])


@answers("Which runs go on without logging anything?")
def _(lab: Laboratory) -> Rows:
    return [("now", lab.fact("host")["now"])]


@answers("Which hosts are slow?")
def _(lab: Laboratory) -> Rows:
    parts = of_ranks(lab).groupby("host")["value"]
    return sorted(((host, v.median(), len(v)) for host, v in parts), key=lambda row: -row[1])


@answers("Which ranks hold the others up?")
def _(lab: Laboratory) -> Rows:
    frame = of_ranks(lab)
    means = frame[frame["run_id"] == "ddp"].groupby("rank")["value"].mean()
    return [(rank, mean, mean / means.min()) for rank, mean in means.items()]


@answers("How many GPU hours did each group take?")
def _(lab: Laboratory) -> Rows:
    frame = pd.DataFrame({"hours": hours(lab), "group": lab.fact("group")}).dropna().drop(["now", "well"])
    rows = [(group, len(part), part["hours"].sum() * GPUS_PER_HOST) for group, part in frame.groupby("group")]
    return sorted(rows, key=lambda row: -row[2])


@answers("How long did GPUs stand idle?")
def _(lab: Laboratory) -> Rows:
    busy = lab.points[(lab.points["project"] == "llm") & lab.points["metric"].str.match(r"system/gpu/.*/percent$")]
    idle = (busy["value"] < 10).groupby(busy["run_id"]).mean()
    return sorted(idle.items(), key=lambda row: (-row[1], row[0]))[:10]


@answers("Is training getting slower from run to run?")
def _(lab: Laboratory) -> Rows:
    nights = [run.run_id for run in lab.runs if run.group == "nightly" and run.project == "llm"]
    means = lab.of("perf/tokens_per_s").groupby("run_id")["value"].mean()[nights]
    return [(run, mean, change) for run, mean, change in zip(nights, means, means / means.shift() - 1, strict=True)]


@answers("Which runs can't be reproduced?")
def _(lab: Laboratory) -> Rows:
    return [(run.run_id, run.run_id) for run in lab.runs if run.dirty and run.project == "llm"]


@answers("What was run twice?")
def _(lab: Laboratory) -> Rows:
    same: dict[str, list[str]] = {}
    for run in lab.runs:
        if run.project == "llm":
            same.setdefault(json.dumps(run.config, sort_keys=True), []).append(run.run_id)
    return sorted([sorted(runs)] for runs in same.values() if len(runs) > 1)


@answers("Which metrics does nobody log any more?")
def _(lab: Laboratory) -> Rows:
    own = lab.current[lab.current["project"] == "llm"]
    last = own.groupby("metric")["ts"].max()
    gone = [name for name in sorted(last.index) if last[name] < last.max() - 3 * 86_400_000]
    return [
        (name, pd.Timestamp(last[name], unit="ms"), own[own["metric"] == name]["run_id"].nunique()) for name in gone
    ]


@answers("What was decided, and why?")
def _(lab: Laboratory) -> Rows:
    verdicts = {run: verdict for project, run, verdict in lab.verdicts if project == "llm"}
    return [
        (run.run_id, *run.decision, verdicts[run.run_id]) for run in lab.runs if run.decision and run.project == "llm"
    ]


@answers("How big is each project?")
def _(lab: Laboratory) -> Rows:
    parts = lab.current.groupby("project")["run_id"]
    return sorted(((project, v.nunique(), len(v)) for project, v in parts), key=lambda row: -row[2])


def of_alerts(lab: Laboratory) -> pd.DataFrame:
    """The project's alerts, each with what was done about it, if anything was."""
    own = {run_key("llm", run.run_id) for run in lab.runs if run.project == "llm"}
    alerts = pd.DataFrame([alert for alert in lab.alerts if alert["run"] in own])
    return alerts.merge(pd.DataFrame(lab.actions)[["id", "reason", "at"]], on="id", how="left")


@answers("How many alerts were right?")
def _(lab: Laboratory) -> Rows:
    parts = of_alerts(lab).fillna({"reason": ""}).groupby("kind")["reason"]
    return [(kind, len(v), v.str.startswith("true").sum(), v.str.startswith("false").sum()) for kind, v in parts]


@answers("How long do alerts wait for somebody?")
def _(lab: Laboratory) -> Rows:
    acted = of_alerts(lab).dropna(subset=["at"])
    waits = ((acted["at"] - acted["ts"]) / 60_000).groupby(acted["severity"])
    return [(severity, len(v), v.median()) for severity, v in waits]


@answers("How fresh is what I see?")
def _(lab: Laboratory) -> Rows:
    beats = pd.DataFrame(lab.beats)[lambda rows: rows["at"] > rows["at"].max() - 3_600_000]
    return list(((beats["at"] - beats["fresh_to"]) / 1000).groupby(beats["worker"]).max().items())


@answers("What could not be stored?")
def _(lab: Laboratory) -> Rows:
    parts = pd.DataFrame(lab.letters).groupby("reason")["at"]
    rows = [(reason, len(at), pd.Timestamp(at.max(), unit="ms")) for reason, at in parts]
    return sorted(rows, key=lambda row: -row[1])


def test_every_query_has_an_answer_and_the_document_counts_right() -> None:
    assert list(QUERIES) == list(EXPECTED) and len(QUERIES) >= 25
    assert re.search(r"(\d+) questions", DOCUMENT.read_text())[1] == str(len(QUERIES))  # type: ignore[index]


@pytest.mark.parametrize("title", QUERIES)
def test_it_says_what_the_records_say(laboratory: tuple[Laboratory, Client], title: str) -> None:
    made, client = laboratory
    query = QUERIES[title]
    given = {name: value for name, value in PARAMETERS.items() if f"{{{name}:" in query}
    got = [tuple(row.values()) for row in client.sql(query, given).to_pylist()]
    expected = [tuple(row) for row in EXPECTED[title](made)]
    assert len(got) == len(expected) > 0, got
    for mine, theirs in zip(got, expected, strict=True):
        assert len(mine) == len(theirs) and all(map(agree, mine, theirs)), (mine, theirs)


def agree(got: Any, expected: Any) -> bool:
    """Numbers but for the order of summation."""
    if isinstance(expected, float) and math.isnan(expected) and got is None:
        return True
    if isinstance(expected, pd.Timestamp):
        return bool(pd.Timestamp(got).tz_localize(None) == expected)
    if isinstance(expected, (int, float, np.number)):
        return math.isclose(float(got), float(expected), rel_tol=1e-9)
    return bool(got == expected)
