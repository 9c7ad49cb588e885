"""Where the program runs: the code as it was, and an interpreter with the packages that it had."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from runtide.capture import GIT
from runtide.cli import CommandError
from runtide_storage.recipe import Recipe

Tell = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Workspace:
    """`code`: the root of the repository's files, or None where the run had no repository. `missing`: in lines."""

    code: Path | None
    is_original: bool
    missing: list[str] = field(default_factory=list)

    def directory(self, recipe: Recipe) -> Path:
        """Where the command is to be started."""
        return (self.code or Path()) / (recipe.directory or ".")


@contextmanager
def checked_out(recipe: Recipe, repository: str | None, place: Path, keep: bool) -> Iterator[Workspace]:
    """The code: where it was if it still is as it was, else a git worktree in `place`, removed at the end or kept.

    `repository`: a clone to take it from instead of where it was. Raises `CommandError` if the commit can't be had.
    """
    if not recipe.commit:
        yield Workspace(None, True)
        return
    root = Path(repository or recipe.root)
    if repository is None and _is_unchanged(recipe):
        yield Workspace(root, True)
        return
    if not root.is_dir() or _git(root, "cat-file", "-e", f"{recipe.commit}^{{commit}}").returncode:
        source = f"clone {recipe.remote} and " if recipe.remote else ""
        raise CommandError(f"commit {recipe.commit[:12]} is not in {root}: {source}give its clone with --repo")
    code = place / "code"
    _must(_git(root, "worktree", "add", "--detach", "--force", str(code), recipe.commit), "git worktree")
    try:
        if recipe.diff:
            text = recipe.diff if recipe.diff.endswith("\n") else recipe.diff + "\n"
            _must(_git(code, "apply", "--whitespace=nowarn", "-", given=text), "the uncommitted changes: git apply")
        yield Workspace(code, False, ["files that git doesn't know are not in the worktree"])
    finally:
        if not keep:
            _git(root, "worktree", "remove", "--force", str(code))


def interpreter(recipe: Recipe, place: Path, with_packages: bool, tell: Tell) -> tuple[str, list[str]]:
    """(Python to run with, packages that could not be installed). Without `with_packages` the one that it ran with, if
    that is here, else ours."""
    if not with_packages:
        there = recipe.executable if os.access(recipe.executable, os.X_OK) else sys.executable
        return there, []
    minor = ".".join(recipe.python.split(".")[:2])
    base = shutil.which(f"python{minor}") or recipe.executable
    if not os.access(base, os.X_OK):
        raise CommandError(f"--venv: there is no python{minor} here; without --venv {sys.executable} is used")
    tell(f"making an environment of {len(recipe.packages)} packages with {base}")
    _must(
        subprocess.run([base, "-m", "venv", str(place / "venv")], capture_output=True, text=True, check=False), "venv"
    )
    python = str(place / "venv" / "bin" / "python")
    wanted = [f"{name}=={version}" for name, version in recipe.packages.items() if name not in ("pip", "runtide")]
    pip = [python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-deps"]
    missing = []
    if wanted and subprocess.run([*pip, *wanted], capture_output=True, check=False).returncode:
        # One that can't be had must not take the others with it.
        missing = [each for each in wanted if subprocess.run([*pip, each], capture_output=True, check=False).returncode]
    return python, missing


def environment(recipe: Recipe, workspace: Workspace) -> dict[str, str]:
    """Variables to be set for the command."""
    found = dict(recipe.environment)
    if workspace.code is not None and not workspace.is_original:
        paths = [str(workspace.directory(recipe)), os.environ.get("PYTHONPATH", "")]
        found["PYTHONPATH"] = os.pathsep.join(filter(None, paths))
    return found


def command(recipe: Recipe, python: str) -> list[str]:
    """With the interpreter in the place of "python"."""
    return [python if at == 0 and word == "python" else word for at, word in enumerate(recipe.command)]


def _is_unchanged(recipe: Recipe) -> bool:
    """Is the repository where it was at the commit, with the same changes?"""
    root = Path(recipe.root)
    if not root.is_dir():
        return False
    head = _git(root, "rev-parse", "HEAD")
    diff = _git(root, "diff", "--no-ext-diff", "--no-textconv", "--no-color", "HEAD")
    return head.stdout.strip() == recipe.commit and diff.returncode == 0 and diff.stdout == recipe.diff


def _git(place: Path, *arguments: str, given: str | None = None) -> subprocess.CompletedProcess[str]:
    command = [*GIT, "-C", str(place), *arguments]
    environment: Mapping[str, str] = {**os.environ, "GIT_TERMINAL_PROMPT": "0", "LC_ALL": "C"}
    return subprocess.run(command, input=given, env=environment, capture_output=True, text=True, check=False)


def _must(done: subprocess.CompletedProcess[str], what: str) -> None:
    if done.returncode:
        raise CommandError(f"{what} failed: {(done.stderr or done.stdout).strip().splitlines()[-1:]}")
