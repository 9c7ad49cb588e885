"""What detection says about one curve."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal

Severity = Literal["page", "warn", "info"]


@dataclass(frozen=True, slots=True)
class Alert:
    """Something found at `step`. `slot`: which of a bank's curves it is; `detail`: how much, since when, why."""

    kind: str
    severity: Severity
    step: int
    detail: dict[str, Any] = field(default_factory=dict)
    slot: int = 0
