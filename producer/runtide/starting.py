"""Beginning a run: what `runtide.init` and `runtide exec` have in common."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import runtide
from runtide import identity
from runtide._run import Run, run_url
from runtide.errors import SettingsError
from runtide.refusals import warn
from runtide.run_directory import any_writer_lives
from runtide.settings import DEFAULT_PROJECT, Settings, load

# "project/run": set by `runtide exec` for its command. Stronger than the project a script gives to `init`, since the
# command is to join the run whatever it calls itself; an explicit id is a run of its own.
JOIN_VARIABLE = "RUNTIDE_JOIN"


def start(
    arguments: Mapping[str, Any],
    given: Mapping[str, Any] | Settings | None,
    *,
    command: Sequence[str] | None = None,
    **details: Any,
) -> Run:
    """Make a run current. `arguments`: settings by name, None where not given; `details`: what else `Run` takes."""
    arguments = {name: list(value) if name == "tags" and value else value for name, value in arguments.items()}
    if arguments.get("resume") in (True, False, "allow"):  # wandb's booleans; "allow" is the default anyway
        arguments["resume"] = None
    joined = os.environ.get(JOIN_VARIABLE, "").partition("/")
    if joined[2] and arguments["run_id"] is None:
        arguments["project"], _, arguments["run_id"] = joined
    settings = with_identity(load(given, **arguments))
    if runtide.run is not None:
        runtide.run.finish()
    run = Run(settings, command=command, **details)
    runtide.run = run
    if settings.mode != "disabled" and not settings.quiet and identity.rank(os.environ) == 0:
        print(f"runtide: {settings.project}/{settings.run_id} · {run_url(settings) or run.dir}", file=sys.stderr)
    return run


def with_identity(settings: Settings) -> Settings:
    """Give the run a valid project and id. Raises `SettingsError` if it must resume and doesn't know what."""
    if settings.resume == "must" and not settings.run_id:
        raise SettingsError("resume='must': give the run's id, as an argument or as RUNTIDE_RUN_ID")
    project = identity.clean(settings.project, DEFAULT_PROJECT)
    if project != settings.project:
        warn(f"project {settings.project!r} is called {project!r}: names are of A-Z a-z 0-9 . _ -")
    run_id = identity.clean(settings.run_id, identity.new_run_id()) if settings.run_id else identity.new_run_id()
    if settings.run_id and run_id != settings.run_id:
        warn(f"run {settings.run_id!r} is called {run_id!r}: ids are of A-Z a-z 0-9 . _ -")
    if settings.resume == "never" and settings.run_id and _is_known(os.path.join(settings.dir, run_id)):
        taken, run_id = run_id, identity.new_run_id()
        warn(f"run {taken!r} exists already: this one is called {run_id!r}")
    return replace(settings, project=project, run_id=run_id)


def _is_known(run_directory: str) -> bool:
    """Has this host journals of the run that are not of the launch that is going on?"""
    try:
        names = os.listdir(run_directory)
    except OSError:
        return False
    return bool(names) and not any_writer_lives(run_directory, names)
