"""What runs now, in a real browser: it goes on by itself, and what is ticked stays ticked."""

from __future__ import annotations

import numpy as np
import pytest
from playwright.sync_api import expect

from tests.browser.conftest import Site, Visit
from tests.browser.seeding import SeededRun
from tests.browser.tables import tick

STEPS = np.arange(1, 101, dtype=np.int64)


@pytest.fixture(scope="module", autouse=True)
def seeded(site: Site) -> SeededRun:
    site.beat()
    first = site.run("now", "first", started_s_ago=120)
    first.begin(name="first")
    first.log({"train/loss": 1 / STEPS}, STEPS)
    return first


def test_it_goes_on_by_itself_and_keeps_what_is_ticked(visit: Visit, site: Site, seeded: SeededRun) -> None:
    page = visit.open("/live?project=now")
    cell = "[data-testid=glide-cell-{}-{}]".format
    expect(page.locator(cell(1, 0))).to_have_text("first", timeout=20_000)
    tick(page, 1)
    page.get_by_role("button", name="Compare 1 run").wait_for()
    last = seeded.go_on("train/loss", 7)
    page.locator("[data-testid=stDataFrame] td", has_text=f"{last}").first.wait_for(state="attached", timeout=20_000)
    second = site.run("now", "second", started_s_ago=5)
    second.begin(name="second")
    second.log({"train/loss": 2 / STEPS}, STEPS)
    expect(page.locator(cell(1, 0))).to_have_text("second", timeout=20_000)
    expect(page.locator(cell(1, 1))).to_have_text("first")
    page.get_by_role("button", name="Compare 1 run").click()
    assert visit.wait_for_curves("true")["runs"] == "now/first"
