"""The status file `<dir>/shipper-<8 hex>.json`: what a shipper tells the SDK, the CLI, the dashboard and Prometheus."""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import asdict, dataclass, fields

import orjson

from runtide.shipper.locks import is_held


@dataclass(slots=True)
class ShipperStatus:
    """One shipper. Times are seconds, `started` and `updated` since 1970 UTC; counts are since its start."""

    directory: str = ""
    kafka: str = ""
    pid: int = 0
    started: float = 0.0
    updated: float = 0.0
    running: bool = False  # found out by the reader: the shipper holds its lock
    reachable: bool | None = None  # None: not tried yet
    error: str | None = None  # why Kafka can't be used right now
    refused: str | None = None  # why Kafka takes some runs' messages no more, or not yet
    cluster_id: str = ""
    writers: int = 0  # alive
    journals: int = 0  # writers with something still to send, to confirm or to come
    backlog_bytes: int = 0  # not acknowledged by the broker yet
    unconfirmed_bytes: int = 0  # of these and what is acknowledged: not confirmed stored yet
    lag_s: float = 0.0  # how long the oldest unacknowledged byte has been waiting
    sent_messages: int = 0
    sent_lines: int = 0
    sent_bytes: int = 0
    confirmed_lines: int = 0
    resent_lines: int = 0  # sent again, after a failure or because the broker lost its memory
    oversize_lines: int = 0  # longer than the broker takes: sent shortened, to end in the dead letters
    lost_files: int = 0  # journals of dead writers without a usable header
    failures: int = 0  # of the link to Kafka


_TYPES: dict[str, tuple[type, ...]] = {
    "str": (str,),
    "int": (int,),
    "float": (int, float),
    "bool": (bool,),
    "bool | None": (bool, type(None)),
    "str | None": (str, type(None)),
}


def write(path: str, status: ShipperStatus) -> None:
    """Replace the status file. Raises OSError."""
    draft = f"{path}.tmp"
    with open(draft, "wb") as file:
        file.write(orjson.dumps(asdict(status), option=orjson.OPT_INDENT_2))
    os.replace(draft, path)


def read_file(path: str) -> ShipperStatus | None:
    """One status file; None if there is none that can be read."""
    try:
        with open(path, "rb") as file:
            found = orjson.loads(file.read())
        known = {field.name: _TYPES[str(field.type)] for field in fields(ShipperStatus)}
        told = {name: value for name, value in found.items() if name in known}
    except (OSError, ValueError, AttributeError):
        return None
    if not all(isinstance(value, known[name]) for name, value in told.items()):
        return None
    status = ShipperStatus(**told)
    status.running = is_held(path.removesuffix("json") + "lock")
    return status


def read(directory: str | os.PathLike[str]) -> list[ShipperStatus]:
    """All shippers that serve or served this journal directory, those that run first."""
    root = os.fspath(directory)
    try:
        names = sorted(name for name in os.listdir(root) if name.startswith("shipper-") and name.endswith(".json"))
    except OSError:
        return []
    found = [status for name in names if (status := read_file(os.path.join(root, name))) is not None]
    return sorted(found, key=lambda status: not status.running)


_GAUGES = {"writers", "journals", "backlog_bytes", "unconfirmed_bytes", "lag_s", "reachable", "running"}
_COUNTERS = {
    "sent_messages",
    "sent_lines",
    "sent_bytes",
    "confirmed_lines",
    "resent_lines",
    "oversize_lines",
    "lost_files",
    "failures",
}


def prometheus(statuses: Iterable[ShipperStatus]) -> str:
    """The same in Prometheus' text format."""
    known = list(statuses)
    lines = []
    for name in sorted(_GAUGES | _COUNTERS):
        counter = name in _COUNTERS
        metric = f"runtide_shipper_{name.removesuffix('_s') + '_seconds' if name.endswith('_s') else name}"
        metric += "_total" if counter else ""
        lines.append(f"# TYPE {metric} {'counter' if counter else 'gauge'}")
        for status in known:
            value = getattr(status, name)
            labels = f'directory="{_escaped(status.directory)}",kafka="{_escaped(status.kafka)}"'
            lines.append(f"{metric}{{{labels}}} {float(value or 0):.17g}")
    return "\n".join(lines) + "\n"


def _escaped(text: str) -> str:
    return text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
