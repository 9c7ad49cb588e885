"""The journals under a directory: which are ours to ship, which are others', and which can't be read."""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Callable

from runtide.errors import ContractError
from runtide.events import Header
from runtide.shipper.discovery import Discovery
from runtide.shipper.shipment import Shipment
from runtide.shipper.status import ShipperStatus
from runtide.shipper.tail import Limits

log = logging.getLogger("runtide.shipper")

READ_AGAIN_S = 5.0  # after an I/O error

Key = tuple[str, str]  # run and writer


class Journals:
    """`shipments` are those that are ours, or whose header is still to come; `foreign` those that others ship.

    `accepts`: by its header, is a journal ours? `status` counts the broken ones.
    """

    def __init__(
        self, directory: str, accepts: Callable[[Header], bool], limits: Limits, status: ShipperStatus
    ) -> None:
        self.shipments: dict[Key, Shipment] = {}
        self.foreign: set[Key] = set()
        self._directory, self._accepts, self._limits, self._status = directory, accepts, limits, status
        self._discovery = Discovery(directory)

    def look(self, now: float) -> list[Shipment]:
        """Take note of what has appeared. Returns what is no longer there: someone else has shipped and deleted it."""
        gone: list[Shipment] = []
        for run, found in self._discovery.look().items():
            directory = os.path.join(self._directory, run)
            for writer, segments in found.items():
                key = (run, writer)
                shipment = self.shipments.get(key)
                if shipment is not None:
                    shipment.tail.segments[:] = segments
                elif key not in self.foreign:
                    self.shipments[key] = Shipment(directory, run, writer, segments, limits=self._limits, now=now)
            gone += [self.shipments.pop(key) for key in list(self.shipments) if key[0] == run and key[1] not in found]
            self.foreign -= {key for key in self.foreign if key[0] == run and key[1] not in found}
        for key, shipment in list(self.shipments.items()):
            if shipment.header is None and not shipment.broken:
                self._introduce(key, shipment)
        return gone

    def note_broken(self, shipment: Shipment, error: Exception) -> None:
        """It could not be read: look again later, or never if that can't help."""
        if isinstance(error, FileNotFoundError):
            return
        if isinstance(error, OSError) and not isinstance(error, PermissionError):
            log.warning("%s: %s", shipment.tail.path(shipment.tail.at.segment), error)
            shipment.look_s = time.monotonic() + READ_AGAIN_S
            return
        shipment.broken = True
        self._status.lost_files += 1
        log.error("%s: %s; it is left where it is", shipment.tail.path(shipment.tail.at.segment), error)

    def _introduce(self, key: Key, shipment: Shipment) -> None:
        """Read the header of a new journal: is it ours to ship?"""
        try:
            shipment.header = shipment.tail.first_header()
        except (OSError, ContractError) as error:
            self.note_broken(shipment, error)
            return
        header = shipment.header
        if header is not None and (header.run, header.writer) != key:
            self.note_broken(shipment, ContractError(f"its header names {header.run}/{header.writer}"))
        elif header is not None and not self._accepts(header):
            del self.shipments[key]
            self.foreign.add(key)
