"""Who is not logged in sees nothing, where a login is configured."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from playwright.sync_api import BrowserContext, expect

from tests.browser.conftest import Site, free_ports
from tests.browser.serving import Served
from tests.fixtures.identity import CLIENT_ID, PERSON, Provider, provider

AUTH = """
[auth]
redirect_uri = "http://127.0.0.1:{port}/oauth2callback"
cookie_secret = "a secret of this test alone, long enough"
client_id = "{client}"
client_secret = "s"
server_metadata_url = "{url}"
"""


@pytest.fixture
def identities() -> Iterator[Provider]:
    with provider() as server:
        yield server


def test_nothing_is_shown_before_the_login(
    site: Site, context: BrowserContext, identities: Provider, tmp_path: Path
) -> None:
    run = site.run("secret-project", "r1")
    run.begin(name="secret-run")
    run.log({"loss": np.array([1.0, 0.5])}, np.arange(2))
    site.beat()
    [port] = free_ports(1)
    file = tmp_path / "login.toml"
    file.write_text(AUTH.format(port=port, client=CLIENT_ID, url=identities.url))
    env = {"RUNTIDE_CLICKHOUSE": site.engine.url("reader"), "RUNTIDE_DASHBOARD_LOGIN": str(file)}
    with Served(tmp_path, env, port) as served:
        page = context.new_page()
        link = f"{served.url}/compare?project=secret-project&runs=r1&smooth=20"
        page.goto(link)
        button = page.get_by_role("button", name="Log in")
        expect(button).to_be_visible(timeout=20_000)
        expect(page.get_by_role("combobox")).to_have_count(0)
        assert "secret" not in page.content()
        button.click()
        expect(page.get_by_text(PERSON["email"])).to_be_visible(timeout=20_000)
        page.wait_for_url(link)  # and not the first page, to which a login leads
        expect(page.get_by_role("combobox", name="Project")).to_have_value(re.compile("secret-project"))
        assert identities.logins == 1
        page.get_by_text(PERSON["email"]).click()
        page.get_by_role("button", name="Log out").click()
        expect(page.get_by_role("button", name="Log in")).to_be_visible(timeout=20_000)
        expect(page.get_by_role("combobox")).to_have_count(0)


def test_a_file_without_a_provider_lets_nobody_in(site: Site, context: BrowserContext, tmp_path: Path) -> None:
    [port] = free_ports(1)
    env = {"RUNTIDE_CLICKHOUSE": site.engine.url("reader"), "RUNTIDE_DASHBOARD_LOGIN": str(tmp_path / "absent.toml")}
    with Served(tmp_path, env, port) as served:
        page = context.new_page()
        page.goto(served.url)
        expect(page.get_by_text("so nobody can log in")).to_be_visible(timeout=20_000)
