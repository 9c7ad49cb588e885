"""The baseline under the curves, and where a run left it, from storage to the canvas."""

from __future__ import annotations

import re
from urllib.parse import parse_qs, urlsplit

import numpy as np
import pytest
from playwright.sync_api import Page, expect

from tests.browser.conftest import Site, Visit
from tests.browser.seeding import now_ms

STEPS = np.arange(0, 2000, 10)


@pytest.fixture(scope="module", autouse=True)
def seeded(site: Site) -> None:
    """Ten healthy runs, and one that is worse from step 1,200 on."""
    members = []
    for number in range(10):
        run = site.run("family", f"good{number}")
        run.begin()
        run.log({"loss": 2 * np.exp(-STEPS / 600) + 0.1 + 0.01 * number}, STEPS)
        run.end("finished", now_ms())
        members.append(run.run)
    worse = site.run("family", "worse")
    worse.begin()
    worse.log({"loss": 2 * np.exp(-STEPS / 600) + np.where(STEPS > 1200, 0.6, 0.1)}, STEPS)
    plan = {"family": 1, "fields": "{}", "members": members, "primary": "loss", "stall_s": 0.0, "planned_at": now_ms()}
    site.writer.rows("run_plans", [plan | {"run": worse.run}])
    found = {
        "id": "a" * 32, "run": worse.run, "ts": now_ms(), "kind": "regression", "severity": "page", "title": "worse",
        "text": "", "metric": "loss", "step": 1300, "state": "open", "detail": '{"since": 1210}',
    }  # fmt: skip
    site.writer.rows("alerts", [found])
    site.beat()


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


def test_along_another_metric_there_is_a_band_too(site: Site, visit: Visit) -> None:
    page = visit.open("/compare?project=family&runs=worse,good1&metrics=loss&x=relative")
    visit.wait_for_curves("d.runs === 'family/worse family/good1'")
    expect(page.get_by_text("grey: 10 to 90 % of 10 baseline runs")).to_be_visible()
    page.goto(f"{site.url}/compare?project=family&runs=good1&metrics=loss&x=metric&x_metric=loss")
    visit.wait_for_curves("d.runs === 'family/good1'")
