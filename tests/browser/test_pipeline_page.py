"""The pipeline's page: what its figures are made of, and that it draws them."""

from __future__ import annotations

import pytest
from playwright.sync_api import expect

from runtide_dashboard import flow
from tests.browser.conftest import Site, Visit
from tests.browser.seeding import now_ms

BIN_MS = 1000 * flow.BIN_S
BINS = 8


@pytest.fixture(scope="module", autouse=True)
def first_ms(site: Site) -> int:
    """Two workers for eight bins, of which one began anew after four, and one from before. When the first bin began."""
    began = now_ms() // BIN_MS * BIN_MS - (BINS + 1) * BIN_MS
    beats = [("gone", began - 2 * 3_600_000, 5, 0, 1)]
    for beat in range(2 * BINS):
        at = began + BIN_MS // 2 * beat
        beats.append(("steady", at, 300 * beat, 2, 400))
        beats.append(("anew", at + 1, 900 * (beat % BINS), beat, 100))
    site.writer.rows(
        "worker_beats",
        [
            {
                "worker": worker, "at": at, "fresh_to": at - late_ms, "messages": points, "points": points,
                "duplicates": 1, "dead": 0, "lag": lag,
            }
            for worker, at, points, lag, late_ms in beats
        ],
    )  # fmt: skip
    return began


def test_the_last_hour_in_figures(reading: None, first_ms: int) -> None:
    hour, workers = flow.pipeline_hour(), flow.workers()
    assert [row["at"].timestamp() * 1000 for row in hour] == [first_ms + BIN_MS * i for i in range(BINS)]
    gained = [300 + 900, *[600 + 1800] * 3, 600 + 900, *[600 + 1800] * 3]  # the first beats gain nothing
    assert [row["points_per_s"] for row in hour] == [pytest.approx(points / flow.BIN_S) for points in gained]
    assert [row["lag"] for row in hour] == [2 + 2 * i + 1 for i in range(BINS)]
    assert [row["behind_s"] for row in hour] == [0.4] * BINS
    assert [(row["worker"], row["stored"], row["waiting"], row["behind_s"]) for row in workers] == [
        ("anew", 900 * (BINS - 1), 2 * BINS - 1, 0.1),
        ("steady", 300 * (2 * BINS - 1), 2, 0.4),
    ]


def test_how_late_each_host_is(site: Site, reading: None) -> None:
    for host, late_ms in (("calm", 400), ("choked", 90_000)):
        for number in range(2):
            run = site.run("flow", f"{host}{number}")
            run.begin(host=host)
            run.progress(now_ms() - late_ms, now_ms())
    found = flow.hosts()
    assert [(row["host"], row["runs"], row["processes"]) for row in found] == [("choked", 2, 2), ("calm", 2, 2)]
    assert [row["late_s"] for row in found] == [pytest.approx(90, abs=0.2), pytest.approx(0.4, abs=0.2)]


def test_the_page_draws_them(visit: Visit) -> None:
    page = visit.open("/pipeline")
    expect(page.get_by_text("The last hour")).to_be_visible()
    expect(page.locator("[data-testid=stVegaLiteChart] canvas, [data-testid=stVegaLiteChart] svg")).to_have_count(3)
    expect(page.locator("[data-testid=stDataFrame] td", has_text="steady").first).to_be_attached()
    expect(page.locator("[data-testid=stDataFrame] td", has_text="choked").first).to_be_attached()
    assert page.locator("[data-testid=stDataFrame] td", has_text="gone").count() == 0
