"""Prometheus scrapes live runs, and OpenTelemetry's SDK exports into one: read with their own parsers and SDK."""

import math
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import runtide
from runtide.integrations.prometheus import Exposition, serve
from tests.fixtures.journals import BARE, journal

openmetrics = pytest.importorskip("prometheus_client.openmetrics.parser")
classic = pytest.importorskip("prometheus_client.parser")
metrics_sdk = pytest.importorskip("opentelemetry.sdk.metrics")
exporting = pytest.importorskip("opentelemetry.sdk.metrics.export")
resources = pytest.importorskip("opentelemetry.sdk.resources")
views = pytest.importorskip("opentelemetry.sdk.metrics.view")


@pytest.fixture
def run(tmp_path: Path) -> Iterator[runtide.Run]:
    run = runtide.init("scraped", dir=tmp_path, settings={**BARE, "segment_bytes": 400})
    yield run
    run.finish()


def samples(text: str, run: runtide.Run, parser: Any = openmetrics) -> dict[tuple[str, str], float]:
    """(sample, metric) -> value, of one run."""
    families = parser.text_string_to_metric_families(text)
    return {
        (sample.name, sample.labels.get("metric", "")): sample.value
        for family in families for sample in family.samples if sample.labels["run"] == run.id
    }  # fmt: skip


def test_the_last_values_are_exposed_over_segments_and_scrapes(run: runtide.Run) -> None:
    exposition = Exposition()
    for step in range(50):
        run.log({"train/loss": 1 / (step + 1), "wild": float("nan")})
    run.log({"up": math.inf, 'odd "name"\\': -math.inf, "system/cpu": 1.0}, step=7)
    found = samples(exposition.text(), run)
    assert found["runtide_metric", "train/loss"] == 1 / 50
    assert math.isnan(found["runtide_metric", "wild"])
    assert found["runtide_metric", "up"] == math.inf
    assert found["runtide_metric", 'odd "name"\\'] == -math.inf
    assert found["runtide_step", ""] == 7
    assert found["runtide_points_total", ""] == 103
    run.log({"train/loss": 0.25}, step=8)
    found = samples(exposition.text(), run)
    assert (found["runtide_metric", "train/loss"], found["runtide_step", ""]) == (0.25, 8)
    assert found["runtide_points_total", ""] == 104
    assert found["runtide_metric", "up"] == math.inf


def test_delivered_segments_may_be_gone(run: runtide.Run) -> None:
    exposition = Exposition()
    for step in range(50):
        run.log({"loss": float(step)})
    for path in sorted(Path(run.dir).glob("*.jsonl"))[:-1]:
        path.unlink()
    assert samples(exposition.text(), run)["runtide_step", ""] == 49


def test_runs_that_ended_are_left_out(run: runtide.Run) -> None:
    exposition = Exposition()
    run.log({"loss": 1.0})
    assert samples(exposition.text(), run)
    run.finish()
    assert samples(exposition.text(), run) == {}
    assert exposition.text().endswith("# EOF\n")


@pytest.mark.parametrize(
    ("accept", "kind"), [("application/openmetrics-text; version=1.0.0", "application/openmetrics-text"),
                         ("text/plain", "text/plain")]
)  # fmt: skip
def test_it_is_served(run: runtide.Run, accept: str, kind: str) -> None:
    run.log({"loss": 0.5})
    server = serve()
    try:
        address = f"http://127.0.0.1:{server.server_port}"
        request = urllib.request.Request(f"{address}/metrics", headers={"Accept": accept})
        with urllib.request.urlopen(request, timeout=10) as answer:
            body = answer.read().decode()
            assert answer.headers["Content-Type"].startswith(kind)
        parser = openmetrics if "openmetrics" in accept else classic
        assert samples(body, run, parser)["runtide_metric", "loss"] == 0.5
        with pytest.raises(urllib.error.HTTPError, match="404"):
            urllib.request.urlopen(f"{address}/other", timeout=10)
    finally:
        server.shutdown()
        server.server_close()


def test_opentelemetry(run: runtide.Run, tmp_path: Path) -> None:
    from runtide.integrations.opentelemetry import RuntideMetricExporter

    memory = exporting.InMemoryMetricReader()
    reader = exporting.PeriodicExportingMetricReader(RuntideMetricExporter(), export_interval_millis=math.inf)
    resource = resources.Resource({"service.name": "trainer"})
    provider = metrics_sdk.MeterProvider([reader, memory], resource=resource, shutdown_on_exit=False)
    meter = provider.get_meter("unit")
    counter, gauge = meter.create_counter("tokens"), meter.create_gauge("lr")
    histogram = meter.create_histogram("seconds", explicit_bucket_boundaries_advisory=[1.0, 2.0, 4.0])
    counter.add(3, {"kind": "in", "a": 1})
    gauge.set(0.5)
    for value in (0.5, 1.5, 1.75, 3.0):
        histogram.record(value)
    reader.collect()
    counter.add(2, {"kind": "in", "a": 1})
    reader.collect()
    provider.shutdown()
    written = journal(tmp_path)
    assert written.points("tokens/a=1/kind=in")[:2] == [(0, 3.0), (1, 5.0)]
    assert written.points("lr")[0] == (0, 0.5)
    theirs = point_of(memory.get_metrics_data(), "seconds")
    for end in ("count", "sum", "min", "max"):
        assert written.points(f"seconds/{end}")[0] == (0, getattr(theirs, end))
    assert written.points("seconds/mean")[0] == (0, 6.75 / 4)
    assert written.points("seconds/p50")[0] == (0, 1.5)  # the middle of the two between 1 and 2
    assert written.points("seconds/p99")[0][1] == pytest.approx(2.96)  # 0.96 of the way from 2 to the greatest, 3
    assert written.values("config")["otel/service.name"] == "trainer"


def test_an_exponential_histogram_has_no_quantiles(run: runtide.Run, tmp_path: Path) -> None:
    from runtide.integrations.opentelemetry import RuntideMetricExporter

    kind = {metrics_sdk.Histogram: views.ExponentialBucketHistogramAggregation()}
    exporter = RuntideMetricExporter(run, preferred_aggregation=kind)
    reader = exporting.PeriodicExportingMetricReader(exporter, export_interval_millis=math.inf)
    provider = metrics_sdk.MeterProvider([reader], shutdown_on_exit=False)
    provider.get_meter("unit").create_histogram("seconds").record(2.0)
    reader.collect()
    provider.shutdown()
    written = journal(tmp_path)
    assert written.points("seconds/max")[0] == (0, 2.0) and not written.points("seconds/p50")


def test_what_can_not_be_recorded_is_a_failed_export(run: runtide.Run) -> None:
    from runtide.integrations.opentelemetry import RuntideMetricExporter

    assert RuntideMetricExporter().export(object()) is exporting.MetricExportResult.FAILURE


def point_of(data: Any, name: str) -> Any:
    [point] = [
        point for of_resource in data.resource_metrics for scope in of_resource.scope_metrics
        for metric in scope.metrics if metric.name == name for point in metric.data.data_points
    ]  # fmt: skip
    return point
