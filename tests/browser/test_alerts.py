"""Alerts in a real browser: from the feed to the curve and on to the comparison."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any
from urllib.parse import parse_qs, urlsplit

import numpy as np
import pytest
from playwright.sync_api import Page

from tests.browser.conftest import Site, Visit
from tests.browser.seeding import SeededRun, loss_curve, now_ms
from tests.browser.tables import cell, tick

HOSTILE = '<img src=x onerror="window.hacked=1"> **b** [c](javascript:window.hacked=1)'


@pytest.fixture(scope="module")
def bad(site: Site) -> SeededRun:
    """A run that goes on and is worse than three that have ended."""
    site.beat()
    steps = np.arange(1, 1001, dtype=np.int64)
    for i in range(4):
        run = site.run("llm", f"run-{i}", started_s_ago=7200 - 600 * i)
        run.begin(name=f"gpt-{i}")
        run.log({"train/loss": loss_curve(steps, floor=2.5 + i // 3, speed=1, noise=0.02, seed=i)}, steps)
        if i < 3:
            run.end("finished", now_ms())
    return run


def alert(site: Site, run: SeededRun, number: int, **fields: Any) -> None:
    detail = {
        "effect": 0.3, "value": 3.5, "baseline": 2.7, "n": 3, "members": ["run-0", "run-1", "run-2"],
        "nearest": "run-2", "changes": {"config": {"lr": [0.001, 0.01]}},
    }  # fmt: skip
    row = {
        "id": f"{number:032x}", "run": run.run, "ts": now_ms() - 1000 * number, "kind": "regression",
        "severity": "page", "title": f"alert {number}", "text": "It is so.", "metric": "train/loss", "step": 500,
        "state": "open", "detail": json.dumps(detail), "version": now_ms(), "incident": "", "quiet": 0,
    }  # fmt: skip
    site.writer.rows("alerts", [row | fields])


@pytest.fixture(autouse=True)
def alerts(site: Site, bad: SeededRun) -> Iterator[None]:
    """Three of them: a page, a warning of a hostile title, and one that has been resolved."""
    alert(site, bad, 10)
    alert(site, bad, 20, severity="warn", title=HOSTILE, text=HOSTILE)
    alert(site, bad, 30, severity="info", state="resolved")
    yield
    site.writer._command("TRUNCATE TABLE alerts")


def address(page: Page) -> dict[str, list[str]]:
    return parse_qs(urlsplit(page.url).query)


def test_from_the_feed_to_the_comparison(visit: Visit, site: Site, bad: SeededRun) -> None:
    page = visit.open("/?project=llm")
    page.get_by_role("link", name="Alerts").click()
    page.get_by_text("tick one to see why").wait_for()
    assert "page" in cell(page, 2, 0) and cell(page, 6, 1) == HOSTILE
    tick(page, 1, of=3)
    page.get_by_role("heading", name="alert 10").wait_for()
    drawn = visit.wait_for_curves("d.runs.split(' ').length === 4")
    assert drawn["runs"] == "llm/run-3 llm/run-0 llm/run-1 llm/run-2"
    assert address(page)["alert"] == [f"{10:032x}"]
    page.get_by_text("runtide ack 00000000").wait_for()

    page.locator(".curves").evaluate("element => { element.seenBefore = true }")
    alert(site, bad, 5, title="alert 5")  # one that comes meanwhile
    page.get_by_text("4 alerts").wait_for(timeout=15_000)
    page.locator("[data-testid=glide-cell-6-0]").filter(has_text="alert 5").wait_for(state="attached")
    assert address(page)["alert"] == [f"{10:032x}"]  # it is still the chosen one, a row further down
    assert page.locator(".curves").evaluate("element => element.seenBefore")  # and its curve was left alone

    page.reload()
    page.get_by_role("heading", name="alert 10").wait_for()
    page.get_by_role("link", name="Compare in full").click()
    visit.wait_for_curves("d.runs.split(' ').length === 4 && d.panels === '1'")
    assert address(page)["metrics"] == ["train/loss"]
    page.get_by_text("Results").wait_for()


def test_a_link_from_a_message_shows_the_alert_whatever_it_is_called(visit: Visit) -> None:
    page = visit.open(f"/alerts?project=llm&alert={20:032x}")
    page.get_by_role("heading", name=HOSTILE).wait_for()
    assert page.evaluate("window.hacked") is None
    assert page.locator("img[src=x]").count() == 0
    page.get_by_role("button", name="open 2").click()
    page.get_by_text("2 alerts of 3").wait_for()
    assert address(page)["alert_state"] == ["open"]
    tick(page, 2, of=2)  # the chosen one: no longer chosen
    page.get_by_role("heading", name=HOSTILE).wait_for(state="detached")
    assert "alert" not in address(page)
