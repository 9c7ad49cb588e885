"""What a worker says about itself: counters, /healthz as JSON, /metrics for Prometheus."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any

import orjson
from aiohttp import web

from runtide_workers.envelope import Message
from runtide_workers.shippers import Shippers
from runtide_workers.sink import Stored

Partition = tuple[str, int]
Figure = tuple[str, str, str, Mapping[str, str], float]  # name, type, help, labels, value
STALE_BATCH_S = 60.0  # a batch in hand for longer is not healthy
PROMETHEUS = "text/plain; version=0.0.4"


class Meter:
    """Counts of one worker, and how far it is."""

    def __init__(self, clock: Callable[[], float] = time.time) -> None:
        self._clock = clock
        self.started_s = clock()
        self.messages = self.lines = self.points = self.duplicates = self.batches = self.rebalances = 0
        self.reasons: Counter[str] = Counter()  # of dead letters
        self.shippers = Shippers()
        self.store_seconds = 0.0
        self.batch_points = self.batch_messages = 0  # of the last batch
        self.freshness_s = 0.0  # age of the oldest message of the last batch when it was stored
        self.last_batch_s: float | None = None
        self.outage: str | None = None  # what can't be reached now
        self.in_hand_s: float | None = None  # since when a batch is in hand
        self.in_hand_from_ms = 0  # when the oldest message of it was produced
        self.assigned: set[Partition] = set()
        self.next_offset: dict[Partition, int] = {}  # behind the last stored message
        self.stored_to_ms: dict[Partition, int] = {}  # when the last stored message was produced
        self.more_figures: Callable[[], Iterable[Figure]] = lambda: ()  # of other parts of the worker
        self.highwater: Callable[[Partition], int | None] = lambda _: None

    @property
    def dead(self) -> int:
        return self.reasons.total()

    def took(self, messages: Sequence[Message]) -> None:
        self.in_hand_s = self._clock()
        self.in_hand_from_ms = min(message.timestamp_ms for message in messages)

    def stored(self, stored: Stored, messages: Sequence[Message], seconds: float) -> None:
        now = self._clock()
        self.batches += 1
        self.shippers.note(messages)
        self.messages += stored.messages
        self.lines += stored.lines
        self.points += stored.points
        self.duplicates += stored.duplicates
        self.reasons += stored.reasons
        self.store_seconds += seconds
        self.batch_points, self.batch_messages = stored.points, stored.messages
        self.last_batch_s, self.in_hand_s = now, None
        for message in messages:
            place = message.topic, message.partition
            self.next_offset[place] = message.offset + 1
            self.stored_to_ms[place] = message.timestamp_ms
        self.freshness_s = max(0.0, now - min(message.timestamp_ms for message in messages) / 1000)

    def own(self, partitions: set[Partition]) -> None:
        """Another worker may have gone on with what we had: what we knew of it is void."""
        self.assigned = partitions
        self.rebalances += 1
        self.next_offset.clear()
        self.stored_to_ms.clear()

    def lags(self) -> dict[Partition, int]:
        """Messages produced but not stored, per partition of ours whose end and position are known."""
        found = {}
        for place in self.assigned:
            end, after = self.highwater(place), self.next_offset.get(place)
            if end is not None and after is not None:
                found[place] = max(0, end - after)
        return found

    @property
    def lag(self) -> int:
        return sum(self.lags().values())

    def fresh_to_ms(self, now_ms: int) -> int:
        """Everything produced before this moment is stored, as far as this worker's partitions go; 0: not known.

        `now_ms`: by a clock that others go by too.
        """
        lags = self.lags()
        if len(lags) < len(self.assigned) or not self.assigned:
            return 0
        behind = [self.stored_to_ms.get(place, 0) for place, lag in lags.items() if lag]
        if self.in_hand_s is not None:
            behind.append(self.in_hand_from_ms)
        return min([*behind, now_ms])

    def fault(self) -> str | None:
        """Why this worker does not do its work now, or None."""
        if self.outage is not None:
            return self.outage
        if not self.assigned:
            return "no partition is assigned (yet)"
        if self.in_hand_s is not None and self._clock() - self.in_hand_s > STALE_BATCH_S:
            return f"a batch has been in hand for {self._clock() - self.in_hand_s:.0f} s"
        return None

    def report(self) -> dict[str, Any]:
        """For /healthz."""
        fault = self.fault()
        return {
            "healthy": fault is None,
            "fault": fault,
            "uptime_s": round(self._clock() - self.started_s, 1),
            "partitions": sorted(f"{topic}[{number}]" for topic, number in self.assigned),
            "messages": self.messages,
            "lines": self.lines,
            "points": self.points,
            "duplicates": self.duplicates,
            "dead_letters": self.dead,
            "lag": self.lag,
            "freshness_s": round(self.freshness_s, 3),
            "last_batch_age_s": None if self.last_batch_s is None else round(self._clock() - self.last_batch_s, 1),
        }

    def figures(self) -> Iterator[Figure]:
        """For /metrics."""
        yield "up", "gauge", "1 if the worker is healthy", {}, float(self.fault() is None)
        yield "messages_total", "counter", "Kafka messages done with", {}, self.messages
        yield "lines_total", "counter", "Journal lines stored", {}, self.lines
        yield "points_total", "counter", "Points stored", {}, self.points
        yield "duplicate_lines_total", "counter", "Lines that were stored before", {}, self.duplicates
        for reason, count in sorted(self.reasons.items()) or [("none", 0)]:
            yield "dead_letters_total", "counter", "Lines and messages that can't be stored", {"reason": reason}, count
        yield "batches_total", "counter", "Batches stored", {}, self.batches
        yield (
            "store_seconds_total",
            "counter",
            "Time spent in storing batches, decoding included",
            {},
            self.store_seconds,
        )
        yield "batch_points", "gauge", "Points of the last batch", {}, self.batch_points
        yield "batch_messages", "gauge", "Messages of the last batch", {}, self.batch_messages
        if self.last_batch_s is not None:
            yield "last_batch_age_seconds", "gauge", "Since the last batch", {}, self._clock() - self.last_batch_s
        yield "freshness_seconds", "gauge", "Age of the last batch's oldest message when stored", {}, self.freshness_s
        yield "rebalances_total", "counter", "Times that partitions were assigned", {}, self.rebalances
        for (topic, number), lag in sorted(self.lags().items()):
            labels = {"topic": topic, "partition": str(number)}
            yield "lag_messages", "gauge", "Messages produced but not stored", labels, lag
        yield from self.more_figures()


def prometheus(meter: Meter) -> str:
    """The text exposition format."""
    lines: list[str] = []
    seen: set[str] = set()
    for name, kind, explained, labels, value in meter.figures():
        if name not in seen:
            seen.add(name)
            lines += [f"# HELP runtide_worker_{name} {explained}", f"# TYPE runtide_worker_{name} {kind}"]
        shown = ",".join(f'{label}="{text}"' for label, text in labels.items())
        lines.append(f"runtide_worker_{name}{'{' + shown + '}' if shown else ''} {value:.15g}")
    return "\n".join(lines) + "\n"


async def serve(meter: Meter, host: str, port: int) -> web.AppRunner:
    """Answer /healthz (200 or 503) and /metrics until the runner is cleaned up. Raises `OSError`: the port is taken."""

    async def healthz(_: web.Request) -> web.Response:
        report = meter.report()
        return web.Response(
            body=orjson.dumps(report), status=200 if report["healthy"] else 503, content_type="application/json"
        )

    async def metrics(_: web.Request) -> web.Response:
        return web.Response(body=prometheus(meter).encode(), headers={"Content-Type": PROMETHEUS})

    application = web.Application()
    application.add_routes([web.get("/healthz", healthz), web.get("/metrics", metrics)])
    runner = web.AppRunner(application, access_log=None)
    await runner.setup()
    try:
        await web.TCPSite(runner, host, port).start()
    except OSError:
        await runner.cleanup()
        raise
    return runner
