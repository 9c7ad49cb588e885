"""What shippers report beside what they send."""

from typing import Any

import orjson
from hypothesis import given
from hypothesis import strategies as st

from runtide.shipper import report
from runtide.shipper.status import ShipperStatus
from runtide_workers.envelope import Message
from runtide_workers.shippers import Shippers


def message(at_ms: int, value: bytes) -> Message:
    return Message("runtide.events", 0, 1, at_ms, b"r", b"", (("run", b"r"), ("shipper", value)))


REPORT = report.encode(ShipperStatus(directory="/j", pid=7, journals=3, writers=2, lag_s=1.5, failures=1), 2048)


def said(**changes: object) -> bytes:
    return orjson.dumps(orjson.loads(REPORT) | changes)


def test_the_latest_of_each_is_kept_until_it_is_taken() -> None:
    found = Shippers()
    found.note([message(1, said()), message(2, said(backlog_bytes=9)), message(3, said(host="other"))])
    rows = sorted(found.take(), key=lambda row: int(row["at"]))
    assert [(row["at"], row["backlog_bytes"]) for row in rows] == [(2, 9), (3, 2048)]
    assert rows[1] == {
        "host": "other", "directory": "/j", "at": 3, "pid": 7, "backlog_bytes": 2048, "lag_s": 1.5, "journals": 3,
        "writers": 2, "resent_lines": 0, "oversize_lines": 0, "lost_files": 0, "failures": 1,
    }  # fmt: skip
    assert found.take() == []


def test_messages_without_one_say_nothing() -> None:
    found = Shippers()
    headers: Any = (("run", b"r"), ("shipper", None))  # Kafka's headers may have no value
    found.note([Message("runtide.events", 0, 1, 1, b"r", b"", headers)])
    assert found.take() == []


anything = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**64 - 1) | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=600),
    lambda inner: st.lists(inner, max_size=3),
    max_leaves=5,
)  # fmt: skip


@given(st.binary(max_size=5000) | st.dictionaries(st.sampled_from(sorted(orjson.loads(said()))), anything).map(
    lambda changes: said(**changes) if changes else b"{}"
))  # fmt: skip
def test_whatever_it_holds_fits_its_columns_or_is_left_out(value: bytes) -> None:
    found = Shippers()
    found.note([message(1, value)])
    for row in found.take():
        assert all(0 <= row[name] < 2**32 for name in ("pid", "journals", "writers"))
        assert all(0 <= row[name] < 2**63 for name in ("backlog_bytes", "resent_lines", "lost_files", "failures"))
        assert 0 <= row["lag_s"] <= 1e9 and all(len(row[name]) <= 512 for name in ("host", "directory"))
