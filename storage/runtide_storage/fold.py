"""A run's row from its lifecycle events. Pure, and the same for any order of arrival: events are sorted first.

The rules:
- What `start` says (name, group, job type, notes, tags) holds until a later event says otherwise. An empty value says
  nothing, so that a rank which only joins need not repeat it.
- The latest attempt decides: the run is running again as soon as a new attempt's first writer is known.
- The lead speaks for the attempt: its writer of the lowest rank, of several the first started. The run ends when the
  lead says `finish`, or when a shipper found it gone and said `end` (killed); a `finish` counts more, whatever the
  clock said. Other ranks may end before or after, well or not: a launch whose rank 0 finished with exit 0 is finished.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

RUNNING, FINISHED, FAILED, KILLED = "running", "finished", "failed", "killed"
FOLDED_KINDS = ("start", "tags", "name", "finish", "end")


@dataclass(frozen=True, slots=True)
class Writer:
    """One process of the run: its attempt (from 1) and rank."""

    attempt: int
    rank: int
    host: str
    started_ms: int


@dataclass(frozen=True, slots=True, order=True)
class Event:
    """A lifecycle event; sorts by time, then identity."""

    ts_ns: int
    writer: int
    seq: int
    kind: str = field(compare=False)
    data: Mapping[str, Any] = field(compare=False)


@dataclass(slots=True)
class Folded:
    """A row of `runs`, without the run's identity. Times in ms."""

    attempt: int
    host: str
    started_ms: int
    name: str = ""
    group: str = ""
    job_type: str = ""
    tags: list[str] = field(default_factory=list)
    notes: str = ""
    state: str = RUNNING
    exit_code: int | None = None
    ended_ms: int | None = None


def fold(events: Iterable[Event], writers: Mapping[int, Writer]) -> Folded:
    """The run's row. `writers` are all that are known of the run, by their key; there must be one at least."""
    attempt = max(writer.attempt for writer in writers.values())
    latest = {key: writer for key, writer in writers.items() if writer.attempt == attempt}
    lead = min(latest, key=lambda key: (latest[key].rank, latest[key].started_ms, key))
    row = Folded(attempt, latest[lead].host, min(writer.started_ms for writer in writers.values()))
    end_counts = False
    for event in sorted(events):
        data = event.data
        match event.kind:
            case "start":
                row.name = data.get("name") or row.name
                row.group = data.get("group") or row.group
                row.job_type = data.get("job_type") or row.job_type
                row.notes = data.get("notes") or row.notes
                row.tags = list(data.get("tags") or row.tags)
            case "tags":
                row.tags = list(data.get("tags") or [])
            case "name":
                row.name = data.get("name") or row.name
            case "finish" if event.writer == lead:
                row.state = FAILED if data.get("state") == FAILED else FINISHED
                row.exit_code, row.ended_ms = data.get("exit_code"), event.ts_ns // 1_000_000
                end_counts = True
            case "end" if event.writer == lead and not end_counts:
                row.state, row.exit_code, row.ended_ms = KILLED, None, event.ts_ns // 1_000_000
    return row
