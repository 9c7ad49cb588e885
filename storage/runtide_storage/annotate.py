"""What people say of a run from outside: tags, notes and decisions, as events like those of the run's own processes.

They come from a writer that is none of the run's processes, so that they make no attempt and no sign of life.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterable, Mapping
from typing import Any

from runtide import redact
from runtide.plain import clip
from runtide_storage.errors import NotFound
from runtide_storage.ids import writer_key
from runtide_storage.reader import Reader
from runtide_storage.runs import RunName
from runtide_storage.writer import Writer


class Annotations:
    """Through one `Writer`, for `who`. Every method raises `Unreachable`."""

    def __init__(self, writer: Writer, who: str) -> None:
        self._writer = writer
        self._who = who

    def tag(self, reader: Reader, run: RunName, add: Iterable[str], remove: Iterable[str]) -> list[str]:
        """Add and remove tags; what the run has then. Writes nothing where nothing changes."""
        rows = reader.rows("SELECT tags FROM runs FINAL WHERE run = {run:UInt64}", {"run": run.key})
        if not rows:
            raise NotFound(f"there is no run {run.ref!r} any more")
        tags, gone = list(rows[0]["tags"]), set(remove)
        kept = [tag for tag in dict.fromkeys([*tags, *map(clip, add)]) if tag not in gone]
        if kept != tags:
            self._say(run, "tags", {"tags": kept})
            self._writer.refold([run.key])
        return kept

    def note(self, run: RunName, text: str) -> None:
        """Put a note beside the run. Said twice it is there twice, as in any notebook."""
        self._say(run, "note", {"text": redact.text(clip(text))})

    def decide(
        self,
        run: RunName,
        verdict: str,
        reason: str,
        next_step: str | None,
        hypothesis: str | None = None,
        against: Iterable[RunName] = (),
    ) -> None:
        """Note what was concluded from the run, why, and what comes next. A later decision stands beside the former."""
        said = {"verdict": verdict, "reason": reason, "next_step": next_step, "hypothesis": hypothesis}
        texts = {name: text if text is None else redact.text(clip(text)) for name, text in said.items()}
        self._say(run, "decision", {**texts, "against": [other.ref for other in against]})

    def _say(self, run: RunName, kind: str, data: Mapping[str, Any]) -> None:
        now_ns = time.time_ns()
        event = {"run": run.key, "ts": now_ns, "writer": writer_key(f"people/{self._who}"), "seq": now_ns}
        body = json.dumps({**data, "who": self._who}, ensure_ascii=False)
        self._writer.rows("run_events", [event | {"attempt": run.attempts, "kind": kind, "body": body}])
