"""How to run a program again as it ran, from what was captured of it (`meta`). Pure: nothing is looked at or done."""

from __future__ import annotations

import os
import shlex
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from runtide.redact import HIDDEN

CUT_OFF = "... (cut off at "  # how a diff ends that was too long to keep


@dataclass(frozen=True, slots=True)
class Recipe:
    """`command` starts with "python" where the captured interpreter or its like is meant; empty: it was not captured.

    `directory`: below the repository's root, or absolute where it was outside. `missing`: what can't be the same,
    each in one line.
    """

    command: tuple[str, ...]
    directory: str
    root: str  # of the repository, where it was
    remote: str
    commit: str
    diff: str
    python: str  # version
    executable: str
    packages: Mapping[str, str]
    environment: Mapping[str, str]
    generators: Mapping[str, Any]
    missing: tuple[str, ...] = field(default=())

    def shell(self) -> list[str]:
        """Lines for a person's shell; empty without a command."""
        if not self.command:
            return []
        lines = [f"git checkout {shlex.quote(self.commit)}"] if self.commit else []
        if self.diff:
            lines.append("git apply uncommitted.diff  # it is below")
        if self.directory not in ("", "."):
            lines.append(f"cd {shlex.quote(self.directory)}")
        settings = [f"{name}={shlex.quote(value)}" for name, value in self.environment.items()]
        return [*lines, " ".join([*settings, shlex.join(self.command)])]


def recipe(meta: Mapping[str, Any]) -> Recipe:
    """What can be told of any `meta`, however little it holds."""
    root = _text(meta, "git/root")
    commit, diff = _text(meta, "git/commit"), _text(meta, "git/diff")
    cwd = _text(meta, "cwd")
    directory = os.path.relpath(cwd, root) if root and _is_below(cwd, root) else cwd
    packages = meta.get("packages")
    environment = {
        name.removeprefix("env/"): str(value)
        for name, value in meta.items()
        if name.startswith("env/") and name not in _OF_THE_MACHINE and HIDDEN not in str(value)
    }
    hash_seed = _text(meta, "seed/pythonhashseed")
    if hash_seed.isdigit():
        environment["PYTHONHASHSEED"] = hash_seed
    return Recipe(
        command=_command(meta, root, directory),
        directory=directory,
        root=root,
        remote=_text(meta, "git/remote"),
        commit=commit,
        diff="" if CUT_OFF in diff else diff,
        python=_text(meta, "python/version"),
        executable=_text(meta, "python/executable"),
        packages=packages if isinstance(packages, dict) else {},
        environment=environment,
        generators={name: value for name, value in meta.items() if name.startswith("rng/")},
        missing=tuple(_missing(meta, commit, diff, hash_seed)),
    )


# Where a run ran, not how: another launch has others.
_OF_THE_MACHINE = frozenset(
    ("env/VIRTUAL_ENV", "env/CONDA_DEFAULT_ENV", "env/MASTER_ADDR", "env/MASTER_PORT", "env/RANK", "env/LOCAL_RANK",
     "env/WORLD_SIZE", "env/LOCAL_WORLD_SIZE", "env/PYTHONHASHSEED")
)  # fmt: skip


def _command(meta: Mapping[str, Any], root: str, directory: str) -> tuple[str, ...]:
    argv = meta.get("argv")
    if not isinstance(argv, list) or not argv:
        return ()
    words = [str(word) for word in argv]
    if module := _text(meta, "module"):
        return ("python", "-m", module, *words[1:])
    if root and _is_below(words[0], root):  # in the copy of the repository, not in the original
        words[0] = os.path.relpath(words[0], os.path.join(root, directory))
    is_script = words[0].endswith(".py") or bool(_text(meta, "script"))
    return ("python", *words) if is_script or words[0] == "-c" else tuple(words)


def _missing(meta: Mapping[str, Any], commit: str, diff: str, hash_seed: str) -> list[str]:
    found = []
    argv = meta.get("argv")
    if not argv:
        found.append("the command line was not captured")
    elif HIDDEN in str(argv):
        found.append(f"a secret in the command line was not kept: {HIDDEN} stands in its place")
    if not commit:
        found.append("the code was in no git repository, or that was not captured")
    if meta.get("git/dirty") and not diff:
        found.append("there were changes that were not committed, and they were not captured")
    if CUT_OFF in diff:
        found.append("the changes that were not committed were too many to keep")
    elif HIDDEN in diff:
        found.append("a secret in the uncommitted changes was not kept")
    if hash_seed == "random":
        found.append("PYTHONHASHSEED was not set: the order of sets of texts may be another")
    if "numpy" in (meta.get("packages") or ()) and "rng/numpy" not in meta:
        found.append("numpy.random was not in use when the run began: what it draws is another, unless it is seeded")
    if _text(meta, "env/WORLD_SIZE") not in ("", "1"):
        found.append(f"it ran as {meta['env/WORLD_SIZE']} processes: this is one of them")
    return found


def _is_below(path: str, root: str) -> bool:
    return path == root or path.startswith(root.rstrip("/") + "/")


def _text(meta: Mapping[str, Any], name: str) -> str:
    value = meta.get(name)
    return value if isinstance(value, str) else "" if value is None else str(value)
