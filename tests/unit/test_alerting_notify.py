"""Who is told what, how often and in which words: with a clock, tables and channels of the test's own."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import orjson
import pytest

from runtide.events import DEAD_LETTER_TOPIC
from runtide_storage.errors import Unreachable
from runtide_storage.statements import statements
from runtide_workers.alerting import message, targets
from runtide_workers.alerting.config import Channel
from runtide_workers.alerting.message import Told
from runtide_workers.alerting.mutes import Mute, muted
from runtide_workers.alerting.notify import Courier
from runtide_workers.alerting.pacing import DELAY_S_MAX, FIRST_DELAY_S, JITTER, TRIES_MAX, TokenBucket, delay_s
from runtide_workers.alerting.targets import Message
from runtide_workers.outlet import Outgoing

START_S = 1_763_697_341.0
DASHBOARD = "http://127.0.0.1:17702"
OUTBOX = statements("alerts.sql")["outbox"]


class World:
    """Tables in memory that answer as the statement `outbox` does, a channel, and a clock that is moved by hand."""

    def __init__(self, *entries: Channel) -> None:
        self.now_s = START_S
        self.alerts: list[dict[str, Any]] = []
        self.deliveries: dict[str, Mapping[str, Any]] = {}
        self.mutes: list[dict[str, Any]] = []
        self.sent: list[Message] = []
        self.published: list[Outgoing] = []
        self.error: str | None = None
        self.storage_error: Exception | None = None
        self.courier = self.restarted(*entries)

    def restarted(self, *entries: Channel) -> Courier:
        """As after a death of the process: nothing is remembered but the tables."""
        self.courier = Courier(
            entries or [Channel("json://h/x", "team", "warn")],
            self.send,
            self,
            self.read,
            self.published.extend,
            lambda run_id: not run_id.startswith("theirs"),
            DASHBOARD,
            clock=lambda: self.now_s,
        )
        return self.courier

    def add(self, **fields: Any) -> str:
        number = len(self.alerts)
        row = {
            "id": f"{number:032x}", "project": "llm", "run_id": "r1", "name": "gpt", "group": "g",
            "ts_ms": int(START_S * 1000) + number, "kind": "regression", "severity": "page", "title": "loss is worse",
            "text": "much", "metric": "loss", "step": 7,
        }  # fmt: skip
        self.alerts.append(row | fields)
        return str(self.alerts[-1]["id"])

    def send(self, words: Message) -> str | None:
        self.sent.append(words)
        return self.error

    def rows(self, table: str, rows: Sequence[Mapping[str, Any]]) -> None:
        assert table == "deliveries"
        if self.storage_error is not None:
            raise self.storage_error
        self.deliveries |= {row["alert"]: row for row in rows}

    def read(self, sql: str, parameters: Mapping[str, Any]) -> list[dict[str, Any]]:
        if sql != OUTBOX:
            return self.mutes
        waiting = []
        for alert in self.alerts:
            row = self.deliveries.get(alert["id"], {"state": "", "tries": 0, "error": "", "at": 0})
            if row["state"] not in ("sent", "dead") and alert["severity"] in parameters["severities"]:
                waiting.append(alert | {"tries": row["tries"], "error": row["error"], "tried_ms": row["at"]})
        return sorted(waiting, key=lambda row: ("page", "warn", "info").index(row["severity"]))

    def state(self, alert: str) -> tuple[str, int]:
        row = self.deliveries[alert]
        return row["state"], row["tries"]

    def pass_time(self, seconds: float) -> None:
        self.now_s += seconds
        self.courier.step()


def test_each_alert_is_told_once() -> None:
    world = World()
    first = world.add()
    world.courier.step()
    world.courier.step()
    world.restarted().step()
    assert len(world.sent) == 1 and world.state(first) == ("sent", 1)
    assert world.deliveries[first]["channel"] == world.courier.channel.key
    assert world.deliveries[first]["label"] == "team"
    second = world.add()
    world.courier.step()
    assert second in world.sent[1].body


def test_only_what_the_channel_wants_and_the_worker_owns() -> None:
    world = World(Channel("json://h/x", "a", "page", "llm"), Channel("json://h/x", "a", "warn", "vision"))
    world.add(severity="warn")
    world.add(project="vision", severity="info")
    world.add(project="other")
    world.add(run_id="theirs-1")
    wanted = [world.add(), world.add(project="vision", severity="warn")]
    world.courier.step()
    assert list(world.deliveries) == wanted


def test_the_words_say_what_where_and_which() -> None:
    world = World()
    alert = world.add(title="loss is 12 % worse", text="since step 5")
    world.courier.step()
    [words] = world.sent
    assert words.title == "[page] gpt: loss is 12 % worse"
    assert words.severity == "page"
    assert words.body.split("\n\n") == [
        "since step 5", "run llm/r1 (gpt), step 7", f"{DASHBOARD}/alerts?project=llm&alert={alert}", f"alert {alert}",
    ]  # fmt: skip


def test_a_failure_is_tried_again_later_and_later() -> None:
    world = World()
    alert = world.add()
    world.error = "refused"
    world.courier.step()
    assert world.state(alert) == ("waiting", 1) and world.deliveries[alert]["error"] == "refused"
    world.pass_time(FIRST_DELAY_S * (1 - JITTER) - 0.01)
    assert len(world.sent) == 1  # not yet
    world.pass_time(FIRST_DELAY_S * 2 * JITTER + 0.02)
    assert len(world.sent) == 2
    world.error = None
    world.restarted()  # how often it was tried is in the table
    world.pass_time(FIRST_DELAY_S)
    assert len(world.sent) == 2
    world.pass_time(FIRST_DELAY_S * 4)
    assert len(world.sent) == 3 and world.state(alert) == ("sent", 3)


def test_after_too_many_tries_it_is_a_dead_letter() -> None:
    world = World()
    alert = world.add()
    world.error = "refused"
    for _ in range(TRIES_MAX + 3):
        world.pass_time(DELAY_S_MAX * 2)
    assert len(world.sent) == TRIES_MAX and world.state(alert) == ("dead", TRIES_MAX)
    [letter] = world.published
    assert letter.topic == DEAD_LETTER_TOPIC and letter.key == b"r1"
    headers = dict(letter.headers)
    assert headers["reason"] == b"notification_failed"
    assert headers["detail"] == b"team: given up after 10 tries: refused"
    value = orjson.loads(letter.value)
    assert (value["alert"], value["label"], value["error"], value["tries"]) == (alert, "team", "refused", TRIES_MAX)


def test_without_kafka_it_is_buried_later() -> None:
    world = World()
    alert = world.add()
    world.deliveries[alert] = {"state": "waiting", "tries": TRIES_MAX, "error": "refused", "at": 0}

    def down(messages: Sequence[Outgoing]) -> None:
        raise Unreachable("gone")

    world.courier.publish = down
    with pytest.raises(Unreachable):
        world.courier.step()
    assert world.state(alert) == ("waiting", TRIES_MAX) and not world.sent
    world.restarted().step()
    assert world.state(alert) == ("dead", TRIES_MAX) and len(world.published) == 1


def test_what_could_not_be_written_down_is_not_sent_twice() -> None:
    world = World()
    alert = world.add()
    world.storage_error = Unreachable("gone")
    for _ in range(3):
        with pytest.raises(Unreachable):
            world.courier.step()
    assert len(world.sent) == 1
    world.storage_error = None
    world.courier.step()
    assert len(world.sent) == 1 and world.state(alert) == ("sent", 1)


def test_a_death_before_the_row_sends_again_with_the_same_id() -> None:
    world = World()
    alert = world.add()
    world.storage_error = Unreachable("killed")
    with pytest.raises(Unreachable):
        world.courier.step()
    world.storage_error = None
    world.restarted().step()
    assert len(world.sent) == 2 and all(alert in words.body for words in world.sent)
    assert world.sent[0] == world.sent[1]


def test_a_flood_ends_in_one_message() -> None:
    world = World()
    for i in range(56):
        world.add(severity="warn" if i % 2 else "page")
    world.courier.step()
    assert len(world.sent) == 20
    assert [words.severity for words in world.sent[:19]] == ["page"] * 19  # the worst by themselves
    last = world.sent[19]
    assert last.title == "[page] and 37 more alerts (9 page, 28 warn)"
    assert last.body.endswith(f"and 37 more alerts (9 page, 28 warn): {DASHBOARD}/alerts?project=llm")
    assert last.body.count("(alert ") == 10
    assert {row["state"] for row in world.deliveries.values()} == {"sent"} and len(world.deliveries) == 56


def test_the_rate_holds_on_average() -> None:
    world = World()
    for _ in range(600):  # a minute, ten alerts a second
        world.add()
        world.pass_time(0.1)
    assert 38 <= len(world.sent) <= 41
    world.pass_time(60)
    assert all(row["state"] == "sent" for row in world.deliveries.values()) and len(world.deliveries) == 600


def test_a_digest_that_fails_is_tried_again() -> None:
    world = World()
    alerts = [world.add() for _ in range(30)]
    world.error = "refused"
    world.courier.step()
    assert {world.state(alert) for alert in alerts} == {("waiting", 1)}
    world.error = None
    world.pass_time(60)
    assert {world.state(alert)[0] for alert in alerts} == {"sent"}


def test_a_stop_leaves_the_rest_for_later() -> None:
    world = World()
    for _ in range(5):
        world.add()
    world.courier.stopping = lambda: len(world.sent) == 2
    world.courier.step()
    assert len(world.sent) == len(world.deliveries) == 2


def test_the_muted_are_not_told() -> None:
    world = World()
    mute = {"project": "llm", "group": "", "metric": "lo*", "kind": "", "until_ms": None}
    world.mutes = [mute]
    world.add(metric="loss")
    told = world.add(metric="acc")
    world.courier.step()
    assert list(world.deliveries) == [told]
    world.mutes = []
    world.courier.step()
    assert len(world.deliveries) == 2


@pytest.mark.parametrize(
    ("mute", "covered"),
    [
        (Mute(), True),
        (Mute(project="llm"), True),
        (Mute(project="l"), False),
        (Mute(group="sweep-*"), True),
        (Mute(group="other"), False),
        (Mute(metric="train/*"), True),
        (Mute(metric="train"), False),
        (Mute(kind="nan"), True),
        (Mute(kind="na"), False),
        (Mute("llm", "sweep-7", "train/loss", "nan"), True),
        (Mute("llm", "sweep-7", "train/loss", "spike"), False),
        (Mute(until_ms=101), True),
        (Mute(until_ms=100), False),  # it was over when the alert came
    ],
)
def test_what_a_mute_covers(mute: Mute, covered: bool) -> None:
    assert muted([mute], "llm", "sweep-7", "train/loss", "nan", 100) == covered


def test_delays_grow_up_to_a_limit_and_spread() -> None:
    middles = [delay_s(tries, "x") for tries in range(1, TRIES_MAX + 1)]
    for tries, found in enumerate(middles, 1):
        base = min(DELAY_S_MAX, FIRST_DELAY_S * 4 ** (tries - 1))
        assert base * (1 - JITTER) <= found <= base * (1 + JITTER)
    assert len({delay_s(1, str(i)) for i in range(50)}) == 50
    assert delay_s(3, "x") == delay_s(3, "x")


def test_a_bucket_fills_up_again_and_no_further() -> None:
    bucket = TokenBucket(20, 60.0)
    assert bucket.available(1000.0) == 20
    for _ in range(20):
        bucket.take(1000.0)
    assert bucket.available(1002.9) == 0 and bucket.available(1003.0) == 1
    assert bucket.available(900.0) == 1  # a clock that goes back takes nothing
    assert bucket.available(10_000.0) == 20


TOLD = Told("ab" * 16, "llm", "r1", "gpt", "page", "t", "")
HOSTILE = "<!channel> @everyone @HERE\x1b[31m\r\nbell\x07 @all"


def test_a_name_addresses_nobody_and_hides_nothing() -> None:
    words = message.message(Told("ab" * 16, "llm", "r1", HOSTILE, "page", HOSTILE, HOSTILE), "")
    digest = message.digest([Told("ab" * 16, "llm", "r1", "n", "page", HOSTILE, "")], "")
    for text in (words.title, words.body, digest.title, digest.body):
        assert not any(call in text.lower() for call in ("@everyone", "@here", "@all", "<!channel"))
        assert "\x1b" not in text and "\x07" not in text and "\r" not in text
    assert "\n" not in words.title and "email@example.org" in message.message(TOLD_BY_MAIL, "").body


TOLD_BY_MAIL = Told("ab" * 16, "llm", "r1", "gpt", "page", "t", "ask email@example.org")


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda: message.message(TOLD, ""), f"runtide alerts show {TOLD.id}"),
        (lambda: message.digest([TOLD], ""), "runtide alerts"),
        (lambda: message.trial("team", DASHBOARD), f"{DASHBOARD}/alerts"),
        (lambda: message.digest([TOLD, Told("c", "b", "r", "", "warn", "t", "")], DASHBOARD), f"{DASHBOARD}/alerts"),
    ],
)
def test_there_is_always_a_place_to_look(make: Callable[[], Message], said: str) -> None:
    assert make().body.endswith((said, f"alert {TOLD.id}")) and said in make().body


def test_links_quote_what_they_hold() -> None:
    assert message.alert_link("http://h/", "a b", "1") == "http://h/alerts?project=a%20b&alert=1"
    link = message.compare_link("http://h", "p", "r1", ["r2"], "train/loss & <x>")
    assert link == "http://h/compare?project=p&runs=r1,r2&metrics=train%2Floss%20%26%20%3Cx%3E"
    assert message.compare_link("", "p", "r", [], "m") == ""


@pytest.mark.parametrize("answer", ["a refusal", "an exception"])
def test_no_part_of_a_url_gets_into_an_error(monkeypatch: pytest.MonkeyPatch, answer: str) -> None:
    from apprise import Apprise

    secret = "s3cr%2Ft-t0ken"
    url = f"json://user:{secret}@127.0.0.1:9/path-{secret}?+X-Key={secret}"
    told = targets.open_target(url)

    def notify(*_: object, **__: object) -> Any:
        said = f"http://user:{secret}@127.0.0.1:9/path-{secret} s3cr/t-t0ken\nrefused"
        if answer == "an exception":
            raise RuntimeError(said)

        class Refused(list[Any]):
            def logs(self) -> list[Any]:
                return [type("Entry", (), {"message": said})]

        return Refused()

    monkeypatch.setattr(Apprise, "notify", notify)
    error = told(Message("t", "b", "page"))
    assert error is not None and "refused" in error and "127.0.0.1" in error
    assert "t0ken" not in error and "\n" not in error
