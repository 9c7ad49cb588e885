"""Pictures of each page: of a stack that runs, as after `make demo`, or of 2,000 runs and 100 million points.

    python -m benchmarks.pictures docs/pictures/demo --url http://127.0.0.1:17702 --project demo
    python -m benchmarks.pictures docs/pictures/large --home DIR

`--home` has the data of `benchmarks.queries`, built if it is not there. What that lacks is added (runs that go on, an
alert, a family), so that it is of no use to the benchmarks any more.
"""

import argparse
import json
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import numpy as np
from PIL import Image
from playwright.sync_api import Browser

from benchmarks.browser import CURVES, chromium, picture
from benchmarks.queries import build, engine
from benchmarks.query_data import Size
from runtide_storage import Client
from runtide_storage.connect import connect
from runtide_storage.writer import Writer
from runtide_workers.embedded.home import Home
from tests.browser.filled import CHART, TABLE
from tests.browser.seeding import SeededRun, beat, loss_curve, now_ms
from tests.browser.serving import Served
from tests.fixtures.stack import free_port_base

PROJECT, LOSS, ACCURACY = "sweep", "val/loss", "val/acc"
WORSE_STEP, FOUND_STEP = 351, 420
LIVE = 8
NIGHTS, WORSE_FROM = 60, 45
QUESTION = """SELECT run, best, last FROM v_summary
WHERE project = {project:String} AND metric = {metric:String} ORDER BY best LIMIT 20"""
COLOURS = 256


def pages(project: str, alert: Mapping[str, Any]) -> dict[str, tuple[str, tuple[str, ...]]]:
    """Name -> address, and what is there once the page is filled. `alert`: the one that is looked at."""
    run, metric = alert["run_id"], alert["metric"]
    baseline = json.loads(alert["detail"]).get("members", ())[-5:]

    def address(path: str, **parameters: str) -> str:
        return f"/{path}?{urlencode({'project': project, **parameters})}"

    return {
        "live": (address("live"), (TABLE,)),
        "runs": (address(""), (TABLE, "text=Tick runs to compare them")),
        "compare": (address("compare", runs=",".join((run, *baseline)), metrics=metric), (CURVES, TABLE)),
        "run": (address("run", run=run), (CURVES,)),
        "alerts": (address("alerts", alert=alert["id"]), (CURVES, TABLE)),
        "trends": (address("trends"), (CHART,)),
        "sql": (
            address("sql", sql=QUESTION, sql_metric=metric, chart="bars", chart_x="run", chart_y="best"),
            (CHART, TABLE),
        ),
        "pipeline": (address("pipeline"), (TABLE,)),
    }


def take(browser: Browser, url: str, client: Client, project: str, folder: Path) -> None:
    """A picture of each page, and of Compare in the dark."""
    folder.mkdir(parents=True, exist_ok=True)
    found = client.alerts(project, severity="page", state="open").to_pylist()
    if not found:
        raise SystemExit(f"project {project} has no open alert to look at")
    for name, (path, parts) in pages(project, found[0]).items():
        for dark in (False, True) if name == "compare" else (False,):
            file = folder / f"{name}{'-dark' if dark else ''}.png"
            picture(browser, url + path, parts, file, dark=dark)
            with Image.open(file) as image:
                smaller = image.convert("RGB").quantize(COLOURS)
            smaller.save(file, optimize=True)
            print(f"{file}: {file.stat().st_size / 1000:.0f} kB", flush=True)


def enliven(writer: Writer) -> list[SeededRun]:
    """What the finished runs of the data lack: runs that go on and get worse, their alert, and a family that did."""
    steps = np.arange(1, 501, dtype=np.int64)
    live, curves = [], []
    for number in range(LIVE):
        run = SeededRun(writer, PROJECT, f"live-{number}", now_ms() - 3_600_000 + 60_000 * number)
        run.begin(name=f"gpt-350m-{number}", group="night", config={"lr": 0.0001 * (number + 1)}, host=f"gpu-{number}")
        curve = loss_curve(steps, floor=2.0 + number / 20, speed=1, noise=0.02, seed=number)
        curves.append(np.where(steps >= WORSE_STEP, curve + 0.8, curve) if number == LIVE - 1 else curve)
        run.log({LOSS: curves[-1], ACCURACY: 1 - curves[-1] / 20}, steps)
        live.append(run)
    *others, value = (float(curve[FOUND_STEP - 1]) for curve in curves)
    baseline = float(np.mean(others))
    effect = value / baseline - 1
    detail = {
        "effect": effect, "value": value, "baseline": baseline, "n": len(others), "since": WORSE_STEP,
        "members": [run.id for run in live[:-1]], "nearest": live[-2].id,
        "changes": {"config": {"lr": [0.0001 * (LIVE - 1), 0.0001 * LIVE]}},
    }  # fmt: skip
    alert = {
        "id": f"{now_ms():x}".ljust(32, "0"), "run": live[-1].run, "ts": now_ms(),
        "kind": "regression", "severity": "page",
        "title": f"{LOSS} of {live[-1].id} is {effect:.1%} worse than its baselines",
        "text": f"At step {FOUND_STEP} it is {value:.3f}; the mean of {len(others)} runs is {baseline:.3f}.",
        "metric": LOSS, "step": FOUND_STEP, "state": "open", "detail": json.dumps(detail), "version": now_ms(),
        "incident": "", "quiet": 0,
    }  # fmt: skip
    writer.rows("alerts", [alert])
    for night in range(NIGHTS):
        run = SeededRun(writer, PROJECT, f"night-{night:02d}", now_ms() - 86_400_000 * (NIGHTS - night))
        run.begin(name=f"nightly-{night:02d}", group="night", meta={"git/commit": f"{night // 5:040x}"})
        level = 2.2 if night >= WORSE_FROM else 2.0
        run.log({LOSS: loss_curve(steps, floor=level, speed=1, noise=0.01, seed=night)}, steps, run.started_ms + steps)
        run.end("finished", run.started_ms + 600_000)
        plan = {"run": run.run, "family": 7, "fields": '{"group":"night"}', "members": [], "primary": LOSS}
        said = {"goals": json.dumps({LOSS: "minimize"}), "stall_s": 0.0, "planned_at": run.started_ms, "rank": 1}
        writer.rows("run_plans", [plan | said])
    beat(writer)
    return live


def of_much(browser: Browser, home: Home, folder: Path) -> None:
    """Over the data of `benchmarks.queries`, with what it lacks."""
    home.prepare()
    port = free_port_base()
    build(home, port, Size())
    with engine(home, port) as server, tempfile.TemporaryDirectory(prefix="runtide-pictures-") as scratch:
        enliven(Writer(connect(server.url())))
        env = {"RUNTIDE_CLICKHOUSE": server.url("reader"), "RUNTIDE_HOME": scratch}
        with Served(Path(scratch), env, port + 2) as served, Client(server.url("reader")) as client:
            take(browser, served.url, client, PROJECT, folder)


def main(argv: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--url", help="of a dashboard that runs; RUNTIDE_HOME or RUNTIDE_CLICKHOUSE says what it reads")
    parser.add_argument("--project", help="of it, with an alert")
    parser.add_argument("--home", type=Path, help="a folder that keeps the data of benchmarks.queries")
    args = parser.parse_args(argv)
    if bool(args.url) == bool(args.home) or bool(args.url) != bool(args.project):
        parser.error("either --url with --project, or --home")
    with chromium() as browser:
        if args.url:
            with Client() as client:
                take(browser, args.url.rstrip("/"), client, args.project, args.folder)
        else:
            of_much(browser, Home.find(args.home), args.folder)


if __name__ == "__main__":
    main()
