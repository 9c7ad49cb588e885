"""How runs differ in what was recorded of them: the one place that knows it, for pages, alerts and the command line.

What is recorded of a run is a flat mapping, as `recorded` reads it: `config.<name>`, `meta.<name>` (captured), and the
versions of the data it used and made, `dataset.<name>`, `input.<artifact>` and `output.<artifact>`.
"""

from __future__ import annotations

import difflib
import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from runtide_storage.reader import Reader, integers
from runtide_storage.runs import RunName
from runtide_storage.statements import statements

Part = Literal["config", "code", "environment", "packages", "hardware", "dataset", "input", "output", "result"]
Values = Mapping[str, Any]

PARTS: tuple[Part, ...] = (
    "config", "code", "environment", "packages", "hardware", "dataset", "input", "output", "result",
)  # fmt: skip
# What differs from run to run without changing anything that is trained.
_INCIDENTAL = re.compile(
    r"(^|[./_-])(seed|seeds|rng|run_name|run_id|name|output_dir|log_dir|save_dir|checkpoint_dir|argv|cwd|user|port|pid"
    r"|executable|git/root|pythonhashseed|MASTER_ADDR|MASTER_PORT|RANK|LOCAL_RANK|JOB_ID|JOBID|NODELIST)([./_-]|$)",
    re.IGNORECASE,
)
_HARDWARE = re.compile(r"^(cpu|gpu|memory)/")
_FILE = re.compile(r"^diff --git ", re.MULTILINE)
_FILE_NAME = re.compile(r"a/(.+?) b/")
_PLACE = re.compile(r"^(?:index [0-9a-f]+\.\..*\n|@@ [^@\n]* (?=@@))", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Difference:
    """One recorded thing of two runs; None: not there. Of part "code" the uncommitted changes are the value "diff"."""

    part: Part
    name: str
    a: Any
    b: Any

    @property
    def same(self) -> bool:
        return same(self.a, self.b)


def diff(reader: Reader, a: RunName, b: RunName) -> list[Difference]:
    """Everything recorded of two runs, part by part in the order of PARTS, equal or not.

    Part "result" holds each metric's last value, `<metric> (best)` where it has a goal, and what a run put into its
    summary; the machine's own metrics (`system/...`) are left out.
    """
    values = recorded(reader, [a.key, b.key])
    there, here = by_part(values.get(a.key, {})), by_part(values.get(b.key, {}))
    there["result"], here["result"] = (_results(reader, run) for run in (a, b))
    return [
        Difference(part, name, there.get(part, {}).get(name), here.get(part, {}).get(name))
        for part in PARTS
        for name in sorted({*there.get(part, ()), *here.get(part, ())})
    ]


def recorded(reader: Reader, runs: Iterable[int]) -> dict[int, dict[str, Any]]:
    """Everything by which these runs may differ, without the states of random generators."""
    ids = integers(runs)
    found: dict[int, dict[str, Any]] = {}
    if not ids:
        return found
    sql = statements("differences.sql")
    for row in reader.rows(sql["values"].format(runs=ids)):
        found.setdefault(row["run"], {})[f"{row['section']}.{row['name']}"] = json.loads(row["value"])
    for row in reader.rows(sql["data"].format(runs=ids)):
        found.setdefault(row["run"], {})[f"{row['part']}.{row['name']}"] = row["version"]
    return found


def parts(values: Values) -> dict[str, dict[str, Any]]:
    """What may explain how a run came out, by part: without what differs from run to run and means nothing."""
    return by_part({name: value for name, value in values.items() if not _INCIDENTAL.search(name)})


def differing(values: Mapping[str, Values]) -> dict[str, dict[str, Any]]:
    """name -> run -> value, where the value is not the same in all runs. A run that lacks it has no entry."""
    names = sorted({name for of_run in values.values() for name in of_run})
    found: dict[str, dict[str, Any]] = {}
    for name in names:
        given = {run: of_run[name] for run, of_run in values.items() if name in of_run}
        if len(given) < len(values) or len({_canonical(value) for value in given.values()}) > 1:
            found[name] = given
    return found


def same(a: Any, b: Any) -> bool:
    """Whether two values are the same as JSON: 1 and 1.0 are, 1 and "1" or true are not, NaN and NaN are."""
    return _canonical(a) == _canonical(b)


def shown(value: Any) -> str:
    """A setting as text: strings bare, everything else as JSON."""
    return value if isinstance(value, str) else json.dumps(value, default=str, ensure_ascii=False)


def changed_files(diff: str) -> list[str]:
    """The files that a git diff changes."""
    return list(_files(diff))


def compare_diffs(a: str, b: str) -> list[str]:
    """Two git diffs against each other, as lines of a unified diff for each file that they change differently.

    Where a hunk stands in its file, and the ids of its blobs, make no difference.
    """
    there, here = _files(a), _files(b)
    lines: list[str] = []
    for name in sorted({*there, *here}):
        old, new = (_PLACE.sub("", each.get(name, "")).splitlines() for each in (there, here))
        if old != new:
            lines += difflib.unified_diff(old, new, f"a: {name}", f"b: {name}", lineterm="", n=2)
    return lines


def _results(reader: Reader, run: RunName) -> dict[str, Any]:
    given = {"run": run.key}
    sql = statements("differences.sql")
    found: dict[str, Any] = {}
    for row in reader.rows(sql["results"], given):
        found[row["metric"]] = row["last"]
        if row["best"] is not None:
            found[f"{row['metric']} (best)"] = row["best"]
    for row in reader.rows(sql["summary"], given):
        found[row["name"]] = json.loads(row["value"])
    return found


def by_part(values: Values) -> dict[str, dict[str, Any]]:
    """What `recorded` reads of a run, by part, under the names that people know."""
    found: dict[str, dict[str, Any]] = {}
    for full, value in values.items():
        section, _, name = full.partition(".")
        if full == "meta.packages":
            found["packages"] = dict(value)
        elif section != "meta":
            found.setdefault(section, {})[name] = value
        elif name.startswith("git/"):
            found.setdefault("code", {})[name.removeprefix("git/")] = value
        else:
            found.setdefault("hardware" if _HARDWARE.match(name) else "environment", {})[name] = value
    return found


def _files(diff: str) -> dict[str, str]:
    """File -> its part of a git diff."""
    found: dict[str, str] = {}
    for part in _FILE.split(diff)[1:]:
        name = _FILE_NAME.match(part)
        found[name[1] if name else part.partition("\n")[0]] = part.partition("\n")[2]
    return found


def _canonical(value: Any) -> str:
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    return json.dumps(value, sort_keys=True, default=str)
