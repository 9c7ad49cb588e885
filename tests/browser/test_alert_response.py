"""From an alert on its page to what the database keeps of what people said."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from playwright.sync_api import BrowserContext, Page, expect

from runtide_storage.connect import connect
from tests.browser.conftest import Site, free_ports
from tests.browser.seeding import now_ms
from tests.browser.serving import Served

ALERT = "d" * 32


@pytest.fixture
def page(site: Site, context: BrowserContext, tmp_path: Path) -> Iterator[Page]:
    """The page of an alert, on a server whose pages may respond."""
    run = site.run("watched", "r1")
    run.begin(group="nightly")
    run.log({"loss": np.linspace(1, 2, 50)}, np.arange(50))
    row = {
        "id": ALERT, "run": run.run, "ts": now_ms(), "kind": "regression", "severity": "page", "title": "loss is worse",
        "text": "", "metric": "loss", "step": 40, "state": "open", "detail": "{}",
    }  # fmt: skip
    site.writer.rows("alerts", [row])
    site.beat()
    urls = {
        f"RUNTIDE_CLICKHOUSE{name}": site.engine.url(role)
        for name, role in (("", "reader"), ("_RESPONDER", "responder"))
    }
    [port] = free_ports(1)
    with Served(tmp_path, urls, port) as served:
        tab = context.new_page()
        tab.goto(f"{served.url}/alerts?project=watched&alert={ALERT}")
        tab.get_by_role("heading", name="loss is worse").wait_for(timeout=20_000)
        yield tab


def test_acknowledge_mute_and_lift(page: Page, site: Site) -> None:
    driver = connect(site.engine.url("reader"))
    page.get_by_test_id("stPopoverButton").filter(has_text="Acknowledge").click()
    page.get_by_label("Your name").fill("ada")
    page.get_by_label("Reason").fill("<b>known</b>")
    page.get_by_test_id("stFormSubmitButton").get_by_role("button").click()
    expect(page.get_by_text("acknowledged by ada: <b>known</b>")).to_be_visible(timeout=20_000)
    assert driver.query("SELECT id, action, who, reason FROM alert_actions").result_rows == [
        (ALERT, "acknowledge", "ada", "<b>known</b>")
    ]
    page.get_by_test_id("stPopoverButton").filter(has_text="Mute").click()
    page.get_by_text("1 week").click()
    expect(page.get_by_label("Your name")).to_have_value("ada")
    page.get_by_test_id("stFormSubmitButton").get_by_role("button").click()
    expect(page.get_by_text("Muted for 1 week.")).to_be_visible(timeout=20_000)
    rows = driver.query("SELECT project, `group`, metric, kind, who FROM mutes FINAL").result_rows
    assert rows == [("watched", "nightly", "loss", "regression", "ada")]
    page.reload()
    page.get_by_test_id("stPopoverButton").filter(has_text="Muted (1)").click()
    page.get_by_label("Your name").fill("bob")
    page.get_by_label("Your name").press("Enter")
    page.get_by_role("button", name="Lift").click()
    expect(page.get_by_test_id("stPopoverButton").filter(has_text="Muted (1)")).to_have_count(0, timeout=20_000)
    assert driver.query("SELECT active, who FROM mutes FINAL").result_rows == [(0, "bob")]
