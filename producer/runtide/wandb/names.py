"""The names of wandb's module that Runtide's lacks; `runtide.__getattr__` comes here for them."""

from __future__ import annotations

import enum
import importlib
import sys
from types import SimpleNamespace
from typing import Any, NoReturn

import runtide
from runtide import identity
from runtide.errors import RuntideError
from runtide.refusals import warn

_MEDIA = ("Audio", "Graph", "Histogram", "Html", "Image", "Molecule", "Object3D", "Plotly", "Table", "Video")
_PLACES = {
    **dict.fromkeys(_MEDIA, "runtide.media"),
    "Api": "runtide.wandb.api",
    "Artifact": "runtide.wandb.artifact",
    "plot_table": "runtide.media.plot",
}
_MODULES = {
    "integration": "runtide.integrations", "keras": "runtide.integrations.keras", "plot": "runtide.media.plot",
    "lightgbm": "runtide.integrations.lightgbm", "sklearn": "runtide.integrations.sklearn_plots",
    "xgboost": "runtide.integrations.xgboost",
}  # fmt: skip
_OF_THE_RUN = (
    "join", "link_model", "log_artifact", "log_code", "log_model", "mark_preempting", "restore", "save", "unwatch",
    "use_artifact", "use_model", "watch",
)  # fmt: skip


def find(name: str) -> Any:
    """What wandb's module has under this name. Raises `AttributeError` if we have nothing like it."""
    if name in _PLACES:
        return getattr(importlib.import_module(_PLACES[name]), name)
    if name in _MODULES:
        return importlib.import_module(_MODULES[name])
    if name in _OF_THE_RUN:
        return getattr(_run(), name)
    if name in ("Error", "CommError", "UsageError"):
        return RuntideError
    return globals()[name]


class AlertLevel(enum.Enum):
    """Of `alert`."""

    INFO = "INFO"
    WARN = "WARN"
    ERROR = "ERROR"


def login(*_: Any, **__: Any) -> bool:
    """There are no accounts. True, as from a login that went well."""
    return True


def setup(*_: Any, **__: Any) -> SimpleNamespace:
    """Nothing to set up. Gives an object whose `settings` are the current run's, if there is one."""
    from runtide.settings import load

    return SimpleNamespace(settings=runtide.run.settings if runtide.run is not None else load())


def teardown(exit_code: int | None = None) -> None:
    """Finish the current run."""
    runtide.finish(exit_code)


def sweep(*_: Any, **__: Any) -> NoReturn:
    """There are no sweeps."""
    raise RuntideError(
        "there are no sweeps: search with Optuna and runtide.integrations.optuna (docs/integrations.md), "
        "or let a launcher start one run per setting, with the same group"
    )


agent = controller = sweep


def termlog(string: str = "", newline: bool = True, **_: Any) -> None:
    """Say something on stderr."""
    sys.stderr.write(f"runtide: {string}" + ("\n" if newline else ""))


def termwarn(string: str, **_: Any) -> None:
    warn(string)


def termerror(string: str, **_: Any) -> None:
    warn(string)


util = SimpleNamespace(generate_id=lambda length=8: (identity.new_run_id() * (length // 8 + 1))[:length])


def _run() -> Any:
    if runtide.run is None:
        raise RuntideError("there is no run yet: call runtide.init() first")
    return runtide.run
