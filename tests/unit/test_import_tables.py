"""CSV, Parquet and JSON lines as runs: long and wide, times in every unit, and files that are none."""

import json
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from runtide.importing.model import ImportFailed, SourceRun, Unreadable
from runtide.importing.tables import Reading, runs

pytest.importorskip("pyarrow", reason="the extra `server` is not installed")

S, MS = 1_000_000_000, 1_000_000
T0 = 1_700_000_000


def read(*paths: Path, **reading: Any) -> dict[str, list[tuple[int | None, int, dict[str, Any]]]]:
    """run id -> rows"""
    return {run.run_id: [(t, s, dict(m)) for t, s, m in run.rows()] for run in found(*paths, **reading)}


def found(*paths: Path, **reading: Any) -> Sequence[SourceRun]:
    return runs([str(path) for path in paths], Reading(**reading))


def test_wide(tmp_path: Path) -> None:
    file = tmp_path / "history.csv"
    file.write_text(
        "run,step,timestamp,loss,acc,note,_runtime\na,0,1700000000,0.5,,x,1\nb,0,1700000001,nan,1,,2\na,5,,inf,2,y,3\n"
    )
    assert repr(read(file)) == repr(
        {
            "a": [(T0 * S, 0, {"loss": 0.5}), (None, 5, {"loss": math.inf, "acc": 2})],
            "b": [((T0 + 1) * S, 0, {"loss": math.nan, "acc": 1})],
        }
    )
    assert {run.project for run in found(file)} == {"history"}


def test_without_steps_and_runs_a_file_is_a_run(tmp_path: Path) -> None:
    (tmp_path / "first.csv").write_text("loss\n3\n2\n")
    (tmp_path / "second.tsv").write_text("loss\tacc\n1\t0.5\n")
    (tmp_path / "notes.txt").write_text("nothing of ours")
    assert read(tmp_path) == {
        "first": [(None, 0, {"loss": 3}), (None, 1, {"loss": 2})], "second": [(None, 0, {"loss": 1, "acc": 0.5})],
    }  # fmt: skip
    assert {run.project for run in found(tmp_path)} == {tmp_path.name}


def test_long_in_several_files(tmp_path: Path) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    rows = [
        {"run_id": 7, "metric": "loss", "step": 0, "value": 0.5},
        {"run_id": 7, "metric": "loss", "step": 1, "value": None},
    ]
    pq.write_table(pa.Table.from_pylist(rows), tmp_path / "part-0.parquet")
    (tmp_path / "part-1.jsonl").write_text(json.dumps({"run_id": "7", "metric": "acc", "step": 2, "value": 1.5}) + "\n")
    assert read(tmp_path) == {"7": [(None, 0, {"loss": 0.5}), (None, 2, {"acc": 1.5})]}


def test_columns_of_other_names(tmp_path: Path) -> None:
    file = tmp_path / "x.csv"
    file.write_text("experiment,what,at,number,when\ne,loss,3,0.5,2023-11-14T22:13:20Z\n")
    columns = {"run": "experiment", "metric": "what", "step": "at", "value": "number", "time": "when"}
    assert read(file, columns=columns) == {"e": [(T0 * S, 3, {"loss": 0.5})]}
    [run] = found(file, columns={"step": "nope"})
    with pytest.raises(Unreadable, match="no column 'nope'; there are experiment, what"):
        list(run.rows())
    with pytest.raises(ImportFailed, match="a column is one of run, metric"):
        found(file, columns={"colour": "x"})


@pytest.mark.parametrize(
    ("text", "unit", "expected"),
    [
        ("1700000000", "", T0 * S),
        ("1700000000.123", "", T0 * S + 123 * MS),
        ("1700000000123", "", T0 * S + 123 * MS),
        ("1700000000123456", "", T0 * S + 123_456_000),
        ("1700000000123456789", "", T0 * S + 123_456_789),
        ("1700", "ms", 1_700 * MS),
        ("2023-11-14 22:13:20.123", "", T0 * S + 123 * MS),
        ("2023-11-14T23:13:20+01:00", "", T0 * S),
        ("0", "", None),
    ],
)
def test_times(tmp_path: Path, text: str, unit: str, expected: int | None) -> None:
    file = tmp_path / "x.csv"
    file.write_text(f"timestamp,loss\n{text},1\n")
    [[row]] = read(file, time_unit=unit).values()
    assert row[0] == expected


def test_steps_that_are_fractions(tmp_path: Path) -> None:
    file = tmp_path / "x.csv"
    file.write_text("epoch,loss\n0.5,1\n1.0,2\n")
    [run] = found(file)
    with pytest.raises(Unreadable, match=r"step 0.5 is no whole number: --step-multiplier"):
        list(run.rows())
    assert [row[1] for row in read(file, step_multiplier=10)["x"]] == [5, 10]


@pytest.mark.parametrize(
    ("name", "data", "reason"),
    [
        ("a.parquet", b"PAR1 not at all", "ArrowInvalid"),
        ("a.csv", b"name,colour\nx,red\n", "no metrics"),
        ("a.csv", b"a,b\n1\n", "ArrowInvalid"),
        ("a.csv", b"timestamp,loss\nyesterday,1\n", "'yesterday' is no time"),
        ("a.csv", b"step,loss\none,1\n", "'one' is no step"),
    ],
)
def test_a_file_that_can_not_be_read_is_told_and_the_others_are_read(
    tmp_path: Path, name: str, data: bytes, reason: str
) -> None:
    (tmp_path / name).write_bytes(data)
    (tmp_path / "good.csv").write_text("loss\n1\n")
    outcomes = {}
    for run in found(tmp_path):
        try:
            outcomes[run.run_id] = str(len(list(run.rows())))
        except Unreadable as error:
            outcomes[run.run_id] = str(error)
    assert outcomes.pop("good") == "1"
    [told] = outcomes.values()
    assert reason in told


def test_nothing_there(tmp_path: Path) -> None:
    with pytest.raises(ImportFailed, match=r"no \*\.csv, .* in "):
        found(tmp_path)
    with pytest.raises(ImportFailed, match="there is no "):
        found(tmp_path / "nope")
