"""Keeping in contact with Kafka: connecting anew, noticing a broker that has lost its memory, asking what is stored."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from runtide.shipper.deliver import Committed, Denied, Link, LinkDown, backoff_s
from runtide.shipper.progress import Place
from runtide.shipper.status import ShipperStatus

log = logging.getLogger("runtide.shipper")

ASK_S = 1.0
ANSWERS_MISSED_MAX = 3  # then the link is made anew


@dataclass(frozen=True, slots=True)
class Answer:
    """The sink's committed offsets. They hold for acknowledgements up to the `number` of the question."""

    offsets: Mapping[Place, int]
    number: int


class Contact:
    """Up or down. `on_loss(to_confirmed)` is called when what is in flight is lost, and with True when what the broker
    has acknowledged is lost as well; `wake` when a connection has come up or an answer has come."""

    def __init__(
        self, link: Link, status: ShipperStatus, *, on_loss: Callable[[bool], None], wake: Callable[[], None]
    ) -> None:
        self.link = link
        self.up = False
        self.denied = False  # Kafka is there and does not let us in
        self.incarnation = ""  # the broker's, at the time of all acknowledgements that are remembered
        self._status = status
        self._on_loss = on_loss
        self._wake = wake
        self._failures = 0
        self._retry_s = 0.0
        self._connecting: asyncio.Task[None] | None = None
        self._asking: asyncio.Task[Committed] | None = None
        self._asked_number = 0
        self._ask_s = 0.0
        self._missed = 0

    def connect(self, now: float) -> bool:
        """See to it that the link comes up. True: it has come up just now."""
        if self.up:
            return False
        if self._connecting is None:
            if now >= self._retry_s:
                self._connecting = asyncio.ensure_future(self.link.connect())
                self._connecting.add_done_callback(lambda _: self._wake())
            return False
        if not self._connecting.done():
            return False
        task, self._connecting = self._connecting, None
        try:
            task.result()
        except LinkDown as error:
            self.denied = isinstance(error, Denied)
            self.fail(str(error))
            return False
        self.up, self.denied = True, False
        self._missed = 0
        self._note_reachable(None)
        self._meet(self.link.cluster_id)
        return True

    def ask(self, now: float, number: int) -> None:
        """Ask what is stored, if it is time to; `number`: of the last acknowledgement."""
        if self.up and self._asking is None and now >= self._ask_s:
            self._ask_s = now + ASK_S
            self._asked_number = number
            self._asking = asyncio.ensure_future(self.link.committed())
            self._asking.add_done_callback(lambda _: self._wake())

    def take_answer(self) -> Answer | None:
        """The answer to the last question, once, when it has come."""
        if self._asking is None or not self._asking.done():
            return None
        task, self._asking = self._asking, None
        try:
            committed = task.result()
        except LinkDown as error:
            self._missed += 1
            self._note_reachable(str(error))
            if self._missed >= ANSWERS_MISSED_MAX:
                self.fail(str(error))
            return None
        self._missed = 0
        self._note_reachable(None)
        if committed.cluster_id != self.incarnation:
            self.fail("it started anew", remedied=True)  # and is met properly: its topics may not be there yet
            return None
        return Answer(committed.offsets, self._asked_number)

    def succeeded(self) -> None:
        """A message was delivered: the next failure is a first one."""
        self._failures = 0

    def fail(self, reason: str, *, remedied: bool = False) -> None:
        """Something is wrong with Kafka: connect anew, after a pause unless the cause is remedied.

        What was in flight is to be sent again.
        """
        self._failures += 1
        self._status.failures += 1
        self._retry_s = time.monotonic() + (0.0 if remedied else backoff_s(self._failures))
        if self.up or self._status.reachable is not False:
            log.warning("Kafka at %s can't be used: %s", self.link.kafka, reason)
        self._note_reachable(reason)
        self.up = False
        self.link.disconnect()
        if self._asking is not None:
            self._asking.cancel()
            self._asking = None
        self._on_loss(False)

    async def close(self) -> None:
        for task in (self._connecting, self._asking):
            if task is not None:
                task.cancel()
        await self.link.close(timeout_s=2.0)

    def _meet(self, cluster_id: str) -> None:
        """Another cluster id than before: the broker has forgotten all it had, and old offsets mean nothing."""
        if self.incarnation and cluster_id != self.incarnation:
            log.warning("the broker started anew: what is not confirmed stored is sent again")
            self._on_loss(True)
        self.incarnation = cluster_id

    def _note_reachable(self, error: str | None) -> None:
        if error is None and self._status.reachable is not True:
            log.info("connected to %s", self.link.kafka)
        self._status.reachable = error is None
        self._status.error = error
