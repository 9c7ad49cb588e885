"""What is otherwise here and now than when the run ran: before it is started again."""

from __future__ import annotations

import json
import re
import subprocess
from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

from runtide import artifacts, system
from runtide_storage.differences import same, shown
from runtide_storage.lineage import Item
from runtide_storage.recipe import Recipe

_ASK = """
import importlib.metadata, json, platform
found = {d.metadata["Name"]: d.version for d in importlib.metadata.distributions()}
print(json.dumps([platform.python_version(), found]))
"""


class Otherwise(NamedTuple):
    """`now` or `then` None: not there."""

    part: str
    name: str
    then: str | None
    now: str | None


def otherwise(recipe: Recipe, meta: Mapping[str, Any], data: Iterable[Item], python: str) -> list[Otherwise]:
    """Everything that differs, part by part: python, packages, hardware, data."""
    version, packages = _installed(python)
    recorded = _normalized(recipe.packages)
    found = [Otherwise("python", "version", recipe.python, version)] if recipe.python not in ("", version) else []
    for name in sorted({*recorded, *packages} if recorded else ()):
        then, now = recorded.get(name), packages.get(name)
        if then != now and name != "runtide":
            found.append(Otherwise("packages", name, then, now))
    for name, value in system.describe_hardware().items():
        if name in meta and not same(meta[name], value):
            found.append(Otherwise("hardware", name, shown(meta[name]), shown(value)))
    return [*found, *_data(data)]


def _data(items: Iterable[Item]) -> list[Otherwise]:
    """Datasets and artifacts that the run used, where their bytes are known and are to be on this machine."""
    found = []
    for item in items:
        if item.role == "output" or not item.digest or not item.place or "://" in item.place:
            continue
        path = artifacts.local_path(item.place)
        digest = artifacts.describe(path).get("digest") if path is not None else None
        if digest != item.digest:
            found.append(Otherwise("data", item.name, f"{item.digest} {item.place}", digest))
    return found


def _installed(python: str) -> tuple[str, dict[str, str]]:
    done = subprocess.run([python, "-c", _ASK], capture_output=True, text=True, check=False)
    if done.returncode:
        return "", {}
    version, packages = json.loads(done.stdout)
    return version, _normalized(packages)


def _normalized(packages: Mapping[str, str]) -> dict[str, str]:
    """Under the names that packages are known by, as PEP 503 has them."""
    return {re.sub(r"[-_.]+", "-", name).lower(): version for name, version in packages.items()}
