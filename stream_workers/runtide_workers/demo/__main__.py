"""The demo: `runtide demo`, `python -m runtide_workers.demo`, `make demo`."""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from urllib.parse import urlencode

from .plan import PLAN, PROJECT
from .training import Trainee, progress, train

QUERY = "SELECT run, max(value) FROM v_points WHERE metric = 'val/accuracy' GROUP BY run ORDER BY 2"

METRICS = ("val/accuracy", "train/loss", "val/loss", "lr")  # that the compare page shows first


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the demo. 0: everything went as planned; 1: it did not; 3: the stack did not come up."""
    parser = argparse.ArgumentParser(prog="runtide demo", description="Train a dozen real models and compare them.")
    parser.add_argument("--at-once", type=int, default=3, help="training processes at a time (default 3)")
    options = parser.parse_args(arguments)
    for name in [name for name in os.environ if name.startswith("RUNTIDE_") and name != "RUNTIDE_HOME"]:
        del os.environ[name]  # the demo is of the local stack, wherever the caller's own trainings go
    try:
        return run(options.at_once)
    except KeyboardInterrupt:
        print("\nStopped. The stack stays up; `runtide down` ends it.", file=sys.stderr)
        return 130


def run(at_once: int) -> int:
    began = time.monotonic()
    heading(1, "The stack: broker, ClickHouse, worker, dashboard")
    if subprocess.run([sys.executable, "-m", "runtide.cli", "up", "--detach"], check=False).returncode != 0:
        print("The stack did not come up; `runtide doctor` says why.", file=sys.stderr)
        return 3

    heading(2, f"{len(PLAN)} trainings, {at_once} at a time; one will be killed, one can't work")
    print(f"  follow it live: {dashboard()}/?project={PROJECT}")
    stamp = time.strftime("%m%d-%H%M%S")
    folder = Path(tempfile.mkdtemp(prefix="runtide-demo-"))
    trainees = [Trainee(training, f"{training.name}-{stamp}", folder) for training in PLAN]
    with progress() as watch:
        train(trainees, at_once, watch, os.environ)
    surprises = [trainee for trainee in trainees if not trainee.as_planned]
    for trainee in surprises:
        print(
            f"{trainee.training.name} ended with {trainee.exit_code}; it said:\n{tail(trainee.output)}", file=sys.stderr
        )

    # Only now: these imports cost a second, and their absence should not keep the trainings from being seen.
    from runtide_storage import Client

    from . import report

    heading(3, "Is every point there, once?")
    client = Client()
    complete, found, waited_s = report.wait_until_stored(client, trainees)
    logged = sum(trainee.count.points for trainee in trainees)
    kept = sum(min(found[t.run_id].points, t.count.points) for t in trainees if t.run_id in found)
    duplicates = sum(of.duplicates for of in found.values())
    print(
        f"  {kept:,} of {logged:,} points stored, {duplicates} duplicate", f"({waited_s:.1f} s after the last training)"
    )
    runs = report.wait_for_states(client, trainees)
    for trainee in trainees:
        if trainee.training.fate == "killed" and trainee.run_id in found:
            state = runs.get(trainee.run_id, {}).get("state", "unknown")
            points, counted = found[trainee.run_id].points, trainee.count.points
            print(
                f"  {trainee.training.name} got SIGKILL at step {trainee.count.step:,}: its state is “{state}”, "
                f"{min(points, counted):,} of {counted:,} points kept"
                + (f" (and {points - counted} of a call that was not finished)" if points > counted else "")
            )
    states_right = all(runs.get(t.run_id, {}).get("state") == t.training.fate for t in trainees)

    heading(4, "The comparison")
    report.print_table(trainees, runs, report.summaries(client, trainees))

    heading(5, f"Done in {time.monotonic() - began:.0f} s. Look around")
    digits = [trainee.run_id for trainee in trainees if trainee.training.name.startswith("digits")]
    print(f"  The networks for handwritten digits, side by side:\n  {compare_link(digits)}\n")
    first = trainees[0].run_id
    print(f"  runtide runs --project {PROJECT}")
    print(f"  runtide show {PROJECT}/{first}")
    print(f'  runtide sql "{QUERY}"')
    print("\n  The stack stays up; `runtide down` (or `make demo-down`) ends it.")
    return 0 if complete and not duplicates and states_right and not surprises else 1


def heading(number: int, text: str) -> None:
    print(f"\n[{number}/5] {text}", flush=True)


def tail(output: Path, lines: int = 8) -> str:
    return "\n".join(output.read_text(errors="replace").splitlines()[-lines:])


def compare_link(run_ids: Sequence[str]) -> str:
    """The dashboard's compare page with these runs on it."""
    shown = {"project": PROJECT, "runs": ",".join(run_ids), "metrics": METRICS, "log": "x"}
    return f"{dashboard()}/compare?{urlencode(shown, doseq=True, safe='/,')}"


def dashboard() -> str:
    """Where the stack's pages are."""
    home = Path(os.environ.get("RUNTIDE_HOME") or Path.home() / ".runtide")
    return str(json.loads((home / "stack.json").read_text()).get("dashboard", "http://127.0.0.1:17702"))


if __name__ == "__main__":
    raise SystemExit(main())
