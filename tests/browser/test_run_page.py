"""One run's page in a real browser: from the table to its parts, with a link to each."""

from __future__ import annotations

from urllib.parse import parse_qs, urlsplit

import numpy as np
import pytest
from playwright.sync_api import Page, expect

from tests.browser.conftest import Site, Visit
from tests.browser.seeding import now_ms
from tests.browser.tables import tick

MEAN = '<img src=x onerror="window.hacked=1"> **n**'


@pytest.fixture(scope="module", autouse=True)
def seeded(site: Site) -> None:
    site.beat()
    steps = np.arange(1, 301, dtype=np.int64)
    run = site.run("book", "one")
    run.begin(
        name="first of its kind", tags=["kept"], config={"lr": 0.01, MEAN: MEAN},
        meta={"argv": ["train.py", "--lr", "0.01"], "git/commit": "abc123", "git/diff": f"+ {MEAN}\n"},
    )  # fmt: skip
    run.log({"train/loss": 1 / steps, "system/cpu_percent": np.full(len(steps), 50.0)}, steps)
    run.event("note", {"text": MEAN}, now_ms())
    run.event("decision", {"verdict": "keep", "reason": "the lowest loss", "next_step": "longer"}, now_ms())
    run.end("finished", now_ms())


def part(page: Page, name: str) -> None:
    page.get_by_role("radio", name=name).click()


def test_from_the_table_to_every_part_of_a_run(visit: Visit) -> None:
    page = visit.open("/?project=book")
    page.get_by_text("Tick runs to compare them").wait_for()
    tick(page, 1)
    page.get_by_role("button", name="Open the run").click()
    drawn = visit.wait_for_curves("d.runs === 'book/one'")
    assert drawn["panels"] == "1"
    assert parse_qs(urlsplit(page.url).query)["run"] == ["one"]
    part(page, "System")
    page.wait_for_url("**section=system**")
    visit.wait_for_curves("d.runs === 'book/one'")
    for name, cells in {
        "Config": ["lr", "0.01", MEAN],
        "Timeline": ["note", MEAN, "keep · the lowest loss · next: longer", "finished"],
        "Summary": ["train/loss", "system/cpu_percent"],
        "Processes": ["gpu-1"],
    }.items():
        part(page, name)
        for text in cells:
            expect(page.locator("[data-testid=stDataFrame] td", has_text=text).first).to_be_attached()
    part(page, "Capture")
    expect(page.get_by_text("git checkout abc123")).to_be_visible()
    expect(page.get_by_text("python train.py --lr 0.01")).to_be_visible()
    assert page.evaluate("window.hacked") is None


def test_a_link_opens_the_part(visit: Visit) -> None:
    page = visit.open("/run?project=book&run=one&section=timeline&kinds=decision")
    expect(page.locator("[data-testid=stDataFrame] td", has_text="longer").first).to_be_attached()
    assert page.locator("[data-testid=stDataFrame] td", has_text="finished").count() == 0
    assert page.title() == "Run · Runtide"
