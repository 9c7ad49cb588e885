"""What a query answers is what was logged: every value to the bit, its step, its time and its attempt."""

import json
import math
import struct

from tests.fixtures.stack import Stack
from tests.fixtures.waiting import wait_until

HOSTILE = """
import json, math, sys, time
import numpy as np
import runtide

values = [0.0, -0.0, 1.0, -1.5, 0.1, 1/3, 5e-324, 2.2250738585072014e-308, 1.7976931348623157e308, math.pi, 1e-7, 1e22,
          float("nan"), float("inf"), float("-inf"), 2**53, -(2**53) + 1, 10**15 + 1, True,
          np.float64(0.1), np.float32(0.1), np.int64(-7), np.array(2.5), np.float32("nan")]
run = runtide.init(project=sys.argv[1], id="hostile")
for step, value in enumerate(values):
    run.log({"value": value, "nested": {"name with space": value, "ünïcode/ключ": value}}, step=step)
run.log({"when": 1.0}, step=0, timestamp=1_700_000_000.123)
run.log({"loose": object(), "kept": 4.0, "text": "no number"}, step=0)
run.finish()
print(json.dumps([float(value).hex() for value in values]))
"""


def bits(value: float) -> str:
    """The double's bytes; every NaN counts as one, since JSON has one."""
    return "nan" if math.isnan(value) else struct.pack(">d", value).hex()


def test_values_steps_and_names_come_back_exactly(stack: Stack, project: str) -> None:
    output = stack.run_script(HOSTILE, project)
    values = [float.fromhex(text) for text in json.loads(output.splitlines()[-1])]
    sql = "SELECT metric, step, value, attempt FROM v_points WHERE project = {p:String} ORDER BY step"

    def rows() -> list[dict[str, object]]:
        found = stack.client.sql(sql, {"p": project}).to_pylist()
        return [row for row in found if not str(row["metric"]).startswith("system/")]

    wait_until(lambda: len(rows()) >= 3 * len(values) + 2, 60, or_else=lambda: f"{len(rows())} points")
    found = rows()
    for name in ("value", "nested/name with space", "nested/ünïcode/ключ"):
        assert [(row["step"], bits(float(str(row["value"])))) for row in found if row["metric"] == name] == [
            (step, bits(value)) for step, value in enumerate(values)
        ]
    assert {row["metric"] for row in found} == {
        "value", "nested/name with space", "nested/ünïcode/ключ", "when", "kept",
    }  # fmt: skip
    assert {row["attempt"] for row in found} == {1}


def test_a_given_timestamp_is_kept_and_others_are_the_wall_clock(stack: Stack, project: str) -> None:
    script = """
import sys, time, runtide
run = runtide.init(project=sys.argv[1], id="timed")
run.log({"past": 1.0}, step=0, timestamp=1_700_000_000.123)
before = time.time()
run.log({"now": 1.0}, step=1)
print(before, time.time())
run.finish()
"""
    before, after = map(float, stack.run_script(script, project).split()[-2:])
    sql = """SELECT metric, toUnixTimestamp64Milli(ts) AS ms FROM v_points
             WHERE project = {p:String} AND metric IN ('past', 'now')"""
    wait_until(lambda: len(stack.client.sql(sql, {"p": project}).to_pylist()) == 2, 60, or_else="no points")
    times = {row["metric"]: row["ms"] for row in stack.client.sql(sql, {"p": project}).to_pylist()}
    assert times["past"] == 1_700_000_000_123
    assert math.floor(before * 1000) <= times["now"] <= math.ceil(after * 1000)


def test_summaries_count_what_is_not_finite_apart(stack: Stack, project: str) -> None:
    script = """
import sys, runtide
run = runtide.init(project=sys.argv[1], id="summed")
for step, value in enumerate([3.0, float("nan"), -1.0, float("inf"), 2.0]):
    run.log({"loss": value}, step=step)
run.finish()
"""
    stack.run_script(script, project)
    sql = "SELECT * FROM v_summary WHERE project = {p:String} AND metric = 'loss'"
    wait_until(lambda: stack.client.sql(sql, {"p": project}).to_pylist() != [], 60, or_else="no summary")
    wait_until(lambda: stack.client.sql(sql, {"p": project}).to_pylist()[0]["n"] == 5, 60, or_else="not all summarised")
    [row] = stack.client.sql(sql, {"p": project}).to_pylist()
    assert (row["min"], row["max"], row["last"], row["nonfinite"]) == (-1.0, 3.0, 2.0, 2)
