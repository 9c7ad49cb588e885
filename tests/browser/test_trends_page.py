"""Trends in a real browser: a family that got worse, and the way to what did it."""

from __future__ import annotations

from urllib.parse import parse_qs, urlsplit

import pytest
from playwright.sync_api import expect

from tests.browser.conftest import Site, Visit
from tests.fixtures.planned import add_planned

GROUP = "<b>g</b>"
FINALS = (2.0, 2.01, 1.99, 2.0, 2.01, 1.99, 2.0, 3.0, 3.01, 2.99, 3.0)


@pytest.fixture(scope="module", autouse=True)
def seeded(site: Site) -> None:
    site.beat()
    for hour, final in enumerate(FINALS, start=1):
        add_planned(
            site.writer, f"r{hour}", hour, {"val/loss": (0.5, 9.0, final)}, family=7, primary="val/loss",
            goals={"val/loss": "minimize"}, fields={"project": "p", "group": GROUP, "config.layers": 12}, project="p",
            group=GROUP, meta={"git/commit": ("a" if hour < 8 else "b") * 40, "git/dirty": False},
        )  # fmt: skip


def test_a_family_that_got_worse_leads_to_the_comparison(visit: Visit) -> None:
    page = visit.open("/trends?project=p")
    expect(page.get_by_text("▼ worse than before").first).to_be_visible()
    expect(page.locator("[data-testid=stVegaLiteChart] canvas, [data-testid=stVegaLiteChart] svg")).to_have_count(1)
    expect(page.locator("[data-testid=stDataFrame] td", has_text="aaaaaaaaaa..bbbbbbbbbb")).to_be_attached()
    page.get_by_role("link", name="the last run before it").click()
    drawn = visit.wait_for_curves("d.runs.split(' ').length === 2")
    assert drawn["runs"] == "p/r8 p/r7"
    assert parse_qs(urlsplit(page.url).query)["runs"] == ["r8,r7"]
    assert "family" not in parse_qs(urlsplit(page.url).query)
