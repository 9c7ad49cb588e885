"""The event contract (docs/events.md) in code: its constants, and the header line, written and read.

Shared by the SDK, the shipper and the workers. Pure: no clock, no files.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import orjson

from runtide.errors import ContractError

__all__ = [
    "EVENTS_TOPIC",
    "JOURNAL_SUFFIX",
    "LINE_BYTES_MAX",
    "MESSAGE_BYTES_MAX",
    "MESSAGE_LINES_BYTES_MAX",
    "NAME_BYTES_MAX",
    "REPORT_HEADER",
    "VERSION",
    "ContractError",
    "Header",
    "encode_event",
    "identity_fault",
    "name_fault",
    "parse_header",
    "parse_segment_name",
    "project_topic",
    "segment_name",
]

VERSION = 1
JOURNAL_SUFFIX = ".jsonl"
LINE_BYTES_MAX = 1 << 20  # one line, its newline included
MESSAGE_LINES_BYTES_MAX = 256 << 10  # a Kafka message's lines, unless one line alone is larger
MESSAGE_BYTES_MAX = 8 << 20
NAME_BYTES_MAX = 512  # a metric's name in UTF-8
IDENTITY_CHARS_MAX = 128  # a project's, run's or writer's id
EVENT_BYTES = 512 << 10  # of config, summary or meta in one line, before they are cut in two
INT64_MIN, INT64_MAX = -(2**63), 2**63 - 1

EVENTS_TOPIC = "runtide.events"
ALERTS_TOPIC = "runtide.alerts"
DEAD_LETTER_TOPIC = "runtide.dead-letter"
MESSAGE_HEADERS = ("runtide-v", "run", "writer", "first", "count")
REPORT_HEADER = "shipper"  # of some messages, besides: what their shipper says of itself, as JSON

_IDENTITY_CHARS = frozenset("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._-")
_CONTROL_CHARS = frozenset(map(chr, (*range(0x20), *range(0x7F, 0xA0))))
_SEGMENT_DIGITS = 6


@dataclass(frozen=True, slots=True)
class Header:
    """The first line of a journal file: whose lines follow. `start` is ns since 1970 UTC."""

    project: str
    run: str
    writer: str
    seq: int
    start: int
    host: str = ""
    pid: int = 0
    rank: int = 0
    join: bool = False
    attempt: int | None = None
    mode: str | None = None
    kafka: str | None = None

    def encode(self) -> bytes:
        """The line, newline included."""
        fields: dict[str, Any] = {"runtide": VERSION}
        for name in self.__slots__:
            value = getattr(self, name)
            if value is not None:
                fields[name] = value
        return orjson.dumps(fields, None, orjson.OPT_APPEND_NEWLINE)


def parse_header(line: bytes) -> Header:
    """Read a header line (with or without its newline). Raises `ContractError` that says what is wrong."""
    if len(line) > LINE_BYTES_MAX:
        raise ContractError(f"the header line has {len(line)} bytes, at most {LINE_BYTES_MAX}")
    try:
        fields = orjson.loads(line)
    except orjson.JSONDecodeError as error:
        raise ContractError(f"the header line is not JSON: {error}") from None
    if not isinstance(fields, dict):
        raise ContractError("the header line is not a JSON object")
    version = fields.get("runtide")
    if type(version) is not int:
        raise ContractError(f"the header has no contract version: runtide is {_shown(version)}")
    if version != VERSION:
        raise ContractError(f"the header says contract version {version}, this program knows {VERSION}")
    return Header(
        project=_identity(fields, "project"),
        run=_identity(fields, "run"),
        writer=_identity(fields, "writer"),
        seq=_integer(fields, "seq", 0, INT64_MAX),
        start=_integer(fields, "start", 0, INT64_MAX),
        host=_text(fields, "host") or "",
        pid=_integer(fields, "pid", 0, 2**32 - 1, 0),
        rank=_integer(fields, "rank", 0, 2**32 - 1, 0),
        join=_flag(fields, "join"),
        attempt=_integer(fields, "attempt", 1, 2**16 - 1) if fields.get("attempt") is not None else None,
        mode=_text(fields, "mode"),
        kafka=_text(fields, "kafka"),
    )


def project_topic(project: str) -> str:
    """The topic of a project that is kept apart from the others; every project id makes a valid one."""
    return f"{EVENTS_TOPIC}.{project}"


def segment_name(writer: str, segment: int) -> str:
    """The file name of a writer's n-th segment."""
    return f"{writer}.{segment:0{_SEGMENT_DIGITS}d}{JOURNAL_SUFFIX}"


def parse_segment_name(name: str) -> tuple[str, int] | None:
    """(writer, segment) of a journal file's name; None for any other name."""
    stem = name.removesuffix(JOURNAL_SUFFIX)
    writer, dot, digits = stem.rpartition(".")
    if stem == name or not dot or len(digits) < _SEGMENT_DIGITS or not (digits.isascii() and digits.isdigit()):
        return None
    return None if identity_fault(writer) else (writer, int(digits))


def encode_event(time_ns: int, kind: str, data: dict[str, Any]) -> bytes:
    """A line that is not metrics, newline included. `data` must be plain JSON: raises `TypeError` otherwise."""
    return orjson.dumps({"t": time_ns, "e": kind, "d": data}, None, orjson.OPT_APPEND_NEWLINE)


def identity_fault(text: str) -> str | None:
    """What is wrong with a project's, run's or writer's id, or None."""
    if not text:
        return "is empty"
    if len(text) > IDENTITY_CHARS_MAX:
        return f"has {len(text)} characters, at most {IDENTITY_CHARS_MAX}"
    if text in (".", ".."):
        return "may not be . or .."
    if not _IDENTITY_CHARS.issuperset(text):
        return "may hold only A-Z a-z 0-9 . _ -"
    return None


def name_fault(name: str) -> str | None:
    """What is wrong with a metric's name, or None."""
    if not name:
        return "an empty name"
    try:
        size = len(name) if name.isascii() else len(name.encode())
    except UnicodeEncodeError:
        return "a name that is not valid Unicode"
    if size > NAME_BYTES_MAX:
        return f"a name of more than {NAME_BYTES_MAX} bytes"
    if not _CONTROL_CHARS.isdisjoint(name):
        return "a name with control characters"
    return None


def _identity(fields: dict[str, Any], name: str) -> str:
    value = fields.get(name)
    if not isinstance(value, str):
        raise ContractError(f"the header's {name} is {_shown(value)}, not a string")
    fault = identity_fault(value)
    if fault:
        raise ContractError(f"the header's {name} {_shown(value)} {fault}")
    return value


def _integer(fields: dict[str, Any], name: str, least: int, most: int, default: int | None = None) -> int:
    value = fields.get(name)
    if value is None and default is not None:
        return default
    if type(value) is not int or not least <= value <= most:  # not isinstance: a JSON true is no number
        raise ContractError(f"the header's {name} is {_shown(value)}, not an integer from {least} to {most}")
    return value


def _flag(fields: dict[str, Any], name: str) -> bool:
    value = fields.get(name, False)
    if not isinstance(value, bool):
        raise ContractError(f"the header's {name} is {_shown(value)}, not true or false")
    return value


def _text(fields: dict[str, Any], name: str) -> str | None:
    value = fields.get(name)
    if value is not None and not isinstance(value, str):
        raise ContractError(f"the header's {name} is {_shown(value)}, not a string")
    return value


def _shown(value: object) -> str:
    if isinstance(value, (dict, list)):
        return "an object" if isinstance(value, dict) else "an array"  # repr of a deep one would exhaust the stack
    text = repr(value)
    return text if len(text) <= 60 else text[:57] + "..."
