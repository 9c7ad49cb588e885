"""Artifacts, models and datasets, kept for real: by content, in versions, wherever there is room.

import runtide.store

store = runtide.store.open("s3://bucket/artifacts")      # or a folder
kept = store.put("checkpoints/best", "net", aliases=["best"])
path = store.get("net:best", "restored")
"""

from __future__ import annotations

import os
from collections.abc import Mapping

from runtide.store.errors import Damaged, NoSuchArtifact, StoreError, Unavailable
from runtide.store.objects import open_objects
from runtide.store.register import Move, Version
from runtide.store.store import Kept, Store

__all__ = ["Damaged", "Kept", "Move", "NoSuchArtifact", "Store", "StoreError", "Unavailable", "Version", "open"]


def open(  # noqa: A001 - as of a file
    url: str | os.PathLike[str] | None = None, project: str | None = None, env: Mapping[str, str] | None = None
) -> Store:
    """The store at a folder or URL; without one that of RUNTIDE_ARTIFACTS, else `<RUNTIDE_HOME>/artifacts`.

    `project` is meant by names that say none; default: RUNTIDE_PROJECT. Raises `StoreError`, also if the URL needs a
    package that is not installed. Nothing is written or asked yet.
    """
    from runtide.settings import load

    settings = load(env=env)
    place = os.fspath(url) if url is not None else settings.artifacts or os.path.join(settings.home, "artifacts")
    return Store(open_objects(place), project or settings.project)
