"""What every act of the demo needs: headings, links into the pages, and what trainings said that went otherwise."""

import json
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from urllib.parse import urlencode

from .plan import PROJECT
from .training import Trainee

ACTS = 6
METRICS = ("val/accuracy", "train/loss", "val/loss", "lr")  # that the compare page shows first
LINES_SHOWN = 8  # of a training that went otherwise


def heading(act: int, text: str) -> None:
    print(f"\n[{act}/{ACTS}] {text}", flush=True)


def surprises(trainees: Sequence[Trainee]) -> list[Trainee]:
    """The trainings that did not end as planned; what they said last goes to stderr."""
    found = [trainee for trainee in trainees if not trainee.as_planned]
    for trainee in found:
        said = "\n".join(trainee.output.read_text(errors="replace").splitlines()[-LINES_SHOWN:])
        print(f"{trainee.training.name} ended with {trainee.exit_code}; it said:\n{said}", file=sys.stderr)
    return found


def compare_link(run_ids: Sequence[str]) -> str:
    """The dashboard's compare page with these runs on it."""
    shown = {"project": PROJECT, "runs": ",".join(run_ids), "metrics": METRICS, "log": "x"}
    return f"{dashboard()}/compare?{urlencode(shown, doseq=True, safe='/,')}"


def dashboard() -> str:
    """Where the stack's pages are."""
    home = Path(os.environ.get("RUNTIDE_HOME") or Path.home() / ".runtide")
    return str(json.loads((home / "stack.json").read_text()).get("dashboard", "http://127.0.0.1:17702"))
