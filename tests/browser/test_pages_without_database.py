"""When storage goes away and comes back: a banner, what was there before, and no reload needed."""

from __future__ import annotations

import numpy as np

from tests.browser.conftest import Site, Visit


def test_the_database_stops_and_comes_back(visit: Visit, site: Site) -> None:
    run = site.run("outage", "r", started_s_ago=60)
    run.begin(name="steady")
    run.log({"loss": 1 / np.arange(1.0, 51.0)}, np.arange(50, dtype=np.int64))
    page = visit.open("/compare?project=outage&runs=r")
    before = visit.wait_for_curves("true")
    site.engine.kill()
    page.get_by_text("The database doesn't answer").first.wait_for(timeout=20_000)
    assert visit.curves()["runs"] == before["runs"]  # what was there stays
    visit.open("/?project=outage")
    page.get_by_text("The database doesn't answer").first.wait_for(timeout=20_000)
    page.get_by_text("runtide up").wait_for()
    assert "Traceback" not in page.content()
    site.engine.start()
    site.engine.wait_ready()
    page.get_by_text("Tick runs to compare them").wait_for(timeout=20_000)
