"""The folder that one embedded stack lives in: its data, logs, journals, passwords, and who holds it."""

from __future__ import annotations

import json
import os
import secrets
from dataclasses import dataclass
from pathlib import Path

from runtide.errors import SettingsError
from runtide.settings import home_directory
from runtide_workers.embedded.clickhouse_config import ROLES


@dataclass(frozen=True, slots=True)
class Home:
    """RUNTIDE_HOME, `~/.runtide` by default. Private to its user: it holds passwords and everything that was logged."""

    path: Path

    @classmethod
    def find(cls, given: str | os.PathLike[str] | None = None) -> Home:
        """`given`, else RUNTIDE_HOME, else ~/.runtide. Nothing is created."""
        path = os.path.abspath(os.path.expanduser(given)) if given else home_directory()
        return cls(Path(path))

    @property
    def stack_file(self) -> Path:
        return self.path / "stack.json"

    @property
    def lock_file(self) -> Path:
        return self.path / "up.lock"

    @property
    def clickhouse(self) -> Path:
        return self.path / "clickhouse"

    @property
    def journal(self) -> Path:
        return self.path / "journal"

    @property
    def logs(self) -> Path:
        return self.path / "logs"

    def log(self, name: str) -> Path:
        return self.logs / f"{name}.log"

    def prepare(self) -> None:
        """Create what is missing. Raises OSError when the folder cannot be used."""
        for folder in (self.path, self.logs, self.journal):
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)

    def passwords(self) -> dict[str, str]:
        """Role of ClickHouse -> its password; made once, and kept, since ClickHouse's users outlive a restart."""
        path = self.path / "passwords.json"
        try:
            known = json.loads(path.read_text())
        except FileNotFoundError:
            known = {}
        except (ValueError, RecursionError):
            known = None
        if not isinstance(known, dict) or not all(isinstance(word, str) for word in known.values()):
            # No new ones: ClickHouse keeps its users, and with them the old ones.
            raise SettingsError(f"{path}: this is no JSON object of texts, as it was written") from None
        if not all(role in known for role in ROLES):
            known = {role: secrets.token_urlsafe(24) for role in ROLES} | known
            write_private(path, json.dumps(known, indent=1))
        return {role: known[role] for role in ROLES}


def write_private(path: Path, text: str) -> None:
    """Replace `path` at once, readable by its owner only: a reader sees the old text or the new one, never a half."""
    new = path.with_name(f"{path.name}.new")
    fd = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
    with os.fdopen(fd, "w") as file:
        file.write(text)
    os.replace(new, path)
