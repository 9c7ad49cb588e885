"""`runtide diff`: what is otherwise in one run than in another."""

from __future__ import annotations

from collections.abc import Sequence

from runtide.cli import CommandError
from runtide_storage import Client, differences
from runtide_storage.differences import PARTS, Difference
from runtide_workers.cli import output

DIFF_LINES_MAX = 200  # of the uncommitted changes, in a terminal
VALUE_CHARS_MAX = 60


def diff(a: str, b: str, parts: Sequence[str], everything: bool, as_json: bool) -> int:
    """By part, likely causes before what follows from them. `everything`: what is equal, too."""
    if wrong := [part for part in parts if part not in PARTS]:
        raise CommandError(f"--part {wrong[0]}: there are {', '.join(PARTS)}")
    with Client() as client:
        runs = [client.run(ref) for ref in (a, b)]
        refs = [f"{run['project']}/{run['run_id']}" for run in runs]
        found = [each for each in client.diff(*refs) if not parts or each.part in parts]
    shown = [each for each in found if everything or not each.same]
    if as_json:
        rows = [{"part": each.part, "name": each.name, "a": each.a, "b": each.b, "same": each.same} for each in shown]
        print(output.as_json({"a": refs[0], "b": refs[1], "differences": rows, "compared": len(found)}))
        return 0
    names = [output.clean(f"{ref} {run['name']}".rstrip()) for ref, run in zip(refs, runs, strict=True)]
    print(f"a  {names[0]}\nb  {names[1]}")
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
