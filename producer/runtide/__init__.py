"""Runtide: experiment metrics for machine-learning training. Log and forget, know within seconds, ask anything.

import runtide

run = runtide.init(project="digits", config={"lr": 1e-3})
for batch in batches:
    run.log({"train/loss": loss})
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

from runtide._run import Run
from runtide.errors import ContractError, RuntideError, SettingsError
from runtide.wandb.settings import Settings

__version__ = "0.1.0"

__all__ = [
    "ContractError",
    "Run",
    "RuntideError",
    "Settings",
    "SettingsError",
    "alert",
    "config",
    "define_metric",
    "finish",
    "init",
    "log",
    "run",
    "summary",
]

run: Run | None = None  # the current run: the last one that `init` gave

# What `import runtide as wandb` finds besides, loaded when it is asked for (docs/wandb.md).
_WANDB_NAMES = frozenset(
    (
        "AlertLevel", "Api", "Artifact", "Audio", "CommError", "Error", "Graph", "Histogram", "Html", "Image",
        "Molecule", "Object3D", "Plotly", "Table", "UsageError", "Video", "agent", "controller", "integration", "join",
        "keras", "lightgbm", "link_model", "log_artifact", "log_code", "log_model", "login", "mark_preempting", "plot",
        "plot_table", "restore", "save", "setup", "sklearn", "sweep", "teardown", "termerror", "termlog", "termwarn",
        "unwatch", "use_artifact", "use_model", "util", "watch", "xgboost",
    )
)  # fmt: skip

if TYPE_CHECKING:
    from runtide.mapping import Config

    config: Config
    summary: Config


def init(
    project: str | None = None,
    *,
    name: str | None = None,
    id: str | None = None,  # noqa: A002 - wandb's word
    group: str | None = None,
    job_type: str | None = None,
    config: Any = None,
    tags: Iterable[str] | None = None,
    notes: str | None = None,
    dir: str | os.PathLike[str] | None = None,  # noqa: A002
    mode: str | None = None,
    resume: str | bool | None = "allow",
    settings: Mapping[str, Any] | Settings | None = None,
    **wandb: Any,
) -> Run:
    """Begin a run, or go on with one. Needs no network and takes milliseconds.

    `id`: go on with this run (or begin it) as its next attempt, or join it if it is going on. `config`: a mapping,
    dataclass or argparse.Namespace. `mode`: "online", "offline" (journal only, `runtide sync` later) or "disabled".
    `resume`: "allow"; "must": an id has to be given, here or as RUNTIDE_RUN_ID; "never": if this host's journals know
    the id already, the run gets a new one. Nobody asks the server: an id that only the server knows is gone on with.
    `wandb`: its other arguments; what means nothing here is ignored with a warning.

    A run that this process still has is finished first. Project and id are made valid if they are not, with a warning.
    Raises `SettingsError` for a setting that can't be used, and nothing else; the run that it returns never raises.
    """
    from runtide.wandb import init as wandb_init

    return wandb_init.start(
        {"project": project, "run_id": id, "group": group, "tags": tags, "dir": dir, "mode": mode, "resume": resume},
        settings,
        {"name": name, "job_type": job_type, "notes": notes, "config": config},
        wandb,
    )


def log(
    data: Mapping[str, Any] | None = None, step: int | None = None, commit: bool | None = None, timestamp: Any = None
) -> None:
    """`Run.log` of the current run. Without data it ends the step that `commit=False` left open."""
    _current().log({} if data is None else data, step, commit, timestamp)


def define_metric(name: str, *meaning: Any, **more: Any) -> None:
    """`Run.define_metric` of the current run."""
    _current().define_metric(name, *meaning, **more)


def alert(title: str, text: str = "", level: str = "WARN", wait_duration: float = 60) -> None:
    """`Run.alert` of the current run."""
    _current().alert(title, text, level, wait_duration)


def finish(exit_code: int | None = None, timeout: float = 5.0, quiet: bool | None = None) -> None:  # noqa: ARG001
    """`Run.finish` of the current run, if there is one. `quiet` is wandb's; nothing is printed at the end anyway."""
    if run is not None:
        run.finish(exit_code, timeout)


def _current() -> Run:
    if run is None:
        raise RuntideError("there is no run yet: call runtide.init() first")
    return run


def __getattr__(name: str) -> Any:
    """`runtide.config` and `runtide.summary` are those of the current run."""
    if name in ("config", "summary"):
        return getattr(_current(), name)
    if name in _WANDB_NAMES:
        from runtide.wandb import names as wandb_names

        return wandb_names.find(name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
