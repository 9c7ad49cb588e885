"""The baseline under the curves, and where a run left it, from storage to the canvas."""

from __future__ import annotations

import re
from urllib.parse import parse_qs, urlsplit

import numpy as np
import pytest
from playwright.sync_api import Page, expect

from runtide_dashboard import baselines
from tests.browser.conftest import Site, Visit
from tests.browser.seeding import now_ms

STEPS = np.arange(0, 2000, 10)


@pytest.fixture(scope="module", autouse=True)
def seeded(site: Site) -> None:
    """Ten healthy runs, one that is worse from step 1,200 on, and one that is far off all the time."""
    members = []
    for number in range(10):
        run = site.run("family", f"good{number}")
        run.begin()
        run.log({"loss": 2 * np.exp(-STEPS / 600) + 0.1 + 0.01 * number, "epoch": STEPS / 128}, STEPS)
        run.end("finished", now_ms())
        members.append(run.run)
    worse = site.run("family", "worse")
    worse.begin()
    worse.log({"loss": 2 * np.exp(-STEPS / 600) + np.where(STEPS > 1200, 0.6, 0.1), "epoch": STEPS / 128}, STEPS)
    far = site.run("family", "far")
    far.begin()
    far.log({"loss": 900 + STEPS / 100}, STEPS)
    plan = {"family": 1, "fields": "{}", "members": members, "primary": "loss", "stall_s": 0.0, "planned_at": now_ms()}
    site.writer.rows("run_plans", [plan | {"run": one.run} for one in (worse, far)])
    found = {
        "id": "a" * 32, "run": worse.run, "ts": now_ms(), "kind": "regression", "severity": "page", "title": "worse",
        "text": "", "metric": "loss", "step": 1300, "state": "open", "detail": '{"since": 1210}',
    }  # fmt: skip
    others = [
        found | {"id": f"{n:032x}", "kind": kind, "run": far.run, "detail": '{"since": 40}'}
        for n, kind in enumerate(("nan", "rule", "spike", "improvement", "throughput"))
    ]
    again = found | {"id": "b" * 32, "detail": '{"since": 1500}'}
    site.writer.rows("alerts", [found, again, *others])
    site.beat()


def test_the_first_alert_that_says_worse_tells_where_a_run_left(reading: None) -> None:
    found = baselines.departures(("family/worse", "family/far", "family/good1"), ("loss", "epoch"))
    assert found == {("family/worse", "loss"): 1210.0}


def ink(page: Page) -> int:
    """Pixels of the curves' canvas that are not empty."""
    script = """
        element => {
          const canvas = element.querySelector("canvas.base");
          const { data } = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height);
          let count = 0;
          for (let i = 3; i < data.length; i += 4) count += data[i] > 0;
          return count;
        }
    """
    return int(page.locator(".curves").evaluate(script))


def test_the_band_lies_under_the_curves_and_can_be_taken_away(visit: Visit) -> None:
    page = visit.open("/compare?project=family&runs=worse&metrics=loss")
    visit.wait_for_curves("d.runs === 'family/worse'")
    expect(page.get_by_text("grey: 10 to 90 % of 10 baseline runs")).to_be_visible()
    expect(page.get_by_text("left its baseline: worse at step 1,210 in loss")).to_be_visible()
    with_band = ink(page)
    page.get_by_text("Baseline", exact=True).click()
    page.wait_for_url(re.compile("band=off"))
    expect(page.get_by_text("grey: 10 to 90 %")).to_have_count(0)
    assert 0 < ink(page) < with_band
    assert parse_qs(urlsplit(page.url).query)["band"] == ["off"]


def grey_columns(page: Page) -> float:
    """In which part of the plot's width there is something without a hue, as the band is and no curve."""
    script = """
        element => {
          const canvas = element.querySelector("canvas.base");
          const { width, height } = canvas, { data } = canvas.getContext("2d").getImageData(0, 0, width, height);
          const columns = new Set();
          for (let i = 0; i < data.length; i += 4) {
            const [r, g, b, alpha] = data.subarray(i, i + 4);
            if (alpha > 20 && Math.max(r, g, b) - Math.min(r, g, b) < 40) columns.add((i / 4) % width);
          }
          return columns.size / (width - 62 * window.devicePixelRatio);
        }
    """
    return float(page.locator(".curves").evaluate(script))


@pytest.mark.parametrize("look", ["", "&x=relative", "&x=metric&x_metric=epoch", "&zoom=903:907", "&zoom=500:1500"])
def test_the_band_goes_from_edge_to_edge(visit: Visit, look: str) -> None:
    page = visit.open(f"/compare?project=family&runs=worse,good1&metrics=loss{look}")
    visit.wait_for_curves("d.runs === 'family/worse family/good1'")
    expect(page.get_by_text("grey: 10 to 90 % of 10 baseline runs")).to_be_visible()
    assert grey_columns(page) > 0.98


@pytest.mark.parametrize("log", ["", "&log=y"])
def test_the_band_is_in_sight_however_far_off_a_run_is(visit: Visit, log: str) -> None:
    page = visit.open(f"/compare?project=family&runs=far&metrics=loss{log}")
    visit.wait_for_curves("d.runs === 'family/far'")
    expect(page.get_by_text("grey: 10 to 90 % of 10 baseline runs")).to_be_visible()
    assert grey_columns(page) > 0.98


def test_along_the_clock_there_is_no_band(visit: Visit) -> None:
    page = visit.open("/compare?project=family&runs=worse&metrics=loss&x=time")
    visit.wait_for_curves("d.runs === 'family/worse'")
    expect(page.get_by_text("every point")).to_be_visible()
    expect(page.get_by_text("grey:")).to_have_count(0)
    assert grey_columns(page) == 0


def test_a_run_that_is_pointed_at_says_where_it_left(visit: Visit) -> None:
    page = visit.open("/compare?project=family&runs=worse,good1&metrics=loss")
    visit.wait_for_curves("d.runs === 'family/worse family/good1'")
    page.get_by_role("button", name="worse").first.hover()
    expect(page.get_by_text("worse · left its baseline at step 1,210", exact=True)).to_be_visible()
    page.get_by_role("button", name="good1").first.hover()
    expect(page.get_by_text("left its baseline")).to_have_count(0)
