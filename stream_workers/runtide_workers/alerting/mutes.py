"""Of whom nothing is told: which alerts a mute covers. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Any, Self


@dataclass(frozen=True, slots=True)
class Mute:
    """An empty field means any; `group` and `metric` may be globs. `until_ms` None: until it is lifted."""

    project: str = ""
    group: str = ""
    metric: str = ""
    kind: str = ""
    until_ms: int | None = None

    @classmethod
    def of(cls, row: Mapping[str, Any]) -> Self:
        """From a row of the statement `muted` in alerts.sql."""
        return cls(row["project"], row["group"], row["metric"], row["kind"], row["until_ms"])

    def covers(self, project: str, group: str, metric: str, kind: str, at_ms: int) -> bool:
        """Whether an alert that was raised at `at_ms` is told to nobody."""
        if self.until_ms is not None and at_ms >= self.until_ms:
            return False
        if self.project not in ("", project) or self.kind not in ("", kind):
            return False
        return _fits(self.group, group) and _fits(self.metric, metric)


def muted(mutes: Iterable[Mute], project: str, group: str, metric: str, kind: str, at_ms: int) -> bool:
    """Whether any of them covers the alert."""
    return any(mute.covers(project, group, metric, kind, at_ms) for mute in mutes)


def _fits(pattern: str, text: str) -> bool:
    return not pattern or fnmatchcase(text, pattern)
