"""One batch of messages into storage, in the order that makes every crash harmless.

Rows first, the topics next, then the note of what is stored (`ingest_progress`), then, by the caller, Kafka's
acknowledgement. A worker that dies in between does the rest again: lines noted as stored are skipped, rows that
were written before the note are written again and collapse by identity (docs/decisions).

Nothing here waits or retries: `Unreachable` leaves everything as it was, and `store` can be called again.
"""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field

from runtide.events import Header
from runtide_storage.errors import Rejected
from runtide_workers.decode import DeadLetter, Decoded, Part, Range, decode_parts, whole
from runtide_workers.envelope import BadMessage, Envelope, Message, open_envelope
from runtide_workers.outlet import Outgoing, alert_message, dead_letter_message
from runtide_workers.progress import Pair, Progress
from runtide_workers.records import ENDS, Row, dead_letter_rows, records
from runtide_workers.shapes import Shapes
from runtide_workers.storage import Storage

HOST_CHARS_MAX = 255
METRICS_KNOWN_MAX = 1_000_000
# The order of the small tables. A metric's name and its run's row come before the points that need them.
TABLES = ("metrics", "run_values", "metric_defs", "run_events", "alerts", "dead_letters")


@dataclass(frozen=True, slots=True)
class Policy:
    """When to stop instead of burying everything: then it is more likely that this worker is wrong than its input."""

    bad_messages_max: int = 100_000  # in a row
    rejected_messages_max: int = 100  # in a row, refused by storage although they were decoded


class TooManyBad(Exception):
    """Nearly everything is bad, which looks like a wrong deployment: nothing more is put into the dead letters."""


@dataclass(slots=True)
class Stored:
    """What a batch was."""

    messages: int = 0
    lines: int = 0  # stored now
    points: int = 0
    duplicates: int = 0  # lines that were stored before
    reasons: Counter[str] = field(default_factory=Counter)  # of dead letters
    touched: dict[int, Range] = field(default_factory=dict)  # run -> lowest and highest step
    relaunched: set[int] = field(default_factory=set)  # those of the runs that may have several attempts
    ended: set[int] = field(default_factory=set)  # runs that said so
    fresh: list[Decoded] = field(default_factory=list)  # what was stored now, for detection

    @property
    def dead(self) -> int:
        return self.reasons.total()

    def add(self, other: Stored) -> Stored:
        self.messages += other.messages
        self.lines += other.lines
        self.points += other.points
        self.duplicates += other.duplicates
        self.reasons += other.reasons
        self.relaunched |= other.relaunched
        self.ended |= other.ended
        self.fresh += other.fresh
        for run, (low, high) in other.touched.items():
            known = self.touched.get(run, (low, high))
            self.touched[run] = (min(low, known[0]), max(high, known[1]))
        return self


class Sink:
    """Stores batches, one after the other. `publish` sends to Kafka and returns when all of it is acknowledged."""

    def __init__(
        self,
        storage: Storage,
        publish: Callable[[Sequence[Outgoing]], None],
        broker: str,
        policy: Policy = Policy(),
        isolated: Collection[str] = (),
    ) -> None:
        self.broker = broker
        self.policy = policy
        self.isolated = isolated  # projects whose messages come by their own topic only
        self.progress = Progress(storage)
        self._storage = storage
        self._publish = publish
        self._shapes = Shapes()
        self._metrics: set[int] = set()  # keys whose names are stored
        self._bad_in_a_row = 0
        self._rejected_in_a_row = 0
        self._forget = False
        self.storing = threading.Lock()  # held while a batch is stored

    def forget(self) -> None:
        """From the next batch on believe only what storage says: who owns which partition has changed, or a run that is
        written to was deleted. Any thread."""
        self._forget = True

    def store(self, messages: Sequence[Message]) -> Stored:
        """Store what is not stored yet. Raises `Unreachable` (call again) and `TooManyBad` (give up)."""
        with self.storing:
            if self._forget:
                self._forget = False
                self.progress.clear()
            return self._store_or_split(messages)

    def _store_or_split(self, messages: Sequence[Message]) -> Stored:
        try:
            stored = self._store(messages)
        except Rejected as error:
            if len(messages) > 1:
                half = len(messages) // 2
                return self._store_or_split(messages[:half]).add(self._store_or_split(messages[half:]))
            return self._refuse(messages[0], error)
        self._rejected_in_a_row = 0
        return stored

    def _store(self, messages: Sequence[Message]) -> Stored:
        envelopes, dead = self._open(messages)
        change = self.progress.begin({(e.run, e.writer): e.header for e in envelopes})
        stored = Stored(len(messages))
        parts: list[Part] = []
        for envelope in envelopes:
            pair = envelope.run, envelope.writer
            wanted = change.claim(pair, envelope.first, envelope.next)
            lines = sum(after - first for first, after in wanted)
            stored.lines += lines
            stored.duplicates += envelope.next - envelope.first - lines
            if wanted:
                parts.append(Part(envelope, change.writers[pair].attempt, wanted))
        self._shapes.trim()
        decoded = decode_parts(parts, self._shapes)
        made = records(decoded)
        dead += decoded.dead + made.dead
        bad_in_a_row = self._count_bad(messages, parts, dead)

        new_metrics = {key: name for key, name in decoded.metrics.items() if key not in self._metrics}
        change.saw_points(decoded.point_at_ms)
        self._rows(
            "writers", [_writer_row(pair, header, change.writers[pair].attempt) for pair, header in change.new.items()]
        )
        made.tables["metrics"] = [{"id": key, "name": name} for key, name in new_metrics.items()]
        made.tables["dead_letters"] = dead_letter_rows(dead, self.broker)
        for table in TABLES:
            self._rows(table, made.tables.get(table, []))
        if len(decoded):
            self._storage.points(decoded.points)
        refold = made.refold.union(run for run, _ in change.new)
        if refold:
            self._storage.refold(sorted(refold))
        outgoing = [dead_letter_message(letter) for letter in dead]
        outgoing += [alert_message(row) for row in made.tables.get("alerts", [])]
        if outgoing:
            self._publish(outgoing)
        self._rows("ingest_progress", change.rows(((p.envelope.run, p.envelope.writer), p.wanted) for p in parts))

        self.progress.keep(change)
        self._remember(new_metrics)
        self._bad_in_a_row = bad_in_a_row
        stored.points, stored.touched = len(decoded), decoded.touched
        stored.reasons.update(letter.reason for letter in dead)
        stored.relaunched = self.progress.relaunched(decoded.touched)
        stored.ended = {event.envelope.run for event in decoded.events if event.kind in ENDS}
        stored.fresh.append(decoded)
        return stored

    def _open(self, messages: Sequence[Message]) -> tuple[list[Envelope], list[DeadLetter]]:
        envelopes: list[Envelope] = []
        dead: list[DeadLetter] = []
        for message in messages:
            try:
                envelopes.append(open_envelope(message, self.isolated))
            except BadMessage as bad:
                dead.append(whole(message, bad.reason, bad.detail))
        return envelopes, dead

    def _rows(self, table: str, rows: Sequence[Row]) -> None:
        if rows:
            self._storage.rows(table, rows)

    def _remember(self, metrics: dict[int, str]) -> None:
        if len(self._metrics) + len(metrics) > METRICS_KNOWN_MAX:
            self._metrics.clear()
        self._metrics.update(metrics)

    def _count_bad(self, messages: Sequence[Message], parts: Sequence[Part], dead: Sequence[DeadLetter]) -> int:
        """How many messages in a row, up to the last, had nothing that could be stored. Raises `TooManyBad`."""
        lines_lost: dict[int, int] = {}
        for letter in dead:
            lines_lost[id(letter.message)] = lines_lost.get(id(letter.message), 0) + 1
        asked = {id(p.envelope.message): sum(after - first for first, after in p.wanted) for p in parts}
        in_a_row = self._bad_in_a_row
        for message in messages:
            lost = lines_lost.get(id(message), 0)
            in_a_row = in_a_row + 1 if lost and lost >= asked.get(id(message), 0) else 0
            if in_a_row >= self.policy.bad_messages_max:
                raise TooManyBad(
                    f"{in_a_row} messages in a row were bad, the last at {message.topic}[{message.partition}] offset"
                    f" {message.offset}: is this the right topic, and does this worker know the producers' version?"
                )
        return in_a_row

    def _refuse(self, message: Message, error: Rejected) -> Stored:
        """Bury a message that storage will never take."""
        self._rejected_in_a_row += 1
        if self._rejected_in_a_row >= self.policy.rejected_messages_max:
            raise TooManyBad(
                f"storage refused {self._rejected_in_a_row} messages in a row, the last with: {error}"
            ) from error
        letter = whole(message, "rejected", str(error))
        self._rows("dead_letters", dead_letter_rows([letter], self.broker))
        self._publish([dead_letter_message(letter)])
        envelopes, _ = self._open([message])
        if envelopes:
            self._note(envelopes[0])
        return Stored(messages=1, reasons=Counter({letter.reason: 1}))

    def _note(self, envelope: Envelope) -> None:
        """Count all lines of a message as done with."""
        pair = envelope.run, envelope.writer
        change = self.progress.begin({pair: envelope.header})
        wanted = change.claim(pair, envelope.first, envelope.next)
        self._rows(
            "writers", [_writer_row(pair, header, change.writers[pair].attempt) for pair, header in change.new.items()]
        )
        self._rows("ingest_progress", change.rows([(pair, wanted)]))
        self.progress.keep(change)


def _writer_row(pair: Pair, header: Header, attempt: int) -> Row:
    return {
        "run": pair[0],
        "writer": pair[1],
        "writer_id": header.writer,
        "project": header.project,
        "run_id": header.run,
        "attempt": attempt,
        "rank": header.rank,
        "host": header.host[:HOST_CHARS_MAX],
        "pid": header.pid,
        "started_at": header.start // 1_000_000,
    }
