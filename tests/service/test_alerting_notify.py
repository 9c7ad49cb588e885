"""From a row of `alerts` to a webhook and a row of `deliveries`: the real engine, Apprise, and a web server."""

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import pytest
from clickhouse_connect.driver.client import Client as Driver

from runtide_storage import alerts
from runtide_storage.errors import Unreachable
from runtide_storage.ids import run_key
from runtide_storage.writer import Writer
from runtide_workers.alerting import notify
from runtide_workers.alerting.config import AlertSettings, Channel
from runtide_workers.alerting.notify import Notifier
from runtide_workers.alerting.pacing import TRIES_MAX
from runtide_workers.outlet import Outgoing
from tests.fixtures.storage import Engine
from tests.fixtures.waiting import wait_until
from tests.fixtures.webhook import Webhook

Row = dict[str, Any]


class Site:
    """A database with a run, alerts on it, and notifiers that are stopped in the end."""

    def __init__(self, driver: Driver) -> None:
        self.driver = driver
        self.writer = Writer(driver)
        self.published: list[Outgoing] = []
        self.notifiers: list[Notifier] = []
        self.count = 0
        self.run("r1")

    def run(self, run_id: str, project: str = "llm", **fields: Any) -> None:
        row = {
            "run": run_key(project, run_id), "project": project, "run_id": run_id, "name": "gpt", "group": "g",
            "job_type": "", "tags": [], "notes": "", "state": "running", "exit_code": None, "attempt": 1,
            "started_at": now_ms(), "ended_at": None, "host": "h", "version": 1,
        }  # fmt: skip
        self.writer.rows("runs", [row | fields])

    def alert(self, *, run_id: str = "r1", project: str = "llm", age_s: float = 0.0, **fields: Any) -> str:
        self.count += 1
        row = {
            "id": f"{self.count:032x}", "run": run_key(project, run_id), "ts": now_ms() - int(age_s * 1000),
            "kind": "regression", "severity": "page", "title": "loss is 12 % worse", "text": "since step 5",
            "metric": "loss", "step": 7, "state": "open", "detail": "{}", "version": now_ms(), "incident": "",
            "quiet": 0,
        }  # fmt: skip
        self.writer.rows("alerts", [row | fields])
        return str((row | fields)["id"])

    def notifier(self, *urls: str, storage: Any = None, severity: Any = "page") -> Notifier:
        channels = tuple(Channel(url, f"hook{number}", severity) for number, url in enumerate(urls))
        made = Notifier(
            storage or self.writer, self.read, AlertSettings(channels=channels), self.published.extend,
            lambda run_id: not run_id.startswith("theirs"), "http://127.0.0.1:17702",
        )  # fmt: skip
        self.notifiers.append(made)
        made.start()
        return made

    def read(self, sql: str, parameters: Mapping[str, Any]) -> Sequence[Row]:
        return list(self.driver.query(sql, dict(parameters)).named_results())

    def deliveries(self) -> dict[str, tuple[str, int]]:
        rows = self.read("SELECT alert, toString(state) AS state, tries FROM deliveries FINAL", {})
        return {row["alert"]: (row["state"], row["tries"]) for row in rows}

    def wait_delivered(self, expected: Mapping[str, tuple[str, int]]) -> None:
        wait_until(lambda: self.deliveries() == expected, 20, or_else=lambda: f"{self.deliveries()}, not {expected}")


def now_ms() -> int:
    return time.time_ns() // 1_000_000


@pytest.fixture
def site(database: Engine, monkeypatch: pytest.MonkeyPatch) -> Iterator[Site]:
    monkeypatch.setattr(notify, "POLL_S", 0.1)
    made = Site(database.client())
    yield made
    for notifier in made.notifiers:
        assert notifier.stop(10.0)


@pytest.fixture
def hook() -> Iterator[Webhook]:
    with Webhook() as made:
        yield made


def test_an_alert_is_told_once(site: Site, hook: Webhook) -> None:
    alert = site.alert()
    first = site.notifier(hook.url)
    [words] = hook.wait_for(1)
    assert words["title"] == "[page] gpt: loss is 12 % worse" and words["type"] == "failure"
    assert f"alert {alert}" in words["message"] and "since step 5" in words["message"]
    assert f"http://127.0.0.1:17702/alerts?project=llm&alert={alert}" in words["message"]
    site.wait_delivered({alert: ("sent", 1)})
    assert first.stop(10.0)
    site.alert(id=alert, version=now_ms() + 1, text="seen again by another worker")
    site.notifier(hook.url)  # the worker that has the partition now, or the same one started again
    other = site.alert()
    site.wait_delivered({alert: ("sent", 1), other: ("sent", 1)})
    assert [alert in each["message"] for each in hook.bodies] == [True, False]


def test_no_url_gets_into_the_tables(site: Site, hook: Webhook, caplog: pytest.LogCaptureFixture) -> None:
    hook.status = 500
    alert = site.alert()
    site.notifier(hook.at("hook/s3cr3t-t0ken").replace("//", "//user:pa55word@"))
    wait_until(lambda: alert in site.deliveries(), 20, or_else="nothing was tried")
    [row] = site.read("SELECT * FROM deliveries LIMIT 1", {})
    assert row["label"] == "hook0" and len(row["channel"]) == 16 and "Internal server error" in row["error"]
    for text in (*map(str, row.values()), caplog.text):
        assert "t0ken" not in text and "pa55word" not in text


def test_who_and_what_is_left_out(site: Site, hook: Webhook) -> None:
    site.run("theirs-1")
    site.alert(quiet=1)
    site.alert(severity="warn")
    site.alert(state="resolved")
    site.alert(age_s=24 * 3600 + 60)
    site.alert(run_id="theirs-1")
    site.alert(run_id="not-stored-yet")
    acknowledged = site.alert()
    reopened = site.alert()
    alerts.say(site.writer, [acknowledged, reopened], "acknowledge", "me", "")
    time.sleep(0.002)  # the later word counts
    alerts.say(site.writer, [reopened], "reopen", "me", "")
    told = site.alert(age_s=23 * 3600)
    site.notifier(hook.url)
    site.wait_delivered({reopened: ("sent", 1), told: ("sent", 1)})
    site.run("not-stored-yet")  # now it is
    hook.wait_for(3)


def test_a_crash_between_sending_and_writing_sends_again_with_the_same_id(site: Site, hook: Webhook) -> None:
    class Dying:
        def rows(self, table: str, rows: Sequence[Mapping[str, Any]]) -> None:
            raise Unreachable("killed")

    alert = site.alert()
    dying = site.notifier(hook.url, storage=Dying())
    hook.wait_for(1)
    assert dying.stop(10.0) and site.deliveries() == {}
    site.notifier(hook.url)
    site.wait_delivered({alert: ("sent", 1)})
    assert len(hook.received) == 2 and all(f"alert {alert}" in each["message"] for each in hook.bodies)


def test_after_an_outage_it_is_told(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("runtide_workers.alerting.pacing.FIRST_DELAY_S", 0.2)
    monkeypatch.setattr("runtide_workers.alerting.pacing.FACTOR", 1.0)
    with Webhook() as hook:
        port = hook.port
    alert = site.alert()
    site.notifier(hook.url)
    wait_until(lambda: site.deliveries().get(alert, ("", 0))[1] >= 2, 20, or_else="it was not tried again")
    assert site.deliveries()[alert][0] == "waiting"
    with Webhook(port) as back:
        back.wait_for(1)
        wait_until(lambda: site.deliveries()[alert][0] == "sent", 20, or_else="it was not written down")
        assert len(back.received) == 1
    assert site.published == []


def test_after_many_tries_it_is_a_dead_letter(site: Site, hook: Webhook, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("runtide_workers.alerting.pacing.FIRST_DELAY_S", 0.01)
    monkeypatch.setattr("runtide_workers.alerting.pacing.FACTOR", 1.0)
    hook.status = 403
    alert = site.alert()
    site.notifier(hook.url)
    site.wait_delivered({alert: ("dead", TRIES_MAX)})
    assert len(hook.received) == TRIES_MAX
    [letter] = site.published
    assert dict(letter.headers)["reason"] == b"notification_failed" and alert.encode() in letter.value


def test_a_channel_that_hangs_holds_up_no_other(site: Site, hook: Webhook) -> None:
    with Webhook(delay_s=3.0) as slow:
        notifier = site.notifier(slow.url, hook.url)
        first = site.alert()
        notifier.wake()
        slow.wait_for(1)
        second = site.alert()
        notifier.wake()
        hook.wait_for(2)
        assert len(slow.received) == 1  # still at the first one
        assert [first in hook.bodies[0]["message"], second in hook.bodies[1]["message"]] == [True, True]


def test_a_flood_ends_in_one_message(site: Site, hook: Webhook) -> None:
    told = {site.alert(): ("sent", 1) for _ in range(30)}
    site.notifier(hook.url)
    site.wait_delivered(told)
    assert len(hook.received) == 20 and hook.bodies[-1]["title"] == "[page] and 11 more alerts (11 page)"


def test_the_muted_are_told_when_the_mute_is_lifted(site: Site, hook: Webhook) -> None:
    fields = {"group": "", "metric": "lo*", "kind": "", "who": "me", "reason": ""}
    alerts.mute(site.writer, project="llm", for_s=None, **fields)
    alerts.mute(site.writer, project="other", for_s=60, **fields)
    site.alert(metric="loss")
    told = site.alert(metric="acc")
    site.notifier(hook.url)
    site.wait_delivered({told: ("sent", 1)})
    rows = site.read("SELECT id, project, `group`, metric, kind, reason FROM mutes FINAL", {})
    alerts.lift(site.writer, rows, "me")
    hook.wait_for(2)


def test_woken_it_tells_at_once(site: Site, hook: Webhook, monkeypatch: pytest.MonkeyPatch) -> None:
    """Woken, not polled: the period is an hour. How long it took is printed, not asserted."""
    monkeypatch.setattr(notify, "POLL_S", 3600.0)
    notifier = site.notifier(hook.url)
    delays_ms = []
    for count in range(1, 11):
        site.alert()
        written_s = time.time()
        notifier.wake()
        hook.wait_for(count)
        delays_ms.append(1000 * (hook.received[-1][0] - written_s))
        wait_until(lambda wanted=count: len(site.deliveries()) == wanted, 20, or_else="not written")  # type: ignore[misc]
    print(f"alert row to webhook: median {sorted(delays_ms)[5]:.0f} ms, longest {max(delays_ms):.0f} ms")


def test_without_channels_there_is_nothing_to_do(site: Site) -> None:
    site.alert()
    notifier = site.notifier()
    notifier.wake()
    assert notifier.stop(0.0) and site.deliveries() == {}


def test_a_database_that_comes_back(site: Site, hook: Webhook, monkeypatch: pytest.MonkeyPatch) -> None:
    read: Callable[..., Any] = site.read
    down = [True]

    def sometimes(sql: str, parameters: Mapping[str, Any]) -> Sequence[Row]:
        if down[0]:
            raise Unreachable("gone")
        return read(sql, parameters)  # type: ignore[no-any-return]

    monkeypatch.setattr(site, "read", sometimes)
    alert = site.alert()
    site.notifier(hook.url)
    time.sleep(0.3)  # a few looks in vain
    down[0] = False
    hook.wait_for(1)
    monkeypatch.undo()
    site.wait_delivered({alert: ("sent", 1)})
