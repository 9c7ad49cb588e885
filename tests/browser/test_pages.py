"""The main journeys, in a real browser on real data."""

from __future__ import annotations

import re
from urllib.parse import parse_qs, urlsplit

import numpy as np
import pytest
from playwright.sync_api import Page, expect

from tests.browser.conftest import Site, Visit
from tests.browser.seeding import SeededRun, loss_curve, now_ms
from tests.browser.tables import cell, tick

HOSTILE = [
    '<img src=x onerror="window.hacked=1">',
    "[click](javascript:window.hacked=1) ![p](http://outside.example/p.png)",
    "'; DROP TABLE runs; -- <script>window.hacked=1</script>",
]
HOSTILE_METRIC = "<svg onload=window.hacked=1> **loss** ![p](http://outside.example/q.png)"


@pytest.fixture(scope="module", autouse=True)
def seeded(site: Site) -> SeededRun:
    """Eight runs that have ended, one that goes on, and some of names that mean ill. The one that goes on."""
    site.beat()
    steps = np.arange(1, 4001, dtype=np.int64)
    for i in range(8):
        run = site.run("llm", f"run-{i}", started_s_ago=7200 - 600 * i)
        run.begin(name=f"gpt-120m-{i}", tags=["sweep"], config={"lr": 0.001 * (i % 2 + 1), "layers": 12})
        times = run.started_ms + steps * 100
        loss = loss_curve(steps, floor=2.5 + i / 10, speed=1, noise=0.05, seed=i)
        if i == 2:
            loss[2000] = np.nan
        run.log({"train/loss": loss, "eval/accuracy": 0.6 - np.exp(-steps / 900) / 2}, steps, times)
        run.end("failed" if i == 2 else "finished", int(times[-1]))
    for i, name in enumerate(HOSTILE):
        run = site.run("hostile", f"h{i}")
        run.begin(name=name, tags=[name], group=name, config={name: name, "i": i})
        run.log({HOSTILE_METRIC: np.sin(steps[:200] / 20 + i)}, steps[:200])
        run.end("finished", now_ms())
    live = site.run("llm", "live", started_s_ago=60)
    live.begin(name="gpt-120m-live", config={"lr": 0.003, "layers": 12})
    live.log({"train/loss": loss_curve(steps[:500], floor=2.6, speed=1, noise=0.05, seed=99)}, steps[:500])
    return live


def point(page: Page, panel: int, across: float, down: float = 0.5) -> tuple[float, float]:
    """A place in a panel's plot: `across` and `down` from 0 to 1."""
    box = page.locator(".panel .top").nth(panel).bounding_box()
    assert box is not None
    return box["x"] + 52 + (box["width"] - 62) * across, box["y"] + 8 + (box["height"] - 30) * down


def drag(page: Page, panel: int, start: float, stop: float) -> None:
    page.mouse.move(*point(page, panel, start))
    page.mouse.down()
    page.mouse.move(*point(page, panel, (start + stop) / 2), steps=3)
    page.mouse.move(*point(page, panel, stop), steps=3)
    page.mouse.up()


def address(page: Page) -> dict[str, list[str]]:
    return parse_qs(urlsplit(page.url).query)


def ink(page: Page) -> list[int]:
    """Per panel, how many pixels the curves cover."""
    counted: list[int] = page.locator(".panel .base").evaluate_all(
        """canvases => canvases.map(canvas => {
            const pixels = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height).data;
            let covered = 0;
            for (let i = 3; i < pixels.length; i += 4) if (pixels[i] > 40) covered++;
            return covered;
        })"""
    )
    return counted


def test_choose_runs_and_compare_them(visit: Visit) -> None:
    page = visit.open("/?project=llm")
    page.get_by_text("Tick runs to compare them").wait_for()
    assert cell(page, 1, 0) == "gpt-120m-live"
    assert "running" in cell(page, 2, 0)
    tick(page, 1)
    page.get_by_role("button", name="Compare 1 run").wait_for()
    tick(page, 3)
    page.get_by_role("button", name="Compare 2 runs").click()
    drawn = visit.wait_for_curves("d.runs.split(' ').length === 2")
    assert drawn["runs"] == "llm/live llm/run-6"
    assert address(page)["runs"] == ["live,run-6"]
    assert int(drawn["points"]) > 500
    assert all(covered > 300 for covered in ink(page))


def test_the_filter_language_narrows_the_table(visit: Visit) -> None:
    page = visit.open("/?project=llm")
    box = page.get_by_role("searchbox", name="Filter")
    box.fill('config.lr = 0.002 and max.eval/accuracy > 0.5 and state = "finished"')
    page.get_by_text("4 runs of 9").wait_for()
    expect(page.locator("[data-testid=glide-cell-1-0]")).to_have_text("gpt-120m-7")  # the caption is drawn first
    assert [cell(page, 1, row) for row in range(4)] == [f"gpt-120m-{i}" for i in (7, 5, 3, 1)]
    box.fill("config.lr = = 1")
    page.get_by_text("This filter can't be read").wait_for()
    assert "config.lr = = 1\n            ^" in page.locator("[data-testid=stCode]").inner_text()
    box.fill("gpt-120m-3")
    page.get_by_text("1 run of 9").wait_for()


def test_the_selection_holds_while_the_table_goes_on(visit: Visit, seeded: SeededRun) -> None:
    page = visit.open("/?project=llm")
    page.get_by_text("Tick runs to compare them").wait_for()
    tick(page, 2)
    page.get_by_role("button", name="Compare 1 run").wait_for()
    last = seeded.go_on("train/loss", 5)
    page.get_by_text(re.compile(f"^{last:,}$")).first.wait_for(state="attached", timeout=15_000)
    page.get_by_role("button", name="Compare 1 run").click()
    assert visit.wait_for_curves("true")["runs"] == "llm/run-7"


def test_a_link_restores_the_whole_view(visit: Visit) -> None:
    page = visit.open("/compare?project=llm&runs=run-1,run-4&metrics=train%2Floss&zoom=1000:2000&smooth=30&log=y")
    drawn = visit.wait_for_curves("d.window === '1000:2000'")
    assert drawn["runs"] == "llm/run-1 llm/run-4" and drawn["panels"] == "1"
    assert page.title() == "Compare · Runtide"
    assert page.locator(".words").inner_text().startswith("Steps 1,000–2,000 · 2 runs")
    assert page.get_by_role("button", name="log y").get_attribute("aria-checked") != "false"
    whole = visit.open("/compare?project=llm&runs=run-1,run-4&metrics=train%2Floss")
    visit.wait_for_curves("d.window !== '1000:2000'")
    assert whole.locator(".run").count() == 2


def test_a_live_run_is_followed_without_reload(visit: Visit, seeded: SeededRun) -> None:
    page = visit.open("/compare?project=llm&runs=live&metrics=train%2Floss")
    before = visit.wait_for_curves("true")
    page.locator(".curves").evaluate("element => { element.seenBefore = true }")
    page.locator(".pin").first.click()
    last = seeded.go_on("train/loss", 50)
    assert last > float(before["last"])
    after = visit.wait_for_curves(f"Number(d.last) === {last}")
    assert after["pinned"] == "llm/live"  # what the reader did stays
    assert page.locator(".curves").evaluate("element => element.seenBefore")


def test_a_refresh_does_not_flash(visit: Visit) -> None:
    page = visit.open("/compare?project=llm&runs=live&metrics=train%2Floss")
    visit.wait_for_curves("true")
    faintest = page.evaluate(
        """async () => {
            let faintest = 1;
            for (const end = performance.now() + 4500; performance.now() < end;) {  // two refreshes
                for (const element of document.querySelectorAll("[data-testid=stElementContainer]"))
                    faintest = Math.min(faintest, Number(getComputedStyle(element).opacity));
                await new Promise(requestAnimationFrame);
            }
            return faintest;
        }"""
    )
    assert faintest == 1


def test_drag_zooms_into_full_detail_and_back(visit: Visit) -> None:
    page = visit.open("/compare?project=llm&runs=run-1,run-2&metrics=train%2Floss")
    visit.wait_for_curves("d.window === '1:4000'")
    assert "mean of" in page.locator(".words").inner_text()
    drag(page, 0, 0.5, 0.6)
    zoomed = visit.wait_for_curves("d.busy === 'false' && d.window !== '1:4000'")
    lo, hi = (float(edge) for edge in zoomed["window"].split(":"))
    assert lo == pytest.approx(2000, abs=60) and hi == pytest.approx(2400, abs=60)
    assert address(page)["zoom"] == [zoomed["window"]]
    page.mouse.move(5, 5)
    page.get_by_text("every point").wait_for()
    assert "NaN or infinite at 1 marked place" in page.locator(".words").inner_text()
    page.reload()
    visit.wait_for_curves(f"d.window === '{zoomed['window']}'")
    page.mouse.dblclick(*point(page, 0, 0.5))
    visit.wait_for_curves("d.window === '1:4000' && d.busy === 'false'")
    assert "zoom" not in address(page)


def test_one_hover_for_all_panels_and_the_legend(visit: Visit) -> None:
    page = visit.open("/compare?project=llm&runs=run-1,run-5&metrics=train%2Floss&metrics=eval%2Faccuracy")
    visit.wait_for_curves("d.panels === '2'")
    page.locator(".pin").nth(1).hover()
    assert visit.wait_for_curves("d.pick !== ''")["pick"] == "llm/run-5"
    assert all(reading for reading in page.locator(".reading").all_inner_texts())
    page.mouse.move(*point(page, 0, 0.5, 0.2))
    assert page.locator(".words").inner_text().startswith("step ")


def test_the_keyboard_reaches_everything(visit: Visit) -> None:
    page = visit.open("/compare?project=llm&runs=run-1,run-5&metrics=train%2Floss")
    visit.wait_for_curves("true")
    page.locator(".pin").nth(0).focus()
    assert visit.wait_for_curves("d.pick !== ''")["pick"] == "llm/run-1"
    page.keyboard.press("Enter")
    assert visit.wait_for_curves("d.pinned !== ''")["pinned"] == "llm/run-1"
    page.keyboard.press("Tab")
    page.keyboard.press("Enter")
    assert visit.wait_for_curves("d.hidden !== ''")["hidden"] == "llm/run-1"
    page.get_by_role("button", name="Show all").click()
    visit.wait_for_curves("d.hidden === ''")
    panel = page.locator(".panel")
    panel.focus()
    for key in ("ArrowRight", "ArrowRight", "ArrowDown"):
        page.keyboard.press(key)
    visit.wait_for_curves("d.pick === 'llm/run-5'")
    assert "gpt-120m-5" in page.locator(".words").inner_text()
    page.keyboard.press("Escape")  # unpins
    visit.wait_for_curves("d.pinned === ''")
    page.keyboard.press("+")
    visit.wait_for_curves("d.window !== '1:4000' && d.busy === 'false'")
    assert "zoom" in address(page)
    page.locator(".panel").focus()
    page.keyboard.press("Escape")  # shows everything
    visit.wait_for_curves("d.window === '1:4000'")


def test_names_that_mean_ill_are_text(visit: Visit) -> None:
    page = visit.open("/?project=hostile")
    page.get_by_text("Tick runs to compare them").wait_for()
    assert {cell(page, 1, row) for row in range(3)} == set(HOSTILE)
    page.get_by_role("button", name="Compare the newest 3").click()
    visit.wait_for_curves("d.runs.split(' ').length === 3")
    assert page.locator(".title").inner_text() == HOSTILE_METRIC
    assert set(page.locator(".name").all_inner_texts()) == set(HOSTILE)
    page.locator(".pin").first.hover()
    page.get_by_role("button", name="3 runs").click()
    page.get_by_text("Runs to compare").wait_for()
    assert page.evaluate("window.hacked") is None
    assert page.locator("img[src=x], svg[onload]").count() == 0


def test_the_dark_theme_has_its_own_palette(visit: Visit) -> None:
    page = visit.open("/compare?project=llm&runs=run-0&metrics=train%2Floss")
    visit.wait_for_curves("true")

    def swatch() -> str:
        colour: str = page.locator(".swatch").evaluate(
            "canvas => [...canvas.getContext('2d').getImageData(4, canvas.height / 2, 1, 1).data].slice(0, 3).join()"
        )
        return colour

    assert swatch() == "24,69,251"
    page.emulate_media(color_scheme="dark")  # while the page is open
    for _ in range(100):
        if swatch() == "70,88,255":
            break
        page.wait_for_timeout(50)
    assert swatch() == "70,88,255"


def test_going_to_the_runs_and_back_keeps_the_comparison(visit: Visit) -> None:
    page = visit.open("/compare?project=llm&runs=run-1,run-2&metrics=train%2Floss&x=relative")
    visit.wait_for_curves("true")
    page.get_by_role("link", name="Runs").click()
    page.get_by_text("Tick runs to compare them").wait_for()
    assert set(address(page)) == {"project"}
    page.get_by_role("link", name="Compare").click()
    visit.wait_for_curves("d.runs === 'llm/run-1 llm/run-2'")
    assert address(page)["x"] == ["relative"]
