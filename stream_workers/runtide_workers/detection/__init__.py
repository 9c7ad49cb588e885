"""Is this curve worse than its family's? Pure: no Kafka, no ClickHouse, no clock."""

from runtide_workers.detection.alert import Alert
from runtide_workers.detection.bank import Bank
from runtide_workers.detection.baseline import Baseline
from runtide_workers.detection.grid import Bins
from runtide_workers.detection.monitor import Monitor

__all__ = ["Alert", "Bank", "Baseline", "Bins", "Monitor"]
