"""What a reader of the pages waits for, seen from inside the system's Chromium."""

import contextlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from playwright.sync_api import Browser, Page, WebSocket, sync_playwright

from tests.browser.serving import BROWSERS, FLAGS, browser_path

VIEWPORT = {"width": 1440, "height": 900}
CURVES = ".curves[data-runs]"
PICTURE_PX = 1300  # high; most of a page is in it
TIMEOUT_MS = 60_000
# An input is answered at the end of the frame after it: a message posted in that frame comes when it has been painted.
SCRIPT = """
window.bench = {clicked: 0, released: null, frames: [], repaints: []};
bench.painted = then => requestAnimationFrame(() => {
    const channel = new MessageChannel();
    channel.port1.onmessage = () => then(performance.now());
    channel.port2.postMessage(0);
});
addEventListener("click", event => { bench.clicked = event.timeStamp; }, true);
addEventListener("pointerup", event => { bench.released = event.timeStamp; }, true);
addEventListener("pointerdown", () => { bench.released = null; }, true);
addEventListener("pointermove", event => {
    bench.painted(now => bench.frames.push(now - event.timeStamp));
}, true);
bench.follow = curves => new MutationObserver(() => {
    const released = bench.released;
    if (curves.dataset.busy !== "false" || released === null) return;
    bench.released = null;
    bench.painted(now => bench.repaints.push(now - released));
}).observe(curves, {attributes: true, attributeFilter: ["data-busy"]});
"""


@contextlib.contextmanager
def chromium() -> Iterator[Browser]:
    path = browser_path()
    if path is None:
        raise SystemExit(f"no browser found: install one of {', '.join(BROWSERS)}")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=list(FLAGS))
        yield browser
        browser.close()


@contextlib.contextmanager
def tab(browser: Browser) -> Iterator[Page]:
    """A page of a reader who has never been here: nothing is in the browser's cache."""
    with browser.new_context(viewport=VIEWPORT, reduced_motion="reduce") as context:  # type: ignore[arg-type]
        context.set_default_timeout(TIMEOUT_MS)
        context.add_init_script(SCRIPT)
        yield context.new_page()


@dataclass(frozen=True)
class First:
    """What a first visit took."""

    paint_s: float  # first contentful paint
    filled_s: float  # until what the page is about is there


def first_visit(browser: Browser, url: str, filled: str) -> First:
    with tab(browser) as page:
        page.goto(url, wait_until="commit")
        page.locator(filled).first.wait_for(state="attached")
        filled_ms = page.evaluate("performance.now()")
        paint_ms = page.evaluate("performance.getEntriesByName('first-contentful-paint')[0].startTime")
    return First(paint_ms / 1000, filled_ms / 1000)


def switch(page: Page, link: str, filled: str) -> float:
    """Seconds from the click on a link of the navigation bar until the page behind it is filled."""
    page.get_by_role("link", name=link, exact=True).click()
    page.locator(filled).first.wait_for(state="attached")
    waited_ms: float = page.evaluate("performance.now() - bench.clicked")
    return waited_ms / 1000


class Curves:
    """A page with curves, and what comes over its connection."""

    def __init__(self, page: Page, url: str, panels: int) -> None:
        self.page = page
        self._bytes = 0
        page.on("websocket", self._connected)
        page.goto(url)
        drawn = f"{CURVES}[data-panels='{panels}'][data-busy=false]"
        page.locator(drawn).wait_for()
        page.locator(CURVES).evaluate("element => bench.follow(element)")
        page.wait_for_timeout(3000)  # the tables below arrive
        self.points = int(page.locator(CURVES).get_attribute("data-points") or 0)

    def zoom(self, start: float, stop: float) -> tuple[float, int]:
        """Drag over a part of the first panel, each from 0 to 1. Milliseconds until it is repainted, bytes received."""
        page, mouse = self.page, self.page.mouse
        box = page.locator(".panel .top").first.bounding_box()
        assert box is not None
        left, width, y = box["x"] + 52, box["width"] - 62, box["y"] + box["height"] / 2
        known = page.evaluate("bench.repaints.length")
        page.wait_for_timeout(200)
        before = self._bytes
        mouse.move(left + width * start, y)
        mouse.down()
        mouse.move(left + width * (start + stop) / 2, y, steps=2)
        mouse.move(left + width * stop, y, steps=2)
        mouse.up()
        page.wait_for_function("known => bench.repaints.length > known", arg=known)
        page.wait_for_timeout(200)
        took_ms: float = page.evaluate("bench.repaints.at(-1)")
        received = self._bytes - before
        page.get_by_role("button", name="Show everything").click()
        page.locator(f"{CURVES}[data-busy=false]").wait_for()
        page.get_by_role("button", name="Show everything").wait_for(state="hidden")
        return took_ms, received

    def hover(self, moves: int) -> list[float]:
        """Milliseconds of each move over the first panel, then over the legend, until it is painted."""
        page = self.page
        box = page.locator(".panel .top").first.bounding_box()
        assert box is not None
        page.evaluate("bench.frames = []")
        for move in range(moves):
            across, down = move / moves, (move * 7 % moves) / moves
            page.mouse.move(box["x"] + 52 + (box["width"] - 62) * across, box["y"] + 10 + (box["height"] - 40) * down)
        pins = page.locator(".pin")
        for number in range(min(moves, pins.count())):
            pins.nth(number).hover()
        page.wait_for_timeout(200)
        frames: list[float] = page.evaluate("bench.frames")
        return frames

    def _connected(self, socket: WebSocket) -> None:
        socket.on("framereceived", self._received)

    def _received(self, payload: str | bytes) -> None:
        self._bytes += len(payload)


def picture(browser: Browser, url: str, filled: Sequence[str], path: Path, *, dark: bool = False) -> None:
    """A screenshot of a page once all of `filled` is there."""
    with tab(browser) as page:
        page.emulate_media(color_scheme="dark" if dark else "light")
        page.set_viewport_size({"width": VIEWPORT["width"], "height": PICTURE_PX})
        page.goto(url)
        for part in filled:
            page.locator(part).first.wait_for(state="attached")
        page.wait_for_timeout(1500)
        page.screenshot(path=path)
