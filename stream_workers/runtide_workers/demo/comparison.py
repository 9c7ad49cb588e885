"""Acts 2 to 4: many trainings at once, a count of what is stored of them, and a table."""

import os
from collections.abc import Sequence
from pathlib import Path

from .plan import PLAN, PROJECT
from .stage import dashboard, heading, surprises
from .training import Trainee, progress, train


def play(at_once: int, stamp: str, folder: Path) -> tuple[list[Trainee], bool]:
    """The trainings, and whether all went as planned."""
    heading(2, f"{len(PLAN)} trainings, {at_once} at a time; one will be killed, one can't work")
    print(f"  follow it live: {dashboard()}/?project={PROJECT}")
    trainees = [Trainee(training, f"{training.name}-{stamp}", folder) for training in PLAN]
    with progress() as watch:
        train(trainees, at_once, watch, os.environ)
    as_planned = not surprises(trainees)
    return trainees, counted(trainees) and as_planned


def counted(trainees: Sequence[Trainee]) -> bool:
    """Show that everything is stored, once, and how the trainings compare."""
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
            points, logged = found[trainee.run_id].points, trainee.count.points
            print(
                f"  {trainee.training.name} got SIGKILL at step {trainee.count.step:,}: its state is “{state}”, "
                f"{min(points, logged):,} of {logged:,} points kept"
                + (f" (and {points - logged} of a call that was not finished)" if points > logged else "")
            )
    states_right = all(runs.get(t.run_id, {}).get("state") == t.training.fate for t in trainees)

    heading(4, "The comparison")
    report.print_table(trainees, runs, report.summaries(client, trainees))
    return complete and not duplicates and states_right
