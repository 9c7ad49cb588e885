"""The shipper: one process per host, journal directory and Kafka target that carries journal lines to Kafka.

It outlives the trainers, resends whatever was not confirmed stored, and deletes journals only once it is.
Light to import: Kafka is loaded when shipping starts.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from runtide.shipper.thread import ShipperThread

__all__ = ["run_in_thread"]


def run_in_thread(directory: str, kafka: str) -> ShipperThread:
    """Ship from a daemon thread of this process, where child processes are unwelcome. Returns a handle to stop it.

    One thread serves all runs of the process that share the directory and target.
    """
    from runtide.shipper.thread import serving

    return serving(directory, kafka)
