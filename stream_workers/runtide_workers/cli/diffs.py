"""`runtide diff`: what is otherwise in one run than in another."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict

from runtide.cli import CommandError
from runtide_storage import Client, differences
from runtide_storage.causes import RUNS_MIN, Cause, Causes
from runtide_storage.differences import PARTS, Difference
from runtide_workers.cli import output

DIFF_LINES_MAX = 200  # of the uncommitted changes, in a terminal
VALUE_CHARS_MAX = 60
CAUSES_MAX = 8


def diff(a: str, b: str, parts: Sequence[str], everything: bool, metric: str | None, as_json: bool) -> int:
    """Likely causes of the different result, then all by part. `everything`: what is equal, too."""
    if wrong := [part for part in parts if part not in PARTS]:
        raise CommandError(f"--part {wrong[0]}: there are {', '.join(PARTS)}")
    with Client() as client:
        runs = [client.run(ref) for ref in (a, b)]
        refs = [f"{run['project']}/{run['run_id']}" for run in runs]
        found = [each for each in client.diff(*refs) if not parts or each.part in parts]
        likely = client.causes(refs[0], refs[1], metric)
    shown = [each for each in found if everything or not each.same]
    if as_json:
        rows = [{"part": each.part, "name": each.name, "a": each.a, "b": each.b, "same": each.same} for each in shown]
        facts = {"a": refs[0], "b": refs[1], "differences": rows, "compared": len(found), "likely": asdict(likely)}
        print(output.as_json(facts))
        return 0
    names = [output.clean(f"{ref} {run['name']}".rstrip()) for ref, run in zip(refs, runs, strict=True)]
    print(f"a  {names[0]}\nb  {names[1]}")
    if not parts:
        _print_causes(likely)
    for part in PARTS:
        _print_part(part, [each for each in shown if each.part == part])
    same = sum(each.same for each in found)
    if not found:
        print("nothing was recorded of either" + (f" in {', '.join(parts)}" if parts else ""))
    elif same == len(found):
        print(f"\nno differences in {same} recorded things")
    elif not everything:
        print(f"\n{same} more are equal: --all lists them")
    return 0


def _print_causes(likely: Causes) -> None:
    if likely.a is None or likely.b is None or likely.a == likely.b:
        return
    output.heading(f"{likely.metric} {likely.a:.6g} → {likely.b:.6g}: where to look first")
    if not likely.causes:
        print("nothing that was recorded differs: seeds and chance remain")
    rows = [
        (at, f"{each.part}: {each.name}", *_in_words(each), _evidence(each))
        for at, each in enumerate(likely.causes[:CAUSES_MAX], 1)
    ]
    output.table(("", "", "a", "b", "in other runs"), rows)


def _in_words(cause: Cause) -> tuple[object, object]:
    if (cause.part, cause.name) != ("code", "diff"):
        return _shown(cause.a), _shown(cause.b)
    files = [", ".join(differences.changed_files(diff or "")) or "none" for diff in (cause.a, cause.b)]
    return _shown(files[0]), _shown(files[1])


def _evidence(cause: Cause) -> str:
    if cause.strength is None:
        return "never another" if cause.runs >= RUNS_MIN else "too few to tell"
    return f"goes with it to {cause.strength:.0%} ({cause.runs} runs)"


def _print_part(part: str, found: Sequence[Difference]) -> None:
    if not found:
        return
    output.heading(part)
    patches = [each for each in found if part == "code" and each.name == "diff"]
    rows = [
        (each.name, _shown(each.a), _shown(each.b), "=" if each.same else "") for each in found if each not in patches
    ]
    output.table(("", "a", "b", ""), rows)
    for each in patches:
        lines = differences.compare_diffs(each.a or "", each.b or "")
        print("uncommitted changes" + (" are the same" if each.same else ", a against b:" if lines else ""))
        for line in lines[:DIFF_LINES_MAX]:
            print(f"  {output.printable(line)}")
        if len(lines) > DIFF_LINES_MAX:
            print(f"  … and {len(lines) - DIFF_LINES_MAX} more lines: --json has both diffs")


def _shown(value: object) -> str | float | None:
    """As a cell. None: not there."""
    if value is None or isinstance(value, float):
        return value
    return output.short(output.clean(differences.shown(value)), VALUE_CHARS_MAX)
