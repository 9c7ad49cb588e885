"""Adapters to other libraries, one module each: docs/integrations.md. None is loaded before it is asked for."""

from __future__ import annotations

import importlib
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from runtide._run import Run
from runtide.errors import RuntideError

__all__ = ["current", "going_on", "harmless", "library"]


def library(name: str, install: str | None = None) -> Any:
    """A library that an adapter is for. Raises `ModuleNotFoundError` that says how to install it.

    Not an import statement: the SDK depends on none of them, and types of libraries that may be missing are no help.
    """
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        if error.name is None or not f"{name}.".startswith(f"{error.name}."):  # it is there, but not what it needs
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


def going_on() -> Run | None:
    """The current run, if it has not ended."""
    import runtide

    return runtide.run if runtide.run is not None and not runtide.run._writer.finished else None


@contextmanager
def harmless(run: Run, what: str) -> Iterator[None]:
    """What an adapter does while a library trains: an error is counted and told, never raised into training."""
    try:
        yield
    except Exception as error:  # noqa: BLE001 - that is the point
        run._writer.refusals.add(f"something {what} could not record", f"{type(error).__name__}: {error}")
