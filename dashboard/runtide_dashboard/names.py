"""Names as people read them: what they have in common is left out, and nothing in them is taken for markup."""

from __future__ import annotations

import re
from collections.abc import Sequence

_SEPARATORS = "-_./: "
_MARKUP = re.compile(r"([\\`*_{}\[\]()<>#+\-.!|~$:&@^=])")


def common_prefix(names: Sequence[str]) -> str:
    """The longest prefix that all names share and that ends with a separator: no word or number is cut in two."""
    if len(names) < 2:
        return ""
    first, last = min(names), max(names)
    length = next((i for i, (a, b) in enumerate(zip(first, last, strict=False)) if a != b), min(len(first), len(last)))
    while length and first[length - 1] not in _SEPARATORS:
        length -= 1
    return first[:length]


def shorten(names: Sequence[str]) -> list[str]:
    """The names without their common prefix; a name that would vanish stays whole. Distinct names stay distinct."""
    prefix = common_prefix(names)
    return [name[len(prefix) :] or name for name in names] if len(prefix) > 3 else list(names)


def distinct(names: Sequence[str], ids: Sequence[str]) -> list[str]:
    """The names, with the id after those that occur twice."""
    return [f"{name} ({id_})" if names.count(name) > 1 else name for name, id_ in zip(names, ids, strict=True)]


def plain(text: str) -> str:
    """`text` for the places where Streamlit reads Markdown: every character that could be markup is escaped."""
    return _MARKUP.sub(r"\\\1", " ".join(text.split()))
