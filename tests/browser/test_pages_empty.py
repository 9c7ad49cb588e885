"""A store without a single run says how to get one, and notices it by itself."""

from __future__ import annotations

import numpy as np

from tests.browser.conftest import Site, Visit


def test_from_nothing_to_the_first_run(visit: Visit, site: Site) -> None:
    page = visit.open("/")
    page.get_by_text("No runs yet").wait_for()
    page.get_by_text("no worker running").first.wait_for()
    site.beat()
    run = site.run("first", "a-run", started_s_ago=5)
    run.begin(name="hello")
    run.log({"loss": 1 / np.arange(1.0, 51.0)}, np.arange(50, dtype=np.int64))
    page.get_by_text("Tick runs to compare them").wait_for(timeout=15_000)
