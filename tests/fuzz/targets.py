"""What is fuzzed. A target is a module with SEEDS, and `check(data)`, which raises when something is wrong."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

TARGETS = ("journal", "messages", "filters", "secrets", "values", "inputs")
CORPUS = Path(__file__).parent / "corpus"


def seeds(target: Any, name: str) -> Iterator[bytes]:
    """Those of the target, and every input that once broke something."""
    yield from target.SEEDS
    for path in sorted((CORPUS / name).glob("*")):
        yield path.read_bytes()
