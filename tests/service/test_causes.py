"""Of many differences between two runs, that which goes with the result over the others is named first."""

import json
from typing import Any

from tests.fixtures.stack import Stack
from tests.service.test_path_story import wait_for_state

RUNS = """
import random, sys, runtide
random.seed(0)
for i in range(12):
    lr = 10 ** -(1 + i % 4)
    config = {"lr": lr, "color": "red" if i % 2 else "blue", "width": 8 if i != 11 else 16, "seed": i}
    with runtide.init(project=sys.argv[1], id=f"r{i}", config=config) as run:
        run.define_metric("val/loss", goal="minimize")
        run.use_dataset("digits", version="v2" if i == 11 else "v1")
        run.log({"val/loss": (i % 4) + random.random() / 10, "train/loss": 0.0})
"""


def likely(stack: Stack, a: str, b: str, *options: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(stack.runtide("diff", a, b, "--json", *options).stdout)["likely"]
    return found


def test_likely_causes_come_first(stack: Stack, project: str) -> None:
    stack.run_script(RUNS, project)
    for i in range(12):
        wait_for_state(stack, project, f"r{i}", "finished")
    found = likely(stack, f"{project}/r0", f"{project}/r11")
    assert found["metric"] == "val/loss" and found["a"] < 1 < 3 <= found["b"]
    names = [(each["part"], each["name"]) for each in found["causes"]]
    assert names[0] == ("config", "lr")  # the only one that goes with it over the other runs
    assert set(names) == {("config", "lr"), ("config", "color"), ("config", "width"), ("dataset", "digits")}
    by_name = {each["name"]: each for each in found["causes"]}
    assert by_name["lr"]["strength"] > 0.9 > 0.5 > (by_name["color"]["strength"] or 0)
    shown = stack.runtide("diff", f"{project}/r0", f"{project}/r11").stdout
    assert "val/loss" in shown and shown.index("config: lr") < shown.index("config: color")
    assert likely(stack, f"{project}/r0", f"{project}/r11", "--metric", "train/loss")["a"] == 0.0
    assert likely(stack, f"{project}/r0", f"{project}/r0")["causes"] == []


def test_without_a_result_the_differences_have_an_order_all_the_same(stack: Stack, project: str) -> None:
    script = "import sys, runtide\nfor i in (0, 1):\n  runtide.init(project=sys.argv[1], id=f'r{i}', config={'lr': i})"
    stack.run_script(script, project)
    wait_for_state(stack, project, "r1", "finished")
    found = likely(stack, f"{project}/r0", f"{project}/r1")
    assert found["metric"] is None and [each["name"] for each in found["causes"]] == ["lr"]
