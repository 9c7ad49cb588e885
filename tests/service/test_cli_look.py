"""`runs --where`, `diff`, `curves`, `sql` into files and `export` against a stack that runs."""

import csv
import json
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from tests.fixtures.stack import Stack
from tests.fixtures.waiting import wait_until

TWO_RUNS = """
import sys, math, runtide
for number in (1, 2):
    with runtide.init(project=sys.argv[1], id=f"r{number}", name="\\x1b[31mred [bold]", tags=["a"] * (number - 1),
                      config={"lr": number / 10, "model": "tiny", "my name": number}) as run:
        run.define_metric("loss", goal="minimize")
        for step in range(300):
            run.log({"loss": math.nan if step == 7 else number + 100 / (step + 1), "acc": step / 300}, step=step)
"""


@pytest.fixture(scope="module")
def two_runs(stack: Stack) -> str:
    project = "look"
    stack.run_script(TWO_RUNS, project)

    def states() -> list[str]:
        return [row["state"] for row in stack.client.runs(project)]

    wait_until(lambda: states() == ["finished"] * 2, 60, or_else="they did not end")
    wait_until(lambda: len(stack.client.metrics("look/r2")) >= 2, 60, or_else="no tiers")
    return project


def answer(stack: Stack, command: str, *arguments: str) -> Any:
    return json.loads(stack.runtide(command, "--json", *arguments).stdout)


def test_runs_pass_a_filter_in_an_order_with_columns_and_curves(stack: Stack, two_runs: str) -> None:
    def ids(*arguments: str) -> list[str]:
        return [row["run_id"] for row in answer(stack, "runs", "--project", two_runs, *arguments)["runs"]]

    assert ids("--where", "config.lr > 0.15") == ["r2"]
    assert ids("--where", "tags has 'a' or best.loss < 1.9", "--sort", "config.lr") == ["r1", "r2"]
    assert ids("--sort", "-last.loss", "--limit", "1", "--offset", "1") == ["r1"]
    assert ids("--tag", "a", "--where", "config.lr = 0.1") == []
    shown = stack.runtide(
        "runs", "--project", two_runs, "--columns", 'config."my name",best.loss', "--spark", "loss"
    ).stdout
    header, *lines = shown.splitlines()
    assert "best.loss" in header and len(lines) == 2 and "▁" in lines[0] and "\x1b" not in shown
    wrong = stack.runtide("runs", "--where", "config.lr >> 2", check=False)
    assert wrong.returncode == 2 and wrong.stderr.splitlines()[1:] == ["  | config.lr >> 2", "  | " + " " * 11 + "^"]


def test_diff_says_what_is_otherwise(stack: Stack, two_runs: str) -> None:
    found = answer(stack, "diff", f"{two_runs}/r1", f"{two_runs}/r2")
    rows = {(row["part"], row["name"]): (row["a"], row["b"]) for row in found["differences"]}
    assert rows["config", "lr"] == (0.1, 0.2) and ("config", "model") not in rows
    assert rows["result", "loss"] == (pytest.approx(1 + 1 / 3), pytest.approx(2 + 1 / 3))
    shown = stack.runtide("diff", f"{two_runs}/r1", f"{two_runs}/r2", "--part", "config").stdout
    assert "lr" in shown and "tiny" not in shown and "are equal: --all" in shown and "\x1b" not in shown
    assert "tiny" in stack.runtide("diff", f"{two_runs}/r1", f"{two_runs}/r2", "--part", "config", "--all").stdout
    assert "no differences in" in stack.runtide("diff", f"{two_runs}/r1", f"{two_runs}/r1").stdout
    assert stack.runtide("diff", "r1", "r2", "--part", "nonsense", check=False).returncode == 2


def test_curves_are_drawn(stack: Stack, two_runs: str) -> None:
    refs = [f"{two_runs}/r1", f"{two_runs}/r2"]
    shown = stack.runtide("curves", *refs, "--metric", "loss", "--log", "--width", "60", "--height", "5").stdout
    lines = shown.splitlines()
    assert lines[1] == "loss (log)" and sum("│" in line for line in lines) == 5
    assert max(map(len, lines[2:7])) <= 60 and any(char > "⠀" for char in shown)
    assert sum("1 NaN or infinite" in line for line in lines) == 2 and "\x1b" not in shown
    points = answer(stack, "curves", refs[0], "--metric", "loss", "--window", "10:19")["points"]
    assert [row["step"] for row in points] == list(range(10, 20))
    assert "relative" in stack.runtide("curves", *refs, "--x", "relative").stdout
    assert stack.runtide("curves", refs[0], "--metric", "nothing", check=False).returncode == 1
    assert stack.runtide("curves", refs[0], "--window", "5", check=False).returncode == 2


def test_answers_to_sql_in_every_form(stack: Stack, two_runs: str, tmp_path: Path) -> None:
    question = "SELECT run_id, config['lr'] AS lr FROM v_runs WHERE project = {p:String} ORDER BY run_id"
    asked = ["sql", question, "--param", f"p={two_runs}"]
    for name in ("x.csv", "x.json", "x.jsonl", "x.md", "x.parquet", "x.arrow"):
        stack.runtide(*asked, "--out", str(tmp_path / name))
        assert (tmp_path / name).stat().st_size > 0
    assert list(csv.reader((tmp_path / "x.csv").open())) == [["run_id", "lr"], ["r1", "0.1"], ["r2", "0.2"]]
    assert pq.read_table(tmp_path / "x.parquet")["run_id"].to_pylist() == ["r1", "r2"]
    assert [json.loads(line)["lr"] for line in (tmp_path / "x.jsonl").read_text().splitlines()] == ["0.1", "0.2"]
    assert (tmp_path / "x.md").read_text().splitlines()[2] == "| r1 | 0.1 |"
    assert stack.runtide(*asked, "--format", "markdown", "--limit", "1").stdout.count("\n") == 3
    again = stack.runtide(*asked, "--out", str(tmp_path / "x.csv"), check=False)
    assert again.returncode == 2 and "--force" in again.stderr
    assert stack.runtide(*asked, "--format", "parquet", check=False).returncode == 2
    assert stack.runtide("sql", "DROP TABLE runs", check=False).returncode == 2
    assert len(list(tmp_path.iterdir())) == 6


def test_export_and_what_a_shell_completes(stack: Stack, two_runs: str, tmp_path: Path) -> None:
    path = tmp_path / "x.parquet"
    told = answer(stack, "export", str(path), "--where", "config.lr = 0.2", "--metric", "loss")
    assert told["rows"] == 300 == pq.read_table(path).num_rows
    assert stack.runtide("export", str(path), "r1", check=False).returncode == 2
    assert stack.runtide("export", str(path), check=False).returncode == 2
    assert "600 rows in" in stack.runtide("export", str(path), f"{two_runs}/r1", "--force").stdout
    missing = stack.runtide("export", str(tmp_path / "no" / "x.csv"), f"{two_runs}/r1", check=False)
    assert missing.returncode == 2 and "No such file" in missing.stderr


def test_show_of_some_metrics(stack: Stack, two_runs: str) -> None:
    assert [row["metric"] for row in answer(stack, "show", f"{two_runs}/r1", "--metrics", "lo*")["metrics"]] == ["loss"]
