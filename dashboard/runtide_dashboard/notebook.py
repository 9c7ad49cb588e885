"""What one run said of itself, in words: its timeline. No Streamlit in here."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

# Not moments of a run's story: a sign of life, and what other parts of the page show as it is now.
_SHOWN_ELSEWHERE = frozenset(("heartbeat", "config", "summary", "meta", "define_metric"))


@dataclass(frozen=True, slots=True)
class Moment:
    """One line of the timeline; `kind` is the event's."""

    at: datetime
    attempt: int
    kind: str
    text: str


def timeline(events: Iterable[Mapping[str, Any]]) -> list[Moment]:
    """The events that tell something, in the order given. `events` are rows of `Client.events`."""
    return [
        Moment(event["ts"], event["attempt"], event["kind"], _words(event["kind"], _body(event["body"])))
        for event in events
        if event["kind"] not in _SHOWN_ELSEWHERE
    ]


def text_of(value: Any) -> str:
    """A captured value for a cell: text as it is, everything else as JSON."""
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def _body(text: str) -> Mapping[str, Any]:
    found = json.loads(text or "{}")
    return found if isinstance(found, dict) else {}


def _words(kind: str, body: Mapping[str, Any]) -> str:
    """One line. A kind of a later version is shown as its JSON."""
    said = {name: text_of(value) for name, value in body.items() if value not in (None, "", [], {})}
    match kind:
        case "note":
            return said.get("text", "")
        case "decision":
            parts = [f"expected: {said['hypothesis']}"] if "hypothesis" in said else []
            parts += [said.get("verdict", ""), said.get("reason", "")]
            parts += [f"next: {said['next_step']}"] if "next_step" in said else []
            return " · ".join(part for part in parts if part)
        case "alert":
            return ": ".join(said[name] for name in ("title", "text") if name in said)
        case "name":
            return said.get("name", "")
        case "tags":
            tags = body.get("tags")
            return ", ".join(map(str, tags)) if isinstance(tags, list) else said.get("tags", "")
        case "finish" | "end":
            state = said.get("state", "")
            return f"{state}: {said['error']}" if "error" in said else state
        case "drops":
            return f"{said.get('count', '?')} events were refused: {said.get('reason', 'no reason given')}"
    return " · ".join(f"{name}: {value}" for name, value in said.items())
