"""Finding journals: which segments lie under the journal directory. Looks again only where something changed."""

from __future__ import annotations

import os
import time
from dataclasses import dataclass, field

from runtide.events import parse_segment_name

# A directory's time stamp is as coarse as a kernel tick, so one that changed just now may change again unseen.
_STAMP_SETTLES_NS = 100_000_000
_LOOK_AGAIN_S = 30.0  # for file systems whose time stamps can't be relied on

Segments = dict[str, list[int]]  # by writer, oldest first


@dataclass(slots=True)
class _Seen:
    stamp_ns: int = -1
    looked_ns: int = 0
    looked_s: float = -_LOOK_AGAIN_S

    def is_stale(self, stamp_ns: int, now_s: float) -> bool:
        if stamp_ns != self.stamp_ns or self.looked_ns - stamp_ns < _STAMP_SETTLES_NS:
            return True
        return now_s - self.looked_s >= _LOOK_AGAIN_S

    def note(self, stamp_ns: int, now_ns: int, now_s: float) -> None:
        self.stamp_ns, self.looked_ns, self.looked_s = stamp_ns, now_ns, now_s


@dataclass(slots=True)
class Discovery:
    """Watches `<root>/<run>/<writer>.<segment>.jsonl` by the directories' time stamps."""

    root: str
    _root_seen: _Seen = field(default_factory=_Seen)
    _runs: dict[str, _Seen] = field(default_factory=dict)

    def look(self) -> dict[str, Segments]:
        """The runs that changed since the last look, with all segments that are there now; a vanished run has none."""
        now_ns, now_s = time.time_ns(), time.monotonic()
        changed: dict[str, Segments] = {}
        self._look_at_root(now_ns, now_s)
        for run, seen in list(self._runs.items()):
            path = os.path.join(self.root, run)
            try:
                stamp_ns = os.stat(path).st_mtime_ns
                if seen.is_stale(stamp_ns, now_s):
                    changed[run] = segments_by_writer(path)
                    seen.note(stamp_ns, now_ns, now_s)
            except OSError:
                del self._runs[run]
                changed[run] = {}
        return changed

    def _look_at_root(self, now_ns: int, now_s: float) -> None:
        try:
            stamp_ns = os.stat(self.root).st_mtime_ns
            if not self._root_seen.is_stale(stamp_ns, now_s):
                return
            with os.scandir(self.root) as entries:
                names = [entry.name for entry in entries if entry.is_dir(follow_symlinks=False)]
        except OSError:
            return
        self._root_seen.note(stamp_ns, now_ns, now_s)
        for name in names:
            self._runs.setdefault(name, _Seen())


def segments_by_writer(directory: str) -> Segments:
    """All segments in a run's directory. Raises OSError if it can't be read."""
    found: Segments = {}
    with os.scandir(directory) as entries:
        for entry in entries:
            parsed = parse_segment_name(entry.name)
            if parsed is not None:
                found.setdefault(parsed[0], []).append(parsed[1])
    for segments in found.values():
        segments.sort()
    return found
