"""What a worker tells of itself."""

from runtide_workers.envelope import Message
from runtide_workers.health import Meter, prometheus
from runtide_workers.sink import Stored

PLACE = ("runtide.events", 0)


def message(offset: int, timestamp_ms: int) -> Message:
    return Message(*PLACE, offset, timestamp_ms, None, b"", ())


def meter(now_s: float = 100.0) -> Meter:
    made = Meter(clock=lambda: now_s)
    made.own({PLACE})
    return made


def test_nothing_is_fresh_before_the_position_is_known() -> None:
    one = meter()
    assert one.fresh_to_ms(100_000) == 0
    one.highwater = lambda _: 5
    assert one.fresh_to_ms(100_000) == 0
    one.next_offset[PLACE] = 5
    assert one.fresh_to_ms(100_000) == 100_000


def test_fresh_to_is_what_was_stored_last_while_there_is_a_lag() -> None:
    one = meter()
    one.highwater = lambda _: 9
    one.took([message(3, 70_000)])
    one.stored(Stored(1, points=4), [message(3, 70_000)], 0.1)
    assert (one.lag, one.fresh_to_ms(100_000)) == (5, 70_000)
    one.took([message(4, 80_000), message(8, 81_000)])
    assert one.fresh_to_ms(100_000) == 70_000
    one.stored(Stored(2), [message(4, 80_000), message(8, 81_000)], 0.1)
    assert (one.lag, one.fresh_to_ms(100_000)) == (0, 100_000)
    assert one.freshness_s == 20.0


def test_a_new_assignment_makes_what_was_known_void() -> None:
    one = meter()
    one.highwater = lambda _: 1
    one.stored(Stored(1), [message(0, 70_000)], 0.1)
    assert one.lag == 0
    one.own({PLACE})
    assert one.fresh_to_ms(100_000) == 0


def test_health() -> None:
    one = Meter(clock=lambda: 100.0)
    assert one.fault() == "no partition is assigned (yet)"
    one.own({PLACE})
    assert one.fault() is None
    one.outage = "ClickHouse is away"
    assert one.report()["fault"] == "ClickHouse is away" and not one.report()["healthy"]
    one.outage = None
    one.in_hand_s = 30.0
    assert one.fault() == "a batch has been in hand for 70 s"


def test_prometheus_text() -> None:
    one = meter()
    one.highwater = lambda _: 9
    stored = Stored(1, points=4)
    stored.reasons.update(["bad_json", "bad_json", "torn"])
    one.stored(stored, [message(3, 70_000)], 0.25)
    text = prometheus(one)
    assert 'runtide_worker_dead_letters_total{reason="bad_json"} 2\n' in text
    assert "runtide_worker_points_total 4\n" in text
    assert "runtide_worker_store_seconds_total 0.25\n" in text
    assert 'runtide_worker_lag_messages{topic="runtide.events",partition="0"} 5\n' in text
    assert text.count("# TYPE runtide_worker_dead_letters_total counter") == 1
    for line in text.splitlines():
        assert line.startswith(("# HELP ", "# TYPE ", "runtide_worker_"))
