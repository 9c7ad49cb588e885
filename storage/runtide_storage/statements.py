"""SQL files of named statements, one after the other: `-- name --` on a line of its own, then the statement."""

from __future__ import annotations

import re
from functools import cache
from importlib.resources import files


@cache
def statements(file: str) -> dict[str, str]:
    """Name -> statement, of a file in `sql/`."""
    text = (files("runtide_storage") / "sql" / file).read_text("utf-8")
    parts = re.split(r"^-- (\w+) --$", text, flags=re.MULTILINE)
    return {name: body.strip() for name, body in zip(parts[1::2], parts[2::2], strict=True)}
