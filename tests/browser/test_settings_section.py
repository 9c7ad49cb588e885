"""What the settings do: from storage to parallel coordinates."""

from __future__ import annotations

import numpy as np
import pytest
from playwright.sync_api import expect

from tests.browser.conftest import Site, Visit
from tests.browser.seeding import now_ms

MEAN = "<img src=x onerror=window.hacked=1>"


@pytest.fixture(scope="module", autouse=True)
def seeded(site: Site) -> None:
    """Twelve runs whose loss goes with the learning rate, and not with the seed."""
    for number in range(12):
        run = site.run("sweep", f"r{number}")
        run.begin(config={"optim.lr": 10.0 ** -(1 + number % 4), "seed": number * 7 % 12, MEAN: ["a", "b"][number % 2]})
        run.log({"loss": np.linspace(3, 1 + number % 4, 20)}, np.arange(20))
        run.end("finished", now_ms())
    site.beat()


def test_what_goes_with_the_metric(visit: Visit) -> None:
    page = visit.open("/compare?project=sweep&metrics=loss")
    visit.wait_for_curves("d.panels === '1'")
    page.get_by_text("All runs of the project").click()
    page.wait_for_url("**among=project**")
    expect(
        page.locator("[data-testid=stVegaLiteChart] canvas, [data-testid=stVegaLiteChart] svg").first
    ).to_be_visible()
    expect(page.locator("[data-testid=stDataFrame] td", has_text="optim.lr").first).to_be_attached()
    expect(page.get_by_text("It is association")).to_be_visible()
    page.reload()
    expect(page.get_by_text("It is association")).to_be_visible()
    assert page.evaluate("window.hacked") is None
