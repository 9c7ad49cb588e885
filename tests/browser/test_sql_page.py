"""The SQL console in a real browser, on the engine: an answer, a refusal, a file; nothing can be changed."""

from __future__ import annotations

from pathlib import Path
from urllib.parse import parse_qs, quote, urlsplit

import numpy as np
import pytest
from playwright.sync_api import Page, expect

from runtide_dashboard.console import EXAMPLES
from tests.browser.conftest import Site, Visit
from tests.browser.seeding import now_ms


@pytest.fixture(scope="module", autouse=True)
def seeded(site: Site) -> None:
    site.beat()
    steps = np.arange(1, 101, dtype=np.int64)
    for i in range(3):
        run = site.run("lab", f"r{i}")
        run.begin(name=f"run {i}", config={"lr": 0.1 * i})
        run.log({"val/loss": np.full(len(steps), float(i))}, steps)
        run.event("note", {"text": "kept"}, now_ms())
        run.end("finished", now_ms())


def ask(page: Page, statement: str) -> None:
    box = page.get_by_role("textbox", name="Statement")
    box.fill(statement)
    box.press("Control+Enter")


def test_ask_be_refused_and_take_the_answer_along(visit: Visit, tmp_path: Path) -> None:
    page = visit.open("/sql?project=lab")
    page.get_by_text("Write a question").wait_for()
    ask(
        page,
        "SELECT run_id, last FROM v_summary WHERE project = {project:String} AND metric = {metric:String} ORDER BY 1",
    )
    page.get_by_text("3 rows in").wait_for()
    expect(page.locator("[data-testid=glide-cell-0-2]")).to_have_text("r2")
    assert parse_qs(urlsplit(page.url).query)["sql"][0].startswith("SELECT run_id, last")
    with page.expect_download() as download:
        page.get_by_role("button", name="CSV", exact=True).click()
    download.value.save_as(tmp_path / "answer.csv")
    assert (tmp_path / "answer.csv").read_text().splitlines() == ["run_id,last", "r0,0.0", "r1,1.0", "r2,2.0"]
    page.get_by_text("Bars", exact=True).click()
    expect(page.locator("[data-testid=stVegaLiteChart] canvas, [data-testid=stVegaLiteChart] svg")).to_have_count(1)
    ask(page, "SELECT <b>nothing</b>")
    page.get_by_text("ClickHouse refused it").wait_for()


@pytest.mark.parametrize("statement", ["DROP TABLE runs", "INSERT INTO mutes (id) VALUES ('x')", "SELECT 1; SELECT 2"])
def test_nothing_can_be_changed(visit: Visit, site: Site, statement: str) -> None:
    page = visit.open(f"/sql?project=lab&sql={quote(statement)}")
    page.get_by_text("ClickHouse refused it").wait_for()
    ask(page, "SELECT count() AS n FROM v_runs WHERE project = {project:String}")
    expect(page.locator("[data-testid=glide-cell-0-0]")).to_have_text("3")


@pytest.mark.parametrize("example", EXAMPLES)
def test_the_examples_have_answers(visit: Visit, example: str) -> None:
    page = visit.open(f"/sql?project=lab&sql={quote(EXAMPLES[example])}")
    expect(page.locator("[data-testid=glide-cell-0-0]")).not_to_be_empty()
    assert page.get_by_text("refused").count() == 0
