"""What artifacts are called: `[project/]name[:alias|vN|digest]`."""

from __future__ import annotations

import re
from dataclasses import dataclass

from runtide.events import identity_fault
from runtide.store.errors import StoreError

LATEST = "latest"
DIGEST_PREFIX = "blake2b:"
DIGEST_CHARS_MIN = 8  # of a digest's beginning: fewer could mean anything

_VERSION = re.compile(r"v([1-9][0-9]{0,7})", re.ASCII)
_DIGEST = re.compile(r"[0-9a-f]{8,40}", re.ASCII)


@dataclass(frozen=True, slots=True)
class Ref:
    """What somebody asks for. One of `number`, `digest` (its beginning) and `alias` is given."""

    project: str
    name: str  # "": whatever has this digest
    number: int | None = None
    digest: str | None = None
    alias: str = LATEST

    def __str__(self) -> str:
        wanted = f"v{self.number}" if self.number else f"{DIGEST_PREFIX}{self.digest}" if self.digest else self.alias
        return f"{self.project}/{self.name}:{wanted}" if self.name else wanted


def parse(ref: str, project: str) -> Ref:
    """`project` is meant where the reference names none. Raises `StoreError`."""
    if "://" in ref:  # and may hold a password
        raise StoreError("a URL names no artifact: [project/]name[:alias|vN|digest] does")
    if ref.startswith(DIGEST_PREFIX):
        return Ref(project, "", digest=_digest(ref.removeprefix(DIGEST_PREFIX), ref))
    place, colon, wanted = ref.partition(":")
    before, slash, after = place.partition("/")
    project, name = (before, after) if slash else (project, place)
    checked(project, "project")
    checked(name, "artifact")
    if not colon:
        return Ref(project, name)
    if found := _VERSION.fullmatch(wanted):
        return Ref(project, name, number=int(found[1]))
    if wanted.startswith(DIGEST_PREFIX) or _DIGEST.fullmatch(wanted):
        return Ref(project, name, digest=_digest(wanted.removeprefix(DIGEST_PREFIX), ref))
    return Ref(project, name, alias=checked_alias(wanted))


def checked(name: str, what: str) -> str:
    """A project's or an artifact's name: it becomes a folder's. Raises `StoreError`."""
    fault = identity_fault(name)
    if fault:
        raise StoreError(f"{what} {_shown(name)} {fault}")
    return name


def checked_alias(alias: str) -> str:
    """Raises `StoreError` for what could be taken for a version or a digest."""
    checked(alias, "alias")
    if _VERSION.fullmatch(alias) or _DIGEST.fullmatch(alias):
        raise StoreError(f"alias {alias!r} could be taken for a {'version' if alias[0] == 'v' else 'digest'}")
    return alias


def _digest(text: str, ref: str) -> str:
    if not _DIGEST.fullmatch(text):
        raise StoreError(f"{_shown(ref)}: a digest is {DIGEST_PREFIX} and {DIGEST_CHARS_MIN} to 40 characters 0-9 a-f")
    return text


def _shown(text: str) -> str:
    shown = repr(text)
    return shown if len(shown) <= 80 else f"{shown[:77]}..."
