"""Detection and telling people, as one thing that the worker starts and stops."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from clickhouse_connect.driver.client import Client as Driver

from runtide_storage.cohorts import Cohorts
from runtide_storage.connect import address, read_errors
from runtide_storage.writer import Writer
from runtide_workers.alerting.config import AlertSettings
from runtide_workers.alerting.detector import Detector
from runtide_workers.alerting.lookout import Lookout
from runtide_workers.alerting.notify import Notifier
from runtide_workers.health import Figure
from runtide_workers.outlet import Outgoing
from runtide_workers.sink import Stored


class Alerting:
    """`connect` gives a connection of its own each time; `publish` sends to Kafka. With `detect` off only what trainers
    and the pipeline itself raise is told.
    """

    def __init__(
        self,
        connect: Callable[[], Driver],
        publish: Callable[[Sequence[Outgoing]], None],
        settings: AlertSettings,
        link: str,
        *,
        detect: bool,
    ) -> None:
        """Raises `Unreachable`."""
        self._owner: Callable[[str], bool] = lambda _: False  # until partitions are assigned
        teller = connect()
        self._notifier = Notifier(Writer(teller), reader(teller), settings, publish, self._owns, link)
        self._detector: Detector | None = None
        if detect:
            cohorts, writer = Cohorts(connect()), Writer(connect())
            self._detector = Detector(
                lambda: Lookout(cohorts, writer, publish, settings, link.rstrip("/"), self._notifier.wake)
            )

    def start(self) -> None:
        self._notifier.start()
        if self._detector is not None:
            self._detector.start()

    def stop(self, timeout_s: float) -> None:
        """Finish what is in hand. The next worker finds, and tells, what was not said yet."""
        if self._detector is not None:
            self._detector.stop(timeout_s)
        self._notifier.stop(timeout_s)

    def note(self, stored: Stored) -> None:
        """A batch is stored."""
        if any(event.kind == "alert" for decoded in stored.fresh for event in decoded.events):
            self._notifier.wake()
        if self._detector is not None:
            self._detector.note(stored)

    def own(self, owns: Callable[[str], bool]) -> None:
        """Partitions were assigned: `owns(run id)` tells whether a run is ours."""
        self._owner = owns
        if self._detector is not None:
            self._detector.own(owns)

    def _owns(self, run_id: str) -> bool:
        return self._owner(run_id)

    def figures(self) -> Iterator[Figure]:
        """For /metrics."""
        detector = self._detector
        if detector is None:
            return
        yield "followed_runs", "gauge", "Runs that detection follows", {}, detector.followed
        yield "followed_series", "gauge", "Curves that detection follows", {}, detector.series
        yield (
            "detection_waiting_points",
            "gauge",
            "Stored points that detection has not seen",
            {},
            detector.waiting_points,
        )
        yield "detection_seconds_total", "counter", "CPU time of detection", {}, detector.seconds
        yield "alerts_total", "counter", "Alerts raised or raised again", {}, detector.alerts
        yield "detection_failures_total", "counter", "Times that detection started over", {}, detector.failures
        yield "detection_shed_batches_total", "counter", "Batches that were read again later", {}, detector.shed


def reader(driver: Driver) -> Callable[[str, Mapping[str, Any]], list[Mapping[str, Any]]]:
    """Queries through one connection. Raises `Unreachable` and `QueryError`."""

    def read(sql: str, parameters: Mapping[str, Any]) -> list[Mapping[str, Any]]:
        with read_errors(address(driver)):
            return list(driver.query(sql, dict(parameters)).named_results())

    return read
