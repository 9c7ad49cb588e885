"""Adapters to other libraries, one module each: docs/integrations.md. None is loaded before it is asked for."""

from __future__ import annotations

import importlib
from typing import Any

from runtide._run import Run
from runtide.errors import RuntideError

__all__ = ["current", "library"]


def library(name: str, install: str | None = None) -> Any:
    """A library that an adapter is for. Raises `ImportError` that says how to install it.

    Not an import statement: the SDK depends on none of them, and types of libraries that may be missing are no help.
    """
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        if error.name is None or not name.startswith(error.name):  # it is there, but something that it needs is not
            raise
        package = install or name.partition(".")[0]
        raise ModuleNotFoundError(f"{package} is not installed: pip install {package}", name=error.name) from None


def current(run: Run | None) -> Run:
    """The run that was given, else the current one. Raises `RuntideError` if there is none."""
    import runtide

    found = run if run is not None else runtide.run
    if found is None:
        raise RuntideError("there is no run yet: call runtide.init() first, or give the run")
    return found
