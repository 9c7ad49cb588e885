"""The shipper itself: sends what is new in the journals, confirms, deletes, reports. One task owns all state."""

from __future__ import annotations

import asyncio
import logging
import os
import time
from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum

from aiokafka.errors import MessageSizeTooLargeError, TopicAuthorizationFailedError

from runtide.errors import ContractError
from runtide.events import Header
from runtide.kafka_trouble import in_words
from runtide.shipper.contact import Answer, Contact
from runtide.shipper.deliver import Link, LinkDown, Refused
from runtide.shipper.journals import Journals
from runtide.shipper.report import Reports
from runtide.shipper.shipment import Shipment, remove_run_directory
from runtide.shipper.status import ShipperStatus
from runtide.shipper.tail import Limits, Message

log = logging.getLogger("runtide.shipper")

IN_FLIGHT_BYTES_MAX = 32 << 20
POLL_S = (0.1, 1.0)
POLL_QUIET_S = 0.25  # while nobody writes
POLL_S_PER_WRITER = 0.002  # a message costs the worker about 0.2 ms, and a poll sends one per active writer
ACTIVE_S = 5.0  # a writer that wrote within this time is active
DISCOVER_S = (0.1, 1.0)
DISCOVER_S_PER_WRITER = 0.001
TEND_S = 0.25
STATE_WRITES_PER_S = 100
DRAIN_S = 5.0
REFUSED_AGAIN_S = 5.0  # somebody has to grant a right first
DENIED_EXIT_S = 20.0  # one that trainers start comes with the settings of a trainer, and they may be mended by then
ACKS_GATHER_S = 0.005  # acknowledgements come in bursts


class Outcome(Enum):
    """Why a shipper has stopped."""

    IDLE = "nothing to do for a while"
    DONE = "everything that was there at the start is confirmed stored"
    STOPPED = "asked to stop"
    DENIED = "these settings don't let it in; the next shipper may have others"


@dataclass(frozen=True, slots=True)
class ShipperSettings:
    """`directory`: of the journals. `kafka`: bootstrap servers. `accepts`: which journals are shipped (default: those
    that name this target and are not offline). `once`: stop when what was there at the start is confirmed."""

    directory: str
    kafka: str
    idle_exit_s: float | None = 60.0
    once: bool = False
    accepts: Callable[[Header], bool] | None = None


class Shipper:
    """Ships until idle, done or stopped. Whoever runs it holds the shipper lock of the directory and target."""

    def __init__(self, settings: ShipperSettings, link: Link | None = None) -> None:
        self.settings = settings
        self.status = ShipperStatus(
            directory=settings.directory, kafka=settings.kafka, pid=os.getpid(), started=time.time()
        )
        self._limits = Limits()
        self._journals = Journals(settings.directory, self._accepts, self._limits, self.status)
        self.shipments = self._journals.shipments
        self._wake = asyncio.Event()
        self._stop = False
        self._contact = Contact(link or Link(settings.kafka), self.status, on_loss=self._lose, wake=self._wake.set)
        self._acks = 0
        self._in_flight_bytes = 0
        self._turn = 0
        self._discover_s = self._pump_s = self._tend_s = 0.0
        self._reports = Reports(self.measure)
        self._busy_s = self._let_in_s = time.monotonic()

    def stop(self) -> None:
        """Ask it to drain and stop; may be called from a signal handler of the loop."""
        self._stop = True
        self._wake.set()

    async def run(self) -> Outcome:
        """Ship. May be called again after `Outcome.IDLE`."""
        self._busy_s = time.monotonic()
        while True:
            now = time.monotonic()
            if now >= self._discover_s:
                self._discover_s = now + min(
                    max(DISCOVER_S[0], len(self.shipments) * DISCOVER_S_PER_WRITER), DISCOVER_S[1]
                )
                self._discover(now)
            self._settle()
            answer = self._contact.take_answer()
            if answer is not None:
                self._confirm(answer)
            if not self._is_without_work() and self._contact.connect(now):
                self._pump_s = now
            more = False
            if self._contact.up and now >= self._pump_s:
                more = await self._pump(now)
                self._pump_s = now if more else now + self._poll_s(now)
            if any(shipment.unsettled for shipment in self.shipments.values()):
                self._contact.ask(now, self._acks)
            if now >= self._tend_s:
                self._tend_s = now + TEND_S
                self._tend(now)
                if self._stop:
                    return await self._drain()
                if self.settings.once and self._is_done():
                    return Outcome.DONE
                if self._is_shut_out(now):
                    return Outcome.DENIED
                if self._is_idle(now):
                    return Outcome.IDLE
            elif self._stop:
                return await self._drain()
            await self._pause(0.0 if more and self._in_flight_bytes < IN_FLIGHT_BYTES_MAX else self._pause_s())

    async def close(self) -> None:
        """Disconnect. The journals keep whatever isn't confirmed."""
        await self._contact.close()

    def _accepts(self, header: Header) -> bool:
        if self.settings.accepts is not None:
            return self.settings.accepts(header)
        return header.mode in (None, "online") and header.kafka in (None, self.settings.kafka)

    def finds_work(self) -> bool:
        """Look once more, just after the lock was released: has anything appeared that must be shipped?"""
        now = time.monotonic()
        self._discover(now)
        self._tend(now)
        return not self._is_without_work()

    def measure(self) -> ShipperStatus:
        """The status, brought up to date."""
        status, now = self.status, time.monotonic()
        status.updated = time.time()
        status.cluster_id = self._contact.incarnation
        status.journals = len(self.shipments)
        status.writers = sum(not each.gone and not each.broken for each in self.shipments.values())
        status.backlog_bytes = status.unconfirmed_bytes = 0
        status.refused = next((each.refused for each in self.shipments.values() if each.refused), None)
        behind_s = now
        for each in self.shipments.values():
            if each.broken or not (each.unsettled or each.refused or (each.look_s <= now and each.has_more)):
                continue  # one that is to be looked at later had nothing more at the last look
            if each.behind_s is None and each.has_more:
                each.behind_s = now
            status.backlog_bytes += each.backlog_bytes(each.progress.acked)
            status.unconfirmed_bytes += each.backlog_bytes(each.progress.confirmed)
            if each.behind_s is not None:
                behind_s = min(behind_s, each.behind_s)
        status.lag_s = round(now - behind_s, 3)
        return status

    def _discover(self, now: float) -> None:
        for gone in self._journals.look(now):
            self._in_flight_bytes -= gone.in_flight_bytes

    # ---- sending

    async def _pump(self, now: float) -> bool:
        """One round over the writers. True if there is more to send at once."""
        more = False
        held: tuple[Shipment, Message] | None = None  # the last message read: that of a round may carry a report
        order = list(self.shipments.values())
        self._turn = self._turn % len(order) if order else 0
        for index in range(len(order)):
            shipment = order[(self._turn + index) % len(order)]
            if now < shipment.look_s or shipment.header is None or shipment.broken:
                continue
            if self._in_flight_bytes >= IN_FLIGHT_BYTES_MAX:
                self._turn += index  # whose turn it was goes first next time
                more = True
                break
            try:
                messages = shipment.read(now)
            except (OSError, ContractError) as error:
                self._journals.note_broken(shipment, error)
                continue
            for message in messages:
                if held is not None and not await self._send(*held, now):
                    return False
                held = shipment, message
            more = more or (bool(messages) and shipment.has_more)
        if held is not None:
            report = self._reports.along(self._in_flight_bytes + len(held[1].value), now)
            more = await self._send(*held, now, report) and more
        return more

    async def _send(self, shipment: Shipment, message: Message, now: float, report: bytes | None = None) -> bool:
        if now < shipment.look_s or shipment.header is None:
            return True  # an earlier message of it was refused in this round
        try:
            future = await self._contact.link.send(shipment.header, message, report)
        except Refused as error:
            self._refuse(shipment, str(error))
            return True
        except MessageSizeTooLargeError as error:
            self._shrink(shipment, message)
            self._contact.fail(str(error), remedied=True)
            return False
        except LinkDown as error:
            self._contact.fail(str(error))
            return False
        future.add_done_callback(self._on_ack)
        shipment.sent(future, message, now)
        self._in_flight_bytes += len(message.value)
        return True

    def _on_ack(self, future: asyncio.Future[object]) -> None:
        if not future.cancelled():
            future.exception()  # it is looked at in order, or given up: no warning that nobody did
        self._wake.set()

    def _settle(self) -> None:
        """Take note of what Kafka has acknowledged, in the order it was sent."""
        if not self._in_flight_bytes:
            return
        status = self.status
        for shipment in self.shipments.values():
            while shipment.in_flight:
                head = shipment.in_flight[0].message
                try:
                    message = shipment.settle_one(self._acks + 1)
                except MessageSizeTooLargeError as error:
                    self._shrink(shipment, head)
                    self._contact.fail(str(error), remedied=True)
                    return
                except TopicAuthorizationFailedError as error:
                    self._refuse(shipment, in_words(error))
                    break
                except Exception as error:  # noqa: BLE001 - whatever it is, the message is not delivered
                    self._contact.fail(f"{type(error).__name__}: {error}")
                    return
                except asyncio.CancelledError:
                    self._contact.fail("delivery was given up")
                    return
                if message is None:
                    break
                self._acks += 1
                self._in_flight_bytes -= len(message.value)
                status.sent_messages += 1
                status.sent_lines += message.count
                status.sent_bytes += len(message.value)
                status.oversize_lines += message.shortened
                self._contact.succeeded()
                if shipment.goodbye is not None and shipment.progress.acked >= shipment.goodbye:
                    self._save(shipment)
                    self._tend_s = 0.0

    def _refuse(self, shipment: Shipment, reason: str) -> None:
        """This one waits until its topic is there for us; the others go on."""
        if shipment.refused != reason:
            log.warning("%s/%s waits: %s", shipment.run, shipment.writer, reason)
        self._in_flight_bytes -= shipment.in_flight_bytes
        self.status.resent_lines += shipment.refuse(reason, time.monotonic() + REFUSED_AGAIN_S)

    def _shrink(self, shipment: Shipment, message: Message) -> None:
        """A broker refused this message, or a batch that it was in, for its size: send less at once; in the end, each
        line that it refused alone is set aside."""
        size = len(message.value)
        if self._contact.link.batch_bytes > size:
            self._contact.link.batch_bytes //= 2
        elif message.count > 1:
            self._limits.message = min(self._limits.message, size) // 2
        else:
            log.warning(
                "%s/%s: Kafka does not take line %d: %d bytes", shipment.run, shipment.writer, message.first, size
            )
            shipment.tail.refused.add(message.first)

    def _lose(self, to_confirmed: bool) -> None:
        """What is in flight, or all that isn't confirmed, is to be sent again."""
        for shipment in self.shipments.values():
            if shipment.tail.at != shipment.progress.acked or (to_confirmed and shipment.progress.waits):
                self.status.resent_lines += shipment.rewind(to_confirmed=to_confirmed)
                shipment.look_s = 0.0
        self._in_flight_bytes = 0
        self._pump_s = 0.0

    def _confirm(self, answer: Answer) -> None:
        for shipment in self.shipments.values():
            before = shipment.progress.confirmed.seq
            if shipment.progress.confirm(answer.offsets, answer.number):
                self.status.confirmed_lines += shipment.progress.confirmed.seq - before

    # ---- looking after writers and files

    def _tend(self, now: float) -> None:
        interval_s = max(1.0, len(self.shipments) / STATE_WRITES_PER_S)
        for key, shipment in list(self.shipments.items()):
            if shipment.broken:
                continue
            try:
                shipment.look_after_writer(now)
                if shipment.complete:
                    shipment.delete()
                    del self.shipments[key]
                    self._in_flight_bytes -= shipment.in_flight_bytes
                    remove_run_directory(shipment.directory)
                    continue
                shipment.save(now, interval_s)
                shipment.delete_confirmed_segments()
            except OSError as error:
                if not isinstance(error, FileNotFoundError):
                    log.warning("%s/%s: %s", shipment.run, shipment.writer, error)

    def _save(self, shipment: Shipment) -> None:
        try:
            shipment.save_now(time.monotonic())
        except OSError as error:
            log.warning("%s/%s: the state can't be saved: %s", shipment.run, shipment.writer, error)

    def _is_without_work(self) -> bool:
        return all(shipment.broken for shipment in self.shipments.values())

    def _is_idle(self, now: float) -> bool:
        if not self._is_without_work():
            self._busy_s = now
        elif not os.path.isdir(self.settings.directory):
            return True  # deleted: nobody will write here any more
        return self.settings.idle_exit_s is not None and now - self._busy_s >= self.settings.idle_exit_s

    def _is_shut_out(self, now: float) -> bool:
        """Has Kafka not let us in for some time, as whom we came?"""
        if not self._contact.denied:
            self._let_in_s = now
        return self.settings.idle_exit_s is not None and now - self._let_in_s >= DENIED_EXIT_S

    def _is_done(self) -> bool:
        """Is what was there at the start confirmed, and deleted where its writer is gone?"""
        return all(
            each.broken or (each.fate_known and not each.gone and each.goal_reached) for each in self.shipments.values()
        )

    # ---- pace

    def _poll_s(self, now: float) -> float:
        active = sum(now - shipment.grew_s < ACTIVE_S for shipment in self.shipments.values())
        return min(max(active * POLL_S_PER_WRITER, POLL_S[0]), POLL_S[1]) if active else POLL_QUIET_S

    def _pause_s(self) -> float:
        now = time.monotonic()
        due = min(self._discover_s, self._tend_s, self._pump_s if self._contact.up else now + POLL_S[1])
        return max(due - now, 0.0)

    async def _pause(self, duration_s: float) -> None:
        if duration_s <= 0:
            await asyncio.sleep(0)
            return
        self._wake.clear()
        try:
            async with asyncio.timeout(duration_s):
                await self._wake.wait()
                await asyncio.sleep(ACKS_GATHER_S)
        except TimeoutError:
            pass

    async def _drain(self) -> Outcome:
        """Send what is there, bounded, and note down how far everything is."""
        deadline = time.monotonic() + DRAIN_S
        self._discover(time.monotonic())
        while self._contact.up and time.monotonic() < deadline:
            for shipment in self.shipments.values():
                shipment.look_s = 0.0
            more = await self._pump(time.monotonic())
            self._settle()
            if not more and not self._in_flight_bytes:
                break
            await self._pause(0.05)
        for shipment in self.shipments.values():
            if not shipment.broken:
                self._save(shipment)
        return Outcome.STOPPED
