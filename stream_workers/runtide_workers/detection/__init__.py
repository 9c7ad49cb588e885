"""Is this curve worse than its family's? Pure: no Kafka, no ClickHouse, no clock."""

from runtide_workers.detection.alert import Alert

__all__ = ["Alert"]
