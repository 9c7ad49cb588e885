"""A real engine, real pages and the system's Chromium."""

from __future__ import annotations

import socket
import time
import warnings
from collections.abc import Iterator
from dataclasses import dataclass

import pytest
import streamlit as st
from playwright.sync_api import Browser, BrowserContext, ConsoleMessage, Page, Request, sync_playwright

from runtide_dashboard import launch
from runtide_storage.connect import connect
from runtide_storage.migrate import migrate
from runtide_storage.writer import Writer
from runtide_workers.embedded.clickhouse import ClickHouse
from tests.browser.seeding import SeededRun, beat, now_ms
from tests.browser.serving import BROWSERS, FLAGS, Served, browser_path

VIEWPORT = {"width": 1440, "height": 1000}


@dataclass
class Site:
    """Pages over an engine of their own."""

    url: str
    engine: ClickHouse
    writer: Writer

    def run(self, project: str, run_id: str, *, started_s_ago: float = 3600) -> SeededRun:
        return SeededRun(self.writer, project, run_id, now_ms() - int(started_s_ago * 1000))

    def beat(self) -> None:
        beat(self.writer)


class Visit:
    """A browser tab, and everything it complained about or asked of the outside."""

    def __init__(self, page: Page, url: str) -> None:
        self.page, self.url = page, url
        self.complaints: list[str] = []
        self.outside: list[str] = []
        page.on("console", self._heard)
        page.on("pageerror", lambda error: self.complaints.append(str(error)))
        page.on("request", self._asked)

    def open(self, path: str) -> Page:
        self.page.goto(self.url + path)
        return self.page

    def curves(self) -> dict[str, str]:
        """The data attributes of the curves, once they are drawn."""
        self.page.wait_for_selector(".curves[data-runs]")
        found: dict[str, str] = self.page.locator(".curves").evaluate("element => ({...element.dataset})")
        return found

    def wait_for_curves(self, condition: str, timeout_s: float = 20) -> dict[str, str]:
        """Waits until `condition`, JavaScript over `d` (the data attributes), holds."""
        self.page.wait_for_selector(".curves[data-runs]")
        # Playwright's selectors look into shadow roots, documents' own do not.
        deadline = time.monotonic() + timeout_s
        while not self.page.locator(".curves").evaluate(
            f"element => {{ const d = element.dataset; return {condition} }}"
        ):
            assert time.monotonic() < deadline, f"never: {condition}; {self.curves()}"
            self.page.wait_for_timeout(50)
        return self.curves()

    def _heard(self, message: ConsoleMessage) -> None:
        # A page below "/" first looks for the server below its own address; that it is not there is no fault.
        probing = "_stcore/" in message.location.get("url", "") and "404" in message.text
        if message.type == "error" and not probing:
            self.complaints.append(message.text)

    def _asked(self, request: Request) -> None:
        if not request.url.startswith((self.url, "blob:", "data:")):
            self.outside.append(request.url)


def free_ports(count: int) -> list[int]:
    """Ports of loopback that nobody listens on now."""
    sockets = [socket.create_server((launch.HOST, 0)) for _ in range(count)]
    ports = [each.getsockname()[1] for each in sockets]
    for each in sockets:
        each.close()
    return ports


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """The pages, on an engine without any run."""
    folder = tmp_path_factory.mktemp("site")
    engine_port, page_port = free_ports(2)
    with ClickHouse(folder / "engine", engine_port) as engine:
        client = connect(engine.url("writer"))
        migrate(client)
        env = {"RUNTIDE_CLICKHOUSE": engine.url("reader"), "RUNTIDE_HOME": str(folder / "home")}
        with Served(folder, env, page_port) as served:
            yield Site(served.url, engine, Writer(client))


@pytest.fixture
def reading(site: Site, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The test itself asks what the pages ask, of the same engine."""
    monkeypatch.setenv("RUNTIDE_CLICKHOUSE", site.engine.url("reader"))
    st.cache_data.clear()
    st.cache_resource.clear()
    yield
    st.cache_resource.clear()


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """The system's Chromium. Ends with the module: while it runs, this thread has an event loop."""
    path = browser_path()
    if path is None:
        warnings.warn(
            f"NO BROWSER: the pages are not tested in one. Install one of {', '.join(BROWSERS)}", stacklevel=1
        )
        pytest.skip(f"no browser found: install one of {', '.join(BROWSERS)}")
    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=path, args=list(FLAGS))
        yield chromium
        chromium.close()


_warm: set[str] = set()  # servers that have shown pages before


@pytest.fixture
def context(browser: Browser) -> Iterator[BrowserContext]:
    with browser.new_context(viewport=VIEWPORT) as fresh:  # type: ignore[arg-type]
        yield fresh


@pytest.fixture
def visit(context: BrowserContext, site: Site) -> Iterator[Visit]:
    """A tab. At the end nothing may have been complained about, and nothing asked of the outside."""
    if site.url not in _warm:  # a server's very first page comes late, and what refreshes itself may overtake it
        page = context.new_page()
        for path in ("/", "/compare"):
            page.goto(site.url + path)
            page.wait_for_timeout(2500)
        page.close()
        _warm.add(site.url)
    tab = Visit(context.new_page(), site.url)
    yield tab
    assert tab.complaints == []
    assert tab.outside == []
