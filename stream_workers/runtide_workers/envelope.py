"""A Kafka message of runtide.events, opened and checked: whose lines, and which."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass

from runtide.events import EVENTS_TOPIC, MESSAGE_BYTES_MAX, VERSION, ContractError, Header, parse_header, project_topic
from runtide_storage.ids import run_key, writer_key

SEQ_MAX = 2**63 - 1


@dataclass(frozen=True, slots=True)
class Message:
    """A Kafka record, as little of it as we use."""

    topic: str
    partition: int
    offset: int
    timestamp_ms: int  # when it was produced
    key: bytes | None
    value: bytes | None
    headers: Sequence[tuple[str, bytes]]


class BadMessage(Exception):
    """A message that can't be opened, so that all of it goes to the dead letters."""

    def __init__(self, reason: str, detail: str) -> None:
        super().__init__(f"{reason}: {detail}")
        self.reason = reason
        self.detail = detail


@dataclass(frozen=True, slots=True)
class Envelope:
    """Lines [first, next) of one writer."""

    message: Message
    header: Header
    run: int
    writer: int
    first: int
    next: int

    def lines(self) -> list[bytes]:
        """The lines without the header line and without `\\n`."""
        value = self.message.value or b""
        return value.split(b"\n")[1:-1]


def open_envelope(message: Message, isolated: Collection[str] = ()) -> Envelope:
    """Check everything but the lines themselves. `isolated`: projects whose messages come by their own topic only.

    Raises `BadMessage`.
    """
    value = message.value
    if not value:
        raise BadMessage("no_value", "the message is empty")
    if len(value) > MESSAGE_BYTES_MAX:
        raise BadMessage("message_too_large", f"{len(value)} bytes, at most {MESSAGE_BYTES_MAX}")
    headers = dict(message.headers)
    version = _text(headers, "runtide-v")
    if version != str(VERSION):
        raise BadMessage("unknown_version", f"runtide-v is {version[:40]!r}, this worker knows {VERSION}")
    run, writer = _text(headers, "run"), _text(headers, "writer")
    first, count = _number(headers, "first"), _number(headers, "count")
    if count < 1 or first + count > SEQ_MAX:
        raise BadMessage("bad_envelope", f"first {first} with count {count}: count >= 1 and first + count < 2^63")
    if not value.endswith(b"\n"):
        raise BadMessage("torn", "the last line does not end")
    found = value.count(b"\n") - 1
    if found != count:
        raise BadMessage("wrong_count", f"count says {count} lines, there are {found}")
    header = _header(value[: value.index(b"\n")])
    if (header.run, header.writer) != (run, writer):
        raise BadMessage("other_header", f"headers say {run}/{writer}, the header line {header.run}/{header.writer}")
    _check_topic(message.topic, header.project, isolated)
    return Envelope(
        message, header, run_key(header.project, header.run), writer_key(header.writer), first, first + count
    )


def _check_topic(topic: str, project: str, isolated: Collection[str]) -> None:
    """Kafka knows who wrote a message and does not tell; it only keeps people to their topics."""
    if topic not in (EVENTS_TOPIC, project_topic(project)):
        raise BadMessage("other_project", f"topic {topic} can't hold messages of project {project}")
    if topic == EVENTS_TOPIC and project in isolated:
        raise BadMessage("other_project", f"project {project} comes by topic {project_topic(project)} only")


def _header(line: bytes) -> Header:
    try:
        return parse_header(line)
    except ContractError as error:
        raise BadMessage("bad_header_line", str(error)) from None


def _text(headers: dict[str, bytes], name: str) -> str:
    value = headers.get(name)
    if value is None:
        raise BadMessage("missing_header", f"header {name} is missing")
    try:
        return value.decode()
    except UnicodeDecodeError:
        raise BadMessage("bad_envelope", f"header {name} is not UTF-8") from None


def _number(headers: dict[str, bytes], name: str) -> int:
    text = _text(headers, name)
    if not (text.isascii() and text.isdigit() and len(text) <= 19):
        raise BadMessage("bad_envelope", f"header {name} is {text[:40]!r}, not a number from 0")
    return int(text)
