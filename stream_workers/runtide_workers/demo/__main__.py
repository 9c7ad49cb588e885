"""The demo: `runtide demo`, `python -m runtide_workers.demo`, `make demo`."""

import argparse
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from . import comparison
from .plan import PROJECT
from .stage import compare_link, heading

QUERY = "SELECT run, max(value) FROM v_points WHERE metric = 'val/accuracy' GROUP BY run ORDER BY 2"


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the demo. 0: everything went as planned; 1: it did not; 3: the stack did not come up."""
    parser = argparse.ArgumentParser(
        prog="runtide demo", description="Train real models, compare them, and catch one that goes wrong."
    )
    parser.add_argument("--at-once", type=int, default=3, help="training processes at a time (default 3)")
    parser.add_argument("--seed", type=int, default=0, help="first one of the nightly trainings (default 0)")
    options = parser.parse_args(arguments)
    for name in [name for name in os.environ if name.startswith("RUNTIDE_") and name != "RUNTIDE_HOME"]:
        del os.environ[name]  # the demo is of the local stack, wherever the caller's own trainings go
    try:
        return run(options.at_once, options.seed)
    except KeyboardInterrupt:
        print("\nStopped. The stack stays up; `runtide down` ends it.", file=sys.stderr)
        return 130


def run(at_once: int, seed: int) -> int:
    began = time.monotonic()
    heading(1, "The stack: broker, ClickHouse, worker, dashboard")
    if subprocess.run([sys.executable, "-m", "runtide.cli", "up", "--detach"], check=False).returncode != 0:
        print("The stack did not come up; `runtide doctor` says why.", file=sys.stderr)
        return 3
    stamp = time.strftime("%m%d-%H%M%S")
    folder = Path(tempfile.mkdtemp(prefix="runtide-demo-"))
    compared, is_complete = comparison.play(at_once, stamp, folder)

    from . import regression  # it imports what takes a second

    bad, is_caught = regression.play(seed, stamp, folder)

    failed = [
        words for words, went_well in (("the comparison", is_complete), ("the regression", is_caught)) if not went_well
    ]
    outcome = f", but not as planned: {' and '.join(failed)}" if failed else ""
    print(f"\nDone in {time.monotonic() - began:.0f} s{outcome}. Look around:\n")
    digits = [trainee.run_id for trainee in compared if trainee.training.name.startswith("digits")]
    print(f"  The networks for handwritten digits, side by side:\n  {compare_link(digits)}\n")
    print(f"  runtide runs --project {PROJECT}")
    print(f"  runtide show {PROJECT}/{compared[0].run_id}")
    print(f"  runtide alerts --project {PROJECT} --severity page")
    print(f"  runtide verdict {PROJECT}/{bad.run_id}")
    print(f"  runtide baseline show {PROJECT}/{bad.run_id}")
    print(f'  runtide sql "{QUERY}"')
    print("\n  The stack stays up; `runtide down` (or `make demo-down`) ends it.")
    return 1 if failed else 0


if __name__ == "__main__":
    raise SystemExit(main())
