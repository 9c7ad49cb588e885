"""What all media have in common."""

from __future__ import annotations

from typing import Any


class Media:
    """A value that is no number but can say what it is."""

    kind = "media"

    def describe(self) -> dict[str, Any]:
        """What the run's summary keeps of it: plain JSON."""
        return {}

    def numbers(self) -> dict[str, float]:
        """What becomes metrics, by the end of their names."""
        return {}

    def __str__(self) -> str:
        facts = ", ".join(f"{name} {value}" for name, value in self.describe().items() if not isinstance(value, list))
        return f"<{self.kind}{': ' if facts else ''}{facts}>"
