"""Acts 5 and 6: a training that went well night after night gets a data file with wrong labels, and is caught by it.

Nothing is rehearsed: the labels in the file are wrong, and what is shown is what the worker found and how long it took.
The seeds are the same each time, unless others are asked for, because with others a healthy training may happen to be
worse than all before: about one in a hundred does not pass the gate.
"""

import os
import shutil
import subprocess
import sys
import textwrap
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from runtide_storage import Client
from runtide_workers.alerting.message import alert_link

from . import nightly_data, report
from .plan import CORRUPTED, NIGHTS, PROJECT, SIBLINGS, nightly
from .stage import dashboard, heading, surprises
from .training import Trainee, Watch, progress, train

INDENT = "    "
WIDTH_MAX = 100  # of the text behind it
STEPS = 500  # of a nightly training
BATCHES_PER_S = 50  # so that it takes ten seconds
PERIOD_S = 0.2  # between two looks
JUDGED_S = 60.0  # for the worker to judge runs that have ended

DECIDED = """
SELECT toUnixTimestamp64Milli(max(ts)) / 1000 AS at FROM v_points
WHERE project = {project:String} AND run_id = {run_id:String} AND metric = {metric:String} AND step = {step:Int64}
HAVING count() > 0
"""


def play(seed: int, stamp: str, folder: Path) -> tuple[Trainee, bool]:
    """The bad training, and whether all went as planned."""
    history, tonight = planned(seed, stamp, folder)
    client = Client()

    heading(5, f"One training, night after night: {NIGHTS} seeds side by side stand for {NIGHTS} nights")
    print(f"  seeds {seed} to {seed + NIGHTS - 1} (--seed N: others); most of the time each waits for its data loader,")
    print("  which is a sleep here")
    with progress() as watch:
        train(history, len(history), watch, os.environ)
    is_ready = not surprises(history) and wait_until_judged(client, history)
    print(f"  {'stored, and from now on the baseline' if is_ready else 'NOT all stored and judged'}")

    wrong = f"{100 * CORRUPTED:.0f} % of the labels off by one row"
    heading(6, f"Tonight: {SIBLINGS} more seeds, and one on a data file with {wrong}")
    lookout = Lookout(client, dashboard())
    with progress() as watch:
        train(tonight, len(tonight), lookout.beside(watch), os.environ)
    went_well = not surprises(tonight) and wait_until_judged(client, tonight)
    is_caught = is_told(lookout, tonight)
    return tonight[-1], is_gated(tonight, os.environ) and is_caught and went_well and is_ready


def planned(
    seed: int, stamp: str, folder: Path, steps: int = STEPS, batches_per_s: int = BATCHES_PER_S
) -> tuple[list[Trainee], list[Trainee]]:
    """(those of the nights before, those of tonight: the healthy ones, and last the one with the bad file)."""
    good, bad = nightly_data.write(folder)
    files = [good] * (NIGHTS + SIBLINGS) + [bad]
    plans = [nightly(file, seed + number, steps, batches_per_s) for number, file in enumerate(files)]
    found = [Trainee(plan, f"{plan.name}-{stamp}", folder) for plan in plans]
    return found[:NIGHTS], found[NIGHTS:]


@dataclass(frozen=True)
class Caught:
    """A page as it arrived: how far its run was, and how long ago the point was logged that decided it."""

    alert: Mapping[str, Any]
    step: int
    is_training: bool
    delay_s: float | None  # None: no point decided it
    is_old_news: bool  # another run was paged for the same cause a short while ago: nobody is told again


@dataclass
class Lookout:
    """Follows the alerts on some runs. The first page of each is told the moment it arrives."""

    client: Client
    pages: str  # base URL of the dashboard; "": none
    caught: dict[str, Caught] = field(default_factory=dict)  # by run id

    def beside(self, watch: Watch) -> Watch:
        """For `train` to call: `watch`, and a look at the alerts."""
        looked = 0.0

        def both(trainees: Sequence[Trainee]) -> None:
            nonlocal looked
            watch(trainees)
            if time.monotonic() - looked >= PERIOD_S:
                looked = time.monotonic()
                self.look(trainees)

        return both

    def look(self, trainees: Sequence[Trainee]) -> None:
        for trainee in trainees:
            pages = [] if trainee.run_id in self.caught else self.raised(trainee, "page")
            if pages:  # of several, the one that came last made pages of the others
                alert = max(pages, key=lambda each: int(each["step"] or 0))
                is_old = all(each["quiet"] for each in pages)
                found = Caught(alert, trainee.count.step, trainee.exit_code is None, self._delay_s(alert), is_old)
                self.caught[trainee.run_id] = found
                self._tell(trainee, found)

    def raised(self, trainee: Trainee, *severities: str) -> list[dict[str, Any]]:
        """Its alerts, the newest first, whatever became of them."""
        found = self.client.alerts(PROJECT, severity=severities).to_pylist()
        return [alert for alert in found if alert["run_id"] == trainee.run_id]

    def _delay_s(self, alert: Mapping[str, Any]) -> float | None:
        if alert["metric"] is None or alert["step"] is None:
            return None
        names = {name: alert[name] for name in ("project", "run_id", "metric", "step")}
        rows = self.client.sql(DECIDED, names).to_pylist()
        return time.time() - float(rows[0]["at"]) if rows else None

    def _tell(self, trainee: Trainee, found: Caught) -> None:
        alert, steps = found.alert, trainee.training.steps
        when = (
            f"at {100 * (found.step + 1) / steps:.0f} % of the training" if found.is_training else "after the training"
        )
        if found.delay_s is not None:
            when += f", {found.delay_s:.1f} s after step {alert['step']} of {steps}, which decided it"
        print(f"\n  ALERT {when}")
        link = alert_link(self.pages, PROJECT, alert["id"]) or f"runtide alerts show {alert['id']}"
        for words in (alert["title"], alert["text"], link):
            print(wrapped(words))
        if found.is_old_news:
            print(wrapped("(its cause is that of an earlier alert, so no message goes out again)"))
        print(flush=True)


def wait_until_judged(client: Client, trainees: Sequence[Trainee]) -> bool:
    """Whether all that these logged is stored and each has its verdict: the next run can be compared with them.

    False: it took too long.
    """
    stored, _, _ = report.wait_until_stored(client, trainees)
    report.wait_for_states(client, trainees)
    refs = [f"{PROJECT}/{trainee.run_id}" for trainee in trainees]
    deadline = time.monotonic() + JUDGED_S
    while stored:
        judged = {row["run_id"] for row in client.verdicts(refs).to_pylist() if row["metric"] == ""}
        if len(judged) == len(refs):
            return True
        if time.monotonic() > deadline:
            return False
        time.sleep(PERIOD_S)
    return False


def is_told(lookout: Lookout, tonight: Sequence[Trainee]) -> bool:
    """Say who alarmed. True: the last one did, while it trained, and no page was raised on the others."""
    *siblings, bad = tonight
    lookout.look(tonight)  # what came after their end
    for trainee in siblings:
        raised = lookout.raised(trainee, "page", "warn")
        print(f"  {trainee.training.name}: {'no alert' if not raised else ''}")
        for alert in raised:
            print(f"    {alert['severity']}: {alert['title']}")
    others = len(lookout.raised(bad, "page", "warn")) - 1
    found = lookout.caught.get(bad.run_id)
    if found is None:
        print(f"  {bad.training.name}: NOT caught")
    else:
        print(f"  {bad.training.name}: caught" + (f"; {others} more of its metrics joined the alert" if others else ""))
    in_time = found is not None and found.is_training and found.delay_s is not None
    return in_time and not any(each.run_id in lookout.caught for each in siblings)


def is_gated(tonight: Sequence[Trainee], environment: Mapping[str, str]) -> bool:
    """Let the gate judge the bad run and a healthy one. True: it let pass the healthy one alone."""
    healthy, *_, bad = tonight
    codes = [runtide("gate", f"{PROJECT}/{each.run_id}", environment=environment) for each in (bad, healthy)]
    return codes == [1, 0]


def runtide(*arguments: str, environment: Mapping[str, str]) -> int:
    """Run a command of the command line, and show it, what it says, and its exit code."""
    command = [sys.executable, "-m", "runtide.cli", *arguments]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    print(f"\n  $ runtide {' '.join(arguments)}")
    for line in f"{done.stdout}{done.stderr}".splitlines():
        print(wrapped(line))
    print(f"    exit code {done.returncode}", flush=True)
    return done.returncode


def wrapped(text: str) -> str:
    """A line, or as many as the terminal makes necessary; links stay whole."""
    width = min(WIDTH_MAX, shutil.get_terminal_size().columns - len(INDENT)) if sys.stdout.isatty() else WIDTH_MAX
    more = " " * (len(text) - len(text.lstrip()))
    lines = textwrap.fill(text, width, subsequent_indent=more, break_long_words=False, break_on_hyphens=False)
    return textwrap.indent(lines, INDENT)
