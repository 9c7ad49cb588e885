"""Storage in which every page has something to show, and where each page is then."""

from __future__ import annotations

import json
from urllib.parse import quote

import numpy as np

from runtide_dashboard.console import EXAMPLES
from runtide_storage.writer import Writer
from tests.browser.seeding import SeededRun, loss_curve, now_ms
from tests.fixtures.planned import add_planned

CURVES = ".curves[data-runs]"
CHART = "[data-testid=stVegaLiteChart] svg, [data-testid=stVegaLiteChart] canvas"
TABLE = "[data-testid=stDataFrame] td"
FINALS = (2.0, 2.01, 1.99, 2.0, 2.01, 1.99, 2.0, 3.0, 3.01, 2.99, 3.0)

# Where each page is, and what is there once it is filled.
PAGES: dict[str, tuple[str, tuple[str, ...]]] = {
    "live": ("/live?project=llm", (TABLE, "text=Newest alerts")),
    "runs": ("/?project=llm", (TABLE, "text=Tick runs to compare them")),
    "compare": ("/compare?project=llm&runs=run-0,run-1,run-2,run-3", (CURVES, TABLE, "text=Settings that differ")),
    "run": ("/run?project=llm&run=run-3", (CURVES,)),
    "run's timeline": ("/run?project=llm&run=run-3&section=timeline&kinds=note", (TABLE,)),
    "run's capture": ("/run?project=llm&run=run-3&section=capture", (TABLE, "text=not committed")),
    "run's data": ("/run?project=llm&run=run-3&section=data", ("text=Also used by", "text=also called best")),
    "alerts": (f"/alerts?project=llm&alert={1:032x}&severity=page", (CURVES, TABLE, "text=What changed")),
    "trends": ("/trends?project=nightly", (CHART, TABLE, "text=Changes of level")),
    "sql": (
        f"/sql?project=llm&sql={quote(next(iter(EXAMPLES.values())))}&chart=bars&chart_x=run_id&chart_y=last",
        (CHART, TABLE, "text=4 rows in"),
    ),
    "pipeline": ("/pipeline", (CHART, TABLE, "text=not_json")),
}  # fmt: skip


def fill(writer: Writer) -> None:
    """Runs of several states, of which one goes on and has alerts; a family that got worse; workers; a dead letter."""
    steps = np.arange(1, 601, dtype=np.int64)
    for i, state in enumerate(("finished", "failed", "killed", "running")):
        run = SeededRun(writer, "llm", f"run-{i}", now_ms() - 1000 * (3600 - 600 * i))
        run.begin(
            name=f"gpt-120m-{i}", group="sweep", tags=["kept"], config={"lr": 0.001 * (i + 1), "layers": 12},
            meta={"argv": ["train.py"], "git/commit": f"{i:040x}", "git/diff": "- old\n+ new\n", "packages": {"a": 1}},
        )  # fmt: skip
        loss = loss_curve(steps, floor=2.5 + i / 10, speed=1, noise=0.05, seed=i)
        loss[300] = np.nan
        run.log({"train/loss": loss, "eval/accuracy": 0.6 - np.exp(-steps / 900) / 2}, steps)
        run.event("note", {"text": "a note"}, now_ms())
        run.event("dataset", {"name": "corpus", "version": "v1", "uri": "/data/corpus"}, now_ms())
        run.event("artifact", {"name": "net", "type": "model", "path": "/m/net", "aliases": ["best"]}, now_ms())
        if state != "running":
            run.end(state, now_ms())
    detail = {
        "effect": 0.3, "value": 3.5, "baseline": 2.7, "n": 2, "members": ["run-0", "run-1"], "nearest": "run-1",
        "changes": {"config": {"lr": [0.001, 0.01]}},
    }  # fmt: skip
    alert = {
        "run": run.run, "kind": "regression", "text": "It is so.", "metric": "train/loss", "step": 500,
        "detail": json.dumps(detail), "version": now_ms(), "incident": "", "quiet": 0,
    }  # fmt: skip
    writer.rows(
        "alerts",
        [
            alert | {"id": f"{n:032x}", "ts": now_ms() - n, "severity": severity, "state": state, "title": f"alert {n}"}
            for n, severity, state in ((1, "page", "open"), (2, "warn", "acknowledged"), (3, "info", "resolved"))
        ],
    )
    for hour, final in enumerate(FINALS, start=1):
        add_planned(
            writer, f"r{hour}", hour, {"val/loss": (0.5, 9.0, final)}, project="nightly",
            fields={"project": "nightly", "group": "g"}, meta={"git/commit": ("a" if hour < 8 else "b") * 40},
        )  # fmt: skip
    beats = [(now_ms() - 300_000 + 60_000 * n, 1000 * n) for n in range(6)]
    counts = {"messages": 1, "duplicates": 0, "dead": 1, "lag": 3}
    writer.rows(
        "worker_beats",
        [
            {"worker": "0", "at": at, "fresh_to": at - 300, "points": points, "partitions": [0], "lags": [3], **counts}
            for at, points in beats
        ],
    )
    shipper = {"host": "gpu-1", "directory": "/j", "at": now_ms(), "pid": 1, "backlog_bytes": 4096, "lag_s": 1.5}
    rest = {"journals": 2, "writers": 2, "resent_lines": 0, "oversize_lines": 0, "lost_files": 0, "failures": 0}
    writer.rows("shippers", [shipper | rest])
    letter = {"broker": "b", "topic": "t", "partition": 0, "offset": 1, "line": 0, "key": "", "value": "{"}
    writer.rows("dead_letters", [letter | {"reason": "not_json", "detail": "no JSON"}])
