"""`runtide reproduce`: prints how a run is run again, or does it and says whether the numbers are the same."""

from __future__ import annotations

import contextlib
import json
import os
import re
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from runtide import generators, identity, settings
from runtide.cli import UNREACHABLE, CommandError
from runtide.execute import execute
from runtide.sync import sync
from runtide_storage import Client
from runtide_storage.goals import is_throughput
from runtide_storage.recipe import Recipe, recipe
from runtide_workers.cli import output
from runtide_workers.reproduction import checks, workspace

TAG = "reproduction"
STORED_S = 120.0  # to wait until what it logged is stored
_CLOCK = re.compile(r"(?<![a-z])(time|seconds?|secs?|s|ms|duration|elapsed|eta|timestamp)(?![a-z])", re.IGNORECASE)


def reproduce(
    ref: str,
    *,
    perform: bool,
    repository: str | None,
    directory: str | None,
    with_packages: bool,
    keep: bool,
    tolerance: float,
    as_json: bool,
) -> int:
    """0: the same numbers (or printed); 1: others; 2: it can't be told."""
    with Client() as client:
        run = client.run(ref)
        exact = f"{run['project']}/{run['run_id']}"
        made = recipe(run["meta"])
        if not perform:
            return _print_recipe(exact, made, as_json)
        if not made.command:
            raise CommandError(f"{exact} can't be run again: {made.missing[0]}")
        used = [item for item in client.lineage(exact) if item.role != "output"]
        with (
            contextlib.redirect_stdout(sys.stderr),
            _place(directory, keep) as place,
            workspace.checked_out(made, repository, place, keep) as code,
        ):
            python, absent = workspace.interpreter(made, place, with_packages, _tell)
            found = checks.otherwise(made, run["meta"], used, python)
            missing = [*made.missing, *code.missing, *(f"{each} could not be installed" for each in absent)]
            _tell(f"{exact} again, in {code.directory(made)}")
            for line in [*missing, *map(_line, found)]:
                _tell(f"  {line}")
            again, exit_code = _run(exact, run, made, code, python, place)
        rows = [_judged(row, tolerance) for row in client.repeated(exact, again).to_pylist()]
    facts = {"run": exact, "again": again, "exit_code": exit_code, "missing": missing, "metrics": rows}
    facts["otherwise"] = [each._asdict() for each in found]
    return _report(facts, as_json)


def _print_recipe(exact: str, made: Recipe, as_json: bool) -> int:
    if as_json:
        facts = {"run": exact, "lines": made.shell(), "missing": list(made.missing), "diff": made.diff}
        print(output.as_json(facts | {"commit": made.commit, "remote": made.remote, "packages": dict(made.packages)}))
        return 0
    for line in made.shell():
        print(output.printable(line))
    for line in made.missing:
        print(f"# {output.clean(line)}")
    print(f"# Python {made.python or '?'}, {len(made.packages)} packages (--json lists them)")
    print(f"# to do it and compare the numbers: runtide reproduce {exact} --run")
    return 0


def _run(
    exact: str, run: Mapping[str, Any], made: Recipe, code: workspace.Workspace, python: str, place: Path
) -> tuple[str, int]:
    """Run it as a run of its own, in the same project. (Its name, the command's exit code); then it is stored."""
    states = place / "generators.json"
    states.write_text(json.dumps(made.generators))
    run_id = f"{run['run_id'][:100]}-again-{identity.new_run_id()}"
    here = code.directory(made)
    if not here.is_dir():
        raise CommandError(f"the directory {here} that it ran in is not there")
    changed = workspace.environment(made, code) | {generators.RESTORE_VARIABLE: str(states)}
    with contextlib.chdir(here), _environment(changed):
        exit_code = execute(
            workspace.command(made, python), project=run["project"], id=run_id, group=run["group"] or None,
            name=f"{run['run']} again", tags=[TAG], notes=f"reproduces {exact}",
        )  # fmt: skip
    known = settings.load()
    stored = sync(known.dir, known.kafka, runs=[run_id], wait_s=STORED_S)
    if not stored.complete:
        raise CommandError(f"it ran, but is not stored yet ({stored.error or stored}): compare it later", UNREACHABLE)
    return f"{run['project']}/{run_id}", exit_code


def _judged(row: Mapping[str, Any], tolerance: float) -> dict[str, Any]:
    """`verdict`: same, close (within the tolerance), differs, or clock: it measures time, which is never the same."""
    exact = row["n_a"] == row["n_b"] == row["n_same"]
    close = row["n_a"] == row["n_b"] and row["relative"] <= tolerance
    clock = is_throughput(row["metric"]) or _CLOCK.search(row["metric"])
    return {**row, "verdict": "same" if exact else "close" if close else "clock" if clock else "differs"}


def _report(facts: dict[str, Any], as_json: bool) -> int:
    rows: Sequence[Mapping[str, Any]] = facts["metrics"]
    judged = [row["verdict"] for row in rows if row["verdict"] != "clock"]
    code = 2 if not judged else 1 if "differs" in judged else 0
    facts["same"] = code == 0 if judged else None
    if as_json:
        print(output.as_json(facts))
        return code
    cells = [
        (
            row["metric"],
            row["n_a"],
            row["n_b"],
            row["n_same"],
            row["first_step"],
            f"{row['relative']:.1e}",
            row["verdict"],
        )
        for row in rows
    ]
    headings = ("metric", "points", "again", "same", "first other step", "largest difference", "")
    output.table(headings, cells, right=headings[1:6])
    told = {0: "the same numbers", 1: "other numbers", 2: "nothing to compare: it can't be told"}[code]
    print(f"{facts['again']}: {told}" + (f" (exit code {facts['exit_code']})" if facts["exit_code"] else ""))
    return code


def _line(each: checks.Otherwise) -> str:
    return f"{each.part}: {each.name} was {each.then or 'not there'}, is {each.now or 'not there'}"


def _tell(line: str) -> None:
    print(f"runtide reproduce: {output.clean(line)}", file=sys.stderr)


@contextlib.contextmanager
def _place(directory: str | None, keep: bool) -> Iterator[Path]:
    """Where worktree and environment are made."""
    if directory is not None:
        place = Path(directory).expanduser().absolute()
        if place.exists() and any(place.iterdir()):
            raise CommandError(f"--dir {place} is not empty")
        place.mkdir(parents=True, exist_ok=True)
        yield place
    elif keep:
        place = Path(tempfile.mkdtemp(prefix="runtide-reproduce-"))
        _tell(f"kept in {place}")
        yield place
    else:
        with tempfile.TemporaryDirectory(prefix="runtide-reproduce-", ignore_cleanup_errors=True) as name:
            yield Path(name)


@contextlib.contextmanager
def _environment(changed: Mapping[str, str]) -> Iterator[None]:
    before = {name: os.environ.get(name) for name in changed}
    os.environ.update(changed)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value
