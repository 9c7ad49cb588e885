"""`runtide import` where nothing can be stored: what it says, and with which exit code."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from runtide import cli
from runtide.importing.book import Book

pytest.importorskip("pyarrow", reason="the extra `server` is not installed")

KAFKA = "127.0.0.1:9"  # nobody is there
Run = Callable[..., tuple[int, str, str]]


@pytest.fixture
def runtide(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    """Run a command; (exit code, stdout, stderr)."""
    monkeypatch.setenv("RUNTIDE_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("RUNTIDE_KAFKA", KAFKA)

    def run(*arguments: object) -> tuple[int, str, str]:
        code = cli.main([*map(str, arguments)])
        printed = capsys.readouterr()
        return code, printed.out, printed.err

    return run


@pytest.fixture
def table(tmp_path: Path) -> Path:
    """Two runs of five points and a text."""
    rows = [f"{run},{step},{step / 10},words" for run in ("one", "two") for step in range(5)]
    path = tmp_path / "digits.csv"
    path.write_text("\n".join(["run,step,loss,text", *rows, ""]))
    return path


def test_a_dry_run_says_what_there_is(runtide: Run, table: Path, tmp_path: Path) -> None:
    code, out, err = runtide("import", "csv", table, "--dry-run")
    assert (code, err) == (0, "")
    assert "digits/one" in out and "2 found: 10 points" in out
    code, out, _ = runtide("import", "csv", table, "--dry-run", "--run", "t*", "--project", "other", "--json")
    [found] = json.loads(out)["runs"]
    assert (code, found["project"], found["run_id"], found["status"]) == (0, "other", "two", "found")
    assert (found["points"], found["metrics"]) == (5, 1)
    assert not (tmp_path / "home").exists()


def test_a_run_that_can_not_be_read_is_exit_1_and_the_others_are_read(runtide: Run, table: Path) -> None:
    (table.parent / "bad\x1b[31m.csv").write_text("colour\nred\n")
    code, out, err = runtide("import", "csv", table.parent, "--dry-run")
    assert code == 1 and "2 found, 1 failed" in out
    assert "not imported: no metrics" in err and "\x1b" not in err and err.count("\n") == 1


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["csv", "nope.csv"], "there is no nope.csv"),
        (["tensorboard", "nope"], "there is no nope"),
        (["csv", "{table}", "--run", "three", "--dry-run"], "no run there is called three"),
        (["csv", "{table}", "--column", "run"], "give ROLE=NAME"),
        (["csv", "{table}", "--project", "a b"], "names are of A-Z"),
        (["csv", "{table}", "--time-unit", "hours"], "hours"),
    ],
)
def test_wrong_usage_is_one_line_and_exit_2(runtide: Run, table: Path, arguments: list[str], said: str) -> None:
    code, _, err = runtide("import", *(text.format(table=table) for text in arguments))
    assert code == 2 and said in err and err.count("\n") == 1


def test_without_kafka_what_is_read_waits(runtide: Run, table: Path, tmp_path: Path) -> None:
    code, out, err = runtide("import", "csv", table, "--timeout", "3")
    assert code == 3 and "2 imported: 10 points" in out
    assert f"Kafka at {KAFKA} can't be used" in err and "2 runs are read and wait: import again" in err
    code, out, err = runtide("import", "csv", table, "--timeout", "3")
    assert code == 3 and "no runs: 0 points" in out and "2 runs are read and wait" in err  # these come first
    journals = Path(Book(str(tmp_path / "home"), KAFKA).journals)
    assert {file.parent.name for file in journals.glob("*/import-csv-*.jsonl")} == {"one", "two"}


def test_one_import_at_a_time(runtide: Run, table: Path, tmp_path: Path) -> None:
    book = Book(str(tmp_path / "home"), KAFKA)
    book.open()
    code, _, err = runtide("import", "csv", table)
    assert code == 2 and "another import" in err and "wait for it" in err
    book.close()
