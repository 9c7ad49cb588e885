"""What a reader of the dashboard waits for: first paint, page switch, hover, zoom to repaint, and bytes per repaint.

Over the data of `benchmarks.queries` (`--home DIR` keeps it for the next time, and may be the same; `--scale 0.02` is
enough to try it), in headless Chromium on the same machine. Then `--sessions` readers have Live and Compare of running
runs open (what their browsers ask of the server, without the browsers), and what that does to the points' way in.
"""

import argparse
import tempfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import psutil
from playwright.sync_api import Browser

from benchmarks import freshness
from benchmarks.browser import CURVES, Curves, chromium, first_visit, switch, tab
from benchmarks.queries import build, engine, refs
from benchmarks.query_data import SWEEP_METRICS, Size
from benchmarks.report import Figure, report
from benchmarks.sessions import Sessions
from runtide_workers.embedded.home import Home
from tests.browser.filled import TABLE
from tests.browser.serving import Served
from tests.fixtures.stack import Stack, free_port_base, running_stack

RUNS = "text=Tick runs to compare them"
# In the order of the visit; what is there once the page is filled. No finished run of the data is on Live.
VISITS = {
    "Compare": CURVES,
    "Live": "text=Nothing runs now",
    "Run": CURVES,
    "Alerts": "text=No alerts in",
    "Trends": "text=belongs to a family",
    "SQL": "text=Write a question",
    "Pipeline": "text=Dead letters",
    "Runs": RUNS,
}
ZOOMS = ((0.1, 0.4), (0.3, 0.8), (0.05, 0.95), (0.6, 0.75), (0.2, 0.5))
PRODUCERS, SCALARS = 4, 10


def spread(name: str, values: Sequence[float], unit: str, budget: float | None = None) -> list[Figure]:
    """p50, and p95 with the budget."""
    p50, p95 = np.quantile(values, (0.5, 0.95))
    return [
        Figure(f"{name}, p50", float(p50), unit, None, min(values), max(values)),
        Figure(f"{name}, p95", float(p95), unit, budget),
    ]


def first(browser: Browser, url: str, rounds: int) -> list[Figure]:
    """New readers, whose browsers have nothing in their cache."""
    visits = [first_visit(browser, f"{url}/?project=sweep", TABLE) for _ in range(rounds)]
    return [
        *spread("first contentful paint, cold", [visit.paint_s for visit in visits], "s", 1.5),
        *spread("runs table visible, cold", [visit.filled_s for visit in visits], "s", 2.5),
    ]


def switches(browser: Browser, url: str, rounds: int) -> list[Figure]:
    """One reader who goes from page to page."""
    took: dict[str, list[float]] = {name: [] for name in VISITS}
    with tab(browser) as page:
        page.goto(f"{url}/?project=sweep")
        page.locator(RUNS).wait_for()
        for number in range(rounds + 1):
            for name, is_there in VISITS.items():
                seconds = switch(page, name, is_there)
                if number:  # the first round fetches each page's scripts
                    took[name].append(seconds)
                page.wait_for_timeout(500)
    every = [value for values in took.values() for value in values]
    slowest = max(took, key=lambda name: float(np.median(took[name])))
    return [
        *spread("page switch", every, "s", 1.0),
        Figure.of(f"... to {slowest}, the slowest", took[slowest], "s"),
    ]


def comparing(browser: Browser, url: str, size: Size, rounds: int) -> list[Figure]:
    """From the click until the curves of 50 runs, 1,000 points each, are drawn, of a reader who was here before."""
    chosen = ",".join(each.partition("/")[2] for each in refs(1, 50, size))
    took = []
    with tab(browser) as page:
        page.goto(f"{url}/compare?project=sweep&runs={chosen}&metrics=val/loss")
        page.locator(CURVES).wait_for()
        for _ in range(rounds):
            switch(page, "Runs", RUNS)
            page.wait_for_timeout(500)
            took.append(switch(page, "Compare", f"{CURVES}[data-busy=false]"))
            page.wait_for_timeout(500)
    return spread("compare of 50 runs x 1,000 points, after the click", took, "s", 1.0)


def curves(browser: Browser, url: str, size: Size, rounds: int) -> list[Figure]:
    """Compare of few runs, of many, and of as much as the design allows."""
    found: list[Figure] = []
    for runs, metrics, budget in ((12, 4, 300.0), (50, 1, None), (60, 8, 1500.0)):
        chosen = ",".join(ref.partition("/")[2] for ref in refs(1, runs, size))
        names = "".join(f"&metrics={name}" for name in list(SWEEP_METRICS)[:metrics])
        with tab(browser) as page:
            drawn = Curves(page, f"{url}/compare?project=sweep&runs={chosen}{names}", metrics)
            zooms = [drawn.zoom(*ZOOMS[number % len(ZOOMS)]) for number in range(rounds)]
            frames = drawn.hover(60)
        what = f"{runs} runs x {metrics} metrics"
        found += spread(f"zoom to repaint, {what}", [took for took, _ in zooms], "ms", 500)
        kilobytes = [received / 1000 for _, received in zooms]
        found.append(Figure.of(f"bytes per repaint, {what}", kilobytes, "kB", budget))
        found += spread(f"hover to highlight, {what}", frames, "ms", 50)
    return found


def with_sessions(count: int, rate: int, seconds: float) -> list[Figure]:
    """Trainers log at `rate` points/s through the whole stack; first nobody looks, then everybody does."""
    with running_stack() as stack, tempfile.TemporaryDirectory(prefix="runtide-pages-") as folder:
        env = {"RUNTIDE_CLICKHOUSE": stack.described()["clickhouse_reader"], "RUNTIDE_HOME": str(stack.home)}
        end = stack.home / "watched.end"
        with Served(Path(folder), env, stack.port_base + 2) as served:
            calls_per_s = rate / PRODUCERS / SCALARS
            trainers = [
                stack.trainer(
                    "watched", "--process", number, "--calls", 10**9, "--rate", calls_per_s, "--scalars", SCALARS,
                    "--until", end, "--finish-timeout", 0,
                )
                for number in range(PRODUCERS)
            ]  # fmt: skip
            try:
                return _watched(served, stack, count, seconds, rate)
            finally:
                end.touch()
                for trainer in trainers:
                    trainer.communicate(timeout=60)


def _watched(served: Served, stack: Stack, count: int, seconds: float, rate: int) -> list[Figure]:
    alone = freshness.run(stack, "alone", 200, seconds, 1)
    print(f"{rate:,} points/s, nobody looks: {alone}", flush=True)
    pages = [("live", "project=watched"), ("compare", "project=watched")]
    with Sessions(served.url, [pages[number % len(pages)] for number in range(count)]) as sessions:
        server = psutil.Process(served.process.pid)
        before_s, began = sum(server.cpu_times()[:2]), [each.refreshed for each in sessions.open]
        busy = freshness.run(stack, "busy", 200, seconds, 1)
        cpu_s = sum(server.cpu_times()[:2]) - before_s
        went_on = [each.refreshed - then for each, then in zip(sessions.open, began, strict=True)]
    print(f"{rate:,} points/s, {count} sessions: {busy}", flush=True)
    lasted_s = freshness.WARM_UP_S + seconds
    where = f"at {rate:,} points/s"
    return [
        Figure(f"log to SELECT {where}, p50, nobody looks", alone.p50_s, "s", 0.5),
        Figure(f"log to SELECT {where}, p99, nobody looks", alone.p99_s, "s", 1.5),
        Figure(f"log to SELECT {where}, p50, {count} sessions", busy.p50_s, "s", 0.5),
        Figure(f"log to SELECT {where}, p99, {count} sessions", busy.p99_s, "s", 1.5),
        Figure.of("refreshes of a session meanwhile", [each / lasted_s for each in went_on], "/s"),
        Figure("CPU of the dashboard meanwhile", cpu_s / lasted_s, "cores"),
    ]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", action="store_true", help="end with one line of JSON")
    parser.add_argument("--home", type=Path, help="a folder that keeps the data for the next time")
    parser.add_argument("--scale", type=float, default=1.0, help="of the data: 1 is 101 M points")
    parser.add_argument("--rounds", type=int, default=10, help="of each measurement")
    parser.add_argument("--sessions", type=int, default=20, help="readers with a page open; 0: leave them out")
    parser.add_argument("--rate", type=int, default=50_000, help="points/s that are logged meanwhile")
    parser.add_argument("--seconds", type=float, default=20)
    args = parser.parse_args()

    size = Size.of(args.scale)
    with tempfile.TemporaryDirectory(prefix="runtide-pages-", ignore_cleanup_errors=True) as folder:
        home = Home.find(args.home or folder)
        home.prepare()
        port = free_port_base()
        build(home, port, size)
        with engine(home, port) as server, chromium() as browser:
            env = {"RUNTIDE_CLICKHOUSE": server.url("reader"), "RUNTIDE_HOME": folder}
            with Served(Path(folder), env, port + 2) as served:
                start = first_visit(browser, f"{served.url}/?project=sweep", TABLE)
                figures = [Figure("runs table visible, the first of a server", start.filled_s, "s")]
                for measured in (
                    first(browser, served.url, args.rounds),
                    switches(browser, served.url, args.rounds),
                    comparing(browser, served.url, size, args.rounds),
                    curves(browser, served.url, size, args.rounds),
                ):
                    figures += measured
                    for figure in measured:
                        print(f"  {figure.name}: {figure.value:.3g} {figure.unit}", flush=True)
    if args.sessions:
        figures += with_sessions(args.sessions, args.rate, args.seconds)
    report(f"pages over {size.points:,} points", figures, as_json=args.json)


if __name__ == "__main__":
    main()
