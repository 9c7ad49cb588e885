"""OpenTelemetry: a metric exporter whose gauges, counters and histograms become points of a run.

reader = PeriodicExportingMetricReader(RuntideMetricExporter())
provider = MeterProvider(metric_readers=[reader])
"""
# ruff: noqa: ARG002 - the signatures are the library's

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from runtide._run import Run
from runtide.integrations import current, library

_export: Any = library("opentelemetry.sdk.metrics.export", "opentelemetry-sdk")

QUANTILES = {"p50": 0.5, "p95": 0.95, "p99": 0.99}


class RuntideMetricExporter(_export.MetricExporter):  # type: ignore[misc]
    """A series is named `<instrument>/<key>=<value>/...` after its attributes, in the order of their keys.

    Gauges and counters are one metric each. A histogram is `/count`, `/sum`, `/min`, `/max`, `/mean` and the quantiles
    `/p50`, `/p95`, `/p99`, estimated within their bucket; an exponential one has no quantiles. The step counts exports,
    the time is that of the measurement. What the resource says of itself is config, under `otel/`.
    """

    def __init__(self, run: Run | None = None, **options: Any) -> None:
        super().__init__(**options)  # preferred_temporality, preferred_aggregation
        self.run = current(run)
        self._exports = 0
        self._resources: set[str] = set()

    def export(self, metrics_data: Any, timeout_millis: float = 10_000, **_: Any) -> Any:
        try:
            for of_resource in metrics_data.resource_metrics:
                self._tell(of_resource.resource)
                for of_scope in of_resource.scope_metrics:
                    for metric in of_scope.metrics:
                        for point in metric.data.data_points:
                            values = dict(_values(_name(metric.name, point.attributes), point))
                            self.run.log(values, step=self._exports, timestamp=point.time_unix_nano / 1e9)
            self._exports += 1
        except Exception as error:  # noqa: BLE001 - the SDK's reader would log a traceback at every export
            self.run._writer.refusals.add("metrics of OpenTelemetry that could not be recorded", str(error))
            return _export.MetricExportResult.FAILURE
        return _export.MetricExportResult.SUCCESS

    def force_flush(self, timeout_millis: float = 10_000) -> bool:
        """True: what was exported is in the journal."""
        return True

    def shutdown(self, timeout_millis: float = 30_000, **_: Any) -> None:
        """The run goes on."""

    def _tell(self, resource: Any) -> None:
        facts = dict(resource.attributes)
        known = repr(sorted(facts.items(), key=str))
        if known not in self._resources:
            self._resources.add(known)
            self.run.config.update({"otel": facts})


def _name(instrument: str, attributes: Mapping[str, Any] | None) -> str:
    return "/".join((instrument, *(f"{key}={value}" for key, value in sorted((attributes or {}).items()))))


def _values(name: str, point: Any) -> Iterator[tuple[str, float]]:
    if not hasattr(point, "count"):
        yield name, point.value
        return
    yield f"{name}/count", point.count
    yield f"{name}/sum", point.sum
    if point.count:
        yield f"{name}/mean", point.sum / point.count
        yield f"{name}/min", point.min
        yield f"{name}/max", point.max
        if hasattr(point, "explicit_bounds"):
            edges = [point.min, *point.explicit_bounds, point.max]
            for end, share in QUANTILES.items():
                yield f"{name}/{end}", _quantile(point.bucket_counts, edges, share * point.count)


def _quantile(counts: Sequence[int], edges: Sequence[float], rank: float) -> float:
    """Where the `rank`th value lies, those of a bucket spread evenly between the extremes that it can hold."""
    low, high = edges[0], edges[-1]
    for number, count in enumerate(counts):
        if count and rank <= count:
            bottom, top = max(low, edges[number]), min(high, edges[number + 1])
            return bottom + (top - bottom) * rank / count
        rank -= count
    return high
