"""A virtual environment for each peer, and what its installation weighs: more than one tracker in one won't do."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]
REQUIREMENTS = Path(__file__).parent / "requirements"
RECORD = "installed.json"
FOUND = """
import json, re, sysconfig
from importlib import metadata
versions = {re.sub("[-_.]+", "-", found.metadata["Name"]): found.version for found in metadata.distributions()}
print(json.dumps([sysconfig.get_paths()["purelib"], versions]))
"""


@dataclass(frozen=True)
class Installed:
    """What one peer's environment holds. Size and count are those that it adds to an empty environment."""

    python: Path
    size_bytes: int
    versions: dict[str, str]  # of all that was added, by distribution

    @property
    def distributions(self) -> int:
        return len(self.versions)


def requirements(name: str) -> list[Path]:
    """The files to install, the peer's own first: only that one counts for its size."""
    files = [REQUIREMENTS / f"{name}.txt", REQUIREMENTS / f"{name}-reader.txt", REQUIREMENTS / "frame.txt"]
    return [path for path in files if path.exists()]


def find(venvs: Path, name: str) -> Installed | None:
    """None: not installed, or from requirements that have changed since."""
    home = venvs / name
    try:
        record: dict[str, Any] = json.loads((home / RECORD).read_text())
    except (OSError, json.JSONDecodeError):
        return None
    if record["requirements"] != _text(name):
        return None
    return Installed(home / "bin" / "python", record["bytes"], record["versions"])


def install(venvs: Path, name: str) -> Installed:
    """Make the environment anew. Raises `CalledProcessError` if pip can't."""
    home = venvs / name
    python = home / "bin" / "python"
    subprocess.run([sys.executable, "-m", "venv", "--clear", str(home)], check=True)
    packages, empty = _found(python)
    empty_bytes = _size(packages)
    own, *others = requirements(name)
    _pip(python, own)
    versions = {key: version for key, version in _found(python)[1].items() if key not in empty}
    record: dict[str, Any] = {"requirements": _text(name), "bytes": _size(packages) - empty_bytes, "versions": versions}
    for path in others:
        _pip(python, path)
    (home / RECORD).write_text(json.dumps(record, indent=1))
    return Installed(python, record["bytes"], versions)


def _text(name: str) -> str:
    return "\n".join(path.read_text() for path in requirements(name))


def _pip(python: Path, path: Path) -> None:
    # From the root of the repository: one of the files asks for "." to be installed.
    subprocess.run([str(python), "-m", "pip", "install", "--quiet", "-r", str(path)], check=True, cwd=ROOT)


def _found(python: Path) -> tuple[Path, dict[str, str]]:
    done = subprocess.run([str(python), "-c", FOUND], check=True, capture_output=True, text=True)
    packages, versions = json.loads(done.stdout)
    return Path(packages), versions


def _size(directory: Path) -> int:
    return sum(path.lstat().st_size for path in directory.rglob("*") if not path.is_dir())
