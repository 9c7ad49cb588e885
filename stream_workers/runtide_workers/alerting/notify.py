"""Tells people: each channel reads from the tables what it has not been told, sends it, and writes down that it did.

The tables are the queue, so nothing is handed over and nothing is lost with the process. A death between a sending and
its row sends again, with the same id in the message. One thread per channel: a service that hangs holds up only itself.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import orjson

from runtide.events import DEAD_LETTER_TOPIC
from runtide_storage.errors import StorageError
from runtide_storage.statements import statements
from runtide_workers.alerting import message, targets
from runtide_workers.alerting.config import AlertSettings, Channel
from runtide_workers.alerting.message import Told
from runtide_workers.alerting.mutes import Mute, muted
from runtide_workers.alerting.pacing import TRIES_MAX, TokenBucket, delay_s
from runtide_workers.alerting.targets import Send
from runtide_workers.outlet import Outgoing
from runtide_workers.records import Row

log = logging.getLogger(__name__)

POLL_S = 2.0  # without being woken: other workers and processes write alerts too
AGE_S_MAX = 24 * 3600  # what is older is history, and tells nobody anything
READ_MAX = 2_000  # alerts at a time
DEAD_REASON = "notification_failed"

Read = Callable[[str, Mapping[str, Any]], Iterable[Mapping[str, Any]]]
Publish = Callable[[Sequence[Outgoing]], None]


class Table(Protocol):
    """The part of `Writer` that is needed here. Blocking."""

    def rows(self, table: str, rows: Sequence[Row]) -> None: ...


@dataclass(frozen=True, slots=True)
class Pending:
    """An alert that a channel was not told yet; it failed `tries` times, last at `tried_s` with `error`."""

    told: Told
    tries: int
    tried_s: float
    error: str


@dataclass(slots=True)
class Courier:
    """One channel. `entries` are the lines of the settings that name it; they differ in project and severity at most.

    Not thread safe. `clock` is in seconds since 1970.
    """

    entries: Sequence[Channel]
    send: Send
    storage: Table
    read: Read
    publish: Publish
    owns: Callable[[str], bool]
    dashboard: str
    clock: Callable[[], float] = time.time
    stopping: Callable[[], bool] = lambda: False
    bucket: TokenBucket = field(default_factory=TokenBucket)
    unrecorded: dict[str, Row] = field(default_factory=dict)  # what happened and could not be written yet
    failing: bool = False

    @property
    def channel(self) -> Channel:
        return self.entries[0]

    def step(self) -> None:
        """Send what is due. Raises `StorageError`: call it again then.

        What was sent but not written down is written first: until that works nothing else is sent, and nothing twice.
        """
        self._record()
        now_s = self.clock()
        due = [each for each in self._waiting() if self._due_s(each) <= now_s]
        for batch in self._batches([each for each in due if each.tries < TRIES_MAX], now_s):
            if self.stopping():
                return
            self._tell(batch)
        for each in due:
            if each.tries >= TRIES_MAX:
                self._bury(each)

    def _waiting(self) -> list[Pending]:
        severities = max((entry.severities for entry in self.entries), key=len)
        asked = {"channel": self.channel.key, "severities": list(severities), "age_s": AGE_S_MAX, "limit": READ_MAX}
        rows = list(self.read(statements("alerts.sql")["outbox"], asked))
        if not rows:
            return []
        mutes = [Mute.of(row) for row in self.read(statements("alerts.sql")["muted"], {"age_s": AGE_S_MAX})]
        return [
            Pending(Told(**{name: row[name] for name in _TOLD}), row["tries"], row["tried_ms"] / 1000, row["error"])
            for row in rows
            if any(entry.wants(row["project"], row["severity"]) for entry in self.entries)
            and self.owns(row["run_id"])
            and not muted(mutes, row["project"], row["group"], row["metric"], row["kind"], row["ts_ms"])
        ]

    def _due_s(self, each: Pending) -> float:
        if each.tries == 0:
            return 0.0
        if each.tries >= TRIES_MAX:
            return each.tried_s  # to be buried, not sent
        return each.tried_s + delay_s(each.tries, f"{each.told.id}/{self.channel.key}")

    def _batches(self, due: Sequence[Pending], now_s: float) -> list[Sequence[Pending]]:
        """What makes a message each: one alert, and the last message that the rate allows takes all the rest."""
        allowed = self.bucket.available(now_s)
        if len(due) <= allowed:
            return [[each] for each in due]
        alone = max(0, allowed - 1)
        return [[each] for each in due[:alone]] + ([due[alone:]] if allowed else [])

    def _tell(self, batch: Sequence[Pending]) -> None:
        self.bucket.take(self.clock())
        told = [each.told for each in batch]
        words = message.message(told[0], self.dashboard) if len(told) == 1 else message.digest(told, self.dashboard)
        error = self.send(words)
        self._say(error, batch[0].tries + 1)
        state = "sent" if error is None else "waiting"
        for each in batch:
            self.unrecorded[each.told.id] = self._row(each, state, each.tries + 1, error or "")
        self._record()

    def _bury(self, each: Pending) -> None:
        """Given up: the dead letter first, so that a death in between buries it again rather than losing it."""
        alert, channel = each.told, self.channel
        value = orjson.dumps(
            {
                "alert": alert.id, "project": alert.project, "run": alert.run_id, "severity": alert.severity,
                "title": alert.title, "channel": channel.key, "label": channel.label, "tries": each.tries,
                "error": each.error,
            }
        )  # fmt: skip
        detail = f"{channel.label}: given up after {each.tries} tries: {each.error}"
        headers = (("reason", DEAD_REASON.encode()), ("detail", detail.encode("utf-8", "backslashreplace")))
        self.publish([Outgoing(DEAD_LETTER_TOPIC, alert.run_id.encode(), value, headers)])
        log.error("alert %s was not told to %s", alert.id, detail)
        self.unrecorded[alert.id] = self._row(each, "dead", each.tries, each.error)
        self._record()

    def _row(self, each: Pending, state: str, tries: int, error: str) -> Row:
        channel = self.channel
        return {
            "alert": each.told.id, "channel": channel.key, "label": channel.label, "state": state, "tries": tries,
            "error": error, "at": round(self.clock() * 1000),
        }  # fmt: skip

    def _record(self) -> None:
        if self.unrecorded:
            self.storage.rows("deliveries", list(self.unrecorded.values()))
            self.unrecorded.clear()

    def _say(self, error: str | None, tries: int) -> None:
        """In the log once when it begins to fail and once when it works again, not for each alert."""
        if error is not None and not self.failing:
            log.warning("channel %s takes no messages (try %d of %d): %s", self.channel.label, tries, TRIES_MAX, error)
        elif error is None and self.failing:
            log.info("channel %s takes messages again", self.channel.label)
        self.failing = error is not None


_TOLD = ("id", "project", "run_id", "name", "severity", "title", "text", "step")


class Notifier:
    """All channels of the settings, each in a thread of its own. Without channels it does nothing.

    `owns(run_id)` says whether this worker tells of a run; `publish` sends to Kafka and raises `Unreachable`, as
    `storage` and `read` do.
    """

    def __init__(
        self, storage: Table, read: Read, config: AlertSettings, publish: Publish, owns: Callable[[str], bool],
        dashboard_url: str = "", *, open_target: Callable[[str], Send] = targets.open_target,
        clock: Callable[[], float] = time.time,
    ) -> None:  # fmt: skip
        self._stopping = threading.Event()
        by_key: dict[str, list[Channel]] = {}
        for channel in config.channels:
            by_key.setdefault(channel.key, []).append(channel)
        self._posts = [
            _Post(
                Courier(
                    entries, open_target(entries[0].url), storage, read, publish, owns, dashboard_url, clock,
                    self._stopping.is_set,
                ),
                self._stopping,
            )
            for entries in by_key.values()
        ]  # fmt: skip

    def start(self) -> None:
        """Begin; what waits from earlier is sent at once."""
        for post in self._posts:
            post.thread.start()

    def wake(self) -> None:
        """An alert was written. From any thread, and at no cost."""
        for post in self._posts:
            post.woken.set()

    def stop(self, timeout_s: float) -> bool:
        """Send nothing more, and wait for what is being sent; whether that ended in time."""
        self._stopping.set()
        self.wake()
        deadline = time.monotonic() + timeout_s
        for post in self._posts:
            if post.thread.is_alive():
                post.thread.join(max(0.0, deadline - time.monotonic()))
        return not any(post.thread.is_alive() for post in self._posts)


class _Post:
    """A courier's thread."""

    def __init__(self, courier: Courier, stopping: threading.Event) -> None:
        self.courier = courier
        self.woken = threading.Event()
        self._stopping = stopping
        self.thread = threading.Thread(target=self._run, name=f"runtide-tell-{courier.channel.label}", daemon=True)

    def _run(self) -> None:
        while not self._stopping.is_set():
            try:
                self.courier.step()
            except StorageError as error:  # the sink tells of outages
                log.log(logging.DEBUG if error.retriable else logging.WARNING, "nobody is told now: %s", error)
            except Exception:
                log.exception("channel %s: nobody is told now", self.courier.channel.label)
            self.woken.wait(POLL_S)
            self.woken.clear()
