"""Every page, filled and in both themes, before axe-core: nothing serious, and nothing said on the console."""

from __future__ import annotations

from typing import Literal

import pytest
from axe_playwright_python.base import AXE_SCRIPT
from playwright.sync_api import Page

from tests.browser import filled
from tests.browser.conftest import Site, Visit

# axe looks into open shadow roots, hence at the curves too.
SERIOUS = """
async () => {
    const {violations} = await axe.run({resultTypes: ["violations"]});
    return violations
        .filter(({impact}) => impact === "serious" || impact === "critical")
        .flatMap(({id, nodes}) => nodes.map(({html, failureSummary}) => `${id}: ${html}\\n${failureSummary}`));
}
"""


@pytest.fixture(scope="module", autouse=True)
def seeded(site: Site) -> None:
    filled.fill(site.writer)


def opened(visit: Visit, name: str, theme: Literal["light", "dark"]) -> Page:
    """The page of this name, once it is filled and nothing moves any more."""
    path, parts = filled.PAGES[name]
    visit.page.emulate_media(color_scheme=theme, reduced_motion="reduce")
    page = visit.open(path)
    for part in parts:
        page.locator(part).first.wait_for(state="attached", timeout=20_000)
    page.wait_for_timeout(500)  # what fades in has another contrast while it does
    return page


def serious(page: Page) -> list[str]:
    """What axe-core finds of impact serious or critical."""
    page.evaluate(AXE_SCRIPT)
    found: list[str] = page.evaluate(SERIOUS)
    return found


@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize("name", filled.PAGES)
def test_a_page_is_accessible(visit: Visit, name: str, theme: Literal["light", "dark"]) -> None:
    found = serious(opened(visit, name, theme))
    assert found == [], "\n\n".join(found)


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_what_a_reader_opens_hides_and_pins_is_accessible(visit: Visit, theme: Literal["light", "dark"]) -> None:
    page = opened(visit, "compare", theme)
    page.locator(".run").nth(0).hover()
    page.locator(".hide").nth(0).click()
    page.locator(".pin").nth(1).click()
    visit.wait_for_curves("d.hidden !== '' && d.pinned !== ''")
    page.get_by_role("button", name="4 runs").click()
    page.get_by_text("Runs to compare").wait_for()
    page.wait_for_timeout(500)
    found = serious(page)
    assert found == [], "\n\n".join(found)
