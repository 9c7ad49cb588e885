"""The command line without any service: help, wrong usage, what an SDK-only install says, exit codes, no traceback."""

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest
import typer.main
from typer.testing import CliRunner

from runtide import cli
from runtide_workers.cli.app import app

SDK_ONLY = """
import sys
for name in ("typer", "rich", "clickhouse_connect", "faust", "streamlit", "numpy", "pyarrow", "psutil"):
    sys.modules[name] = None  # as if it were not installed
from runtide.cli import main
sys.exit(main(sys.argv[1:]))
"""


@pytest.fixture
def env(tmp_path: Path) -> dict[str, str]:
    """An environment that knows no stack and no services."""
    found = {name: text for name, text in os.environ.items() if not name.startswith("RUNTIDE_")}
    unreachable = {"RUNTIDE_KAFKA": "127.0.0.1:9", "RUNTIDE_CLICKHOUSE": "http://reader:x@127.0.0.1:9/runtide"}
    return found | {"RUNTIDE_HOME": str(tmp_path / "home")} | unreachable


def runtide(env: Mapping[str, str], *arguments: str, sdk_only: bool = False) -> "subprocess.CompletedProcess[str]":
    start = ["-c", SDK_ONLY] if sdk_only else ["-m", "runtide.cli"]
    argv = [sys.executable, *start, *arguments]
    return subprocess.run(argv, env=dict(env), capture_output=True, text=True, timeout=60, check=False)


def one_line(done: "subprocess.CompletedProcess[str]") -> str:
    """The only line on stderr."""
    (line,) = done.stderr.splitlines()
    assert line.startswith("runtide: ")
    return line


def test_every_command_is_registered_and_listed() -> None:
    assert list(cli.COMMANDS) == sorted(cli.COMMANDS, key=list(cli.COMMANDS).index)
    assert set(typer.main.get_command(app).commands) == set(cli.COMMANDS)  # type: ignore[attr-defined]
    output = CliRunner().invoke(app, ["--help"]).output
    assert all(f" {name} " in output for name in cli.COMMANDS)


@pytest.mark.parametrize("command", [name for name in cli.COMMANDS if name not in ("worker", "demo")])
def test_every_command_has_help_with_an_example(command: str) -> None:
    result = CliRunner().invoke(app, [command, "--help"])
    assert result.exit_code == 0
    assert "Examples" in result.output and f"runtide {command}" in result.output


@pytest.mark.parametrize("command", ["worker", "demo"])
def test_help_of_a_command_that_parses_for_itself(env: dict[str, str], command: str) -> None:
    done = runtide(env, command, "--help")
    assert done.returncode == 0 and f"runtide {command}" in done.stdout


@pytest.mark.parametrize(
    "arguments",
    [
        ["nope"],
        ["runs", "--limit", "x"],
        ["runs", "--state", "x"],
        ["show"],
        ["up", "--port-base", "80"],
        ["exec"],
        ["sql"],
    ],
    ids=" ".join,
)
def test_wrong_usage_is_one_line_and_exit_2(env: dict[str, str], arguments: list[str]) -> None:
    done = runtide(env, *arguments)
    assert done.returncode == 2, done.stdout
    one_line(done)


@pytest.mark.parametrize(
    "arguments", [["runs"], ["show", "p/r"], ["sql", "SELECT 1"], ["migrate"], ["regressions"]], ids=lambda a: a[0]
)
def test_no_clickhouse_is_one_line_and_exit_3(env: dict[str, str], arguments: list[str]) -> None:
    done = runtide(env, *arguments)
    assert done.returncode == 3, done.stderr
    assert "127.0.0.1:9" in one_line(done) and "runtide up" in done.stderr


def test_status_of_nothing(env: dict[str, str], tmp_path: Path) -> None:
    done = runtide(env, "status", "--json")
    assert done.returncode == 3 and not done.stderr
    found = json.loads(done.stdout)
    assert (found["state"], found["services"], found["kafka"]["reachable"]) == ("down", [], False)
    assert "runtide up" in one_line(runtide(env, "status", "--env"))
    assert not (tmp_path / "home").exists()  # looking leaves no trace


def test_down_without_a_stack_is_fine(env: dict[str, str]) -> None:
    done = runtide(env, "down", "--json")
    assert done.returncode == 0 and json.loads(done.stdout)["was_running"] is False


def test_doctor_names_what_fails_and_its_fix(env: dict[str, str]) -> None:
    done = runtide(env, "doctor", "--json")
    assert done.returncode == 1 and not done.stderr
    findings = {each["name"]: each for each in json.loads(done.stdout)["findings"]}
    assert findings["python"]["state"] == "ok"
    for name in ("kafka", "clickhouse"):
        assert findings[name]["state"] == "fail" and "runtide up" in findings[name]["fix"]
    assert all(each["fix"] for each in findings.values() if each["state"] != "ok")


def test_doctor_sees_a_journal_directory_that_can_not_be_written(env: dict[str, str], tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    done = runtide(env | {"RUNTIDE_DIR": str(tmp_path / "file" / "journal")}, "doctor", "--json", sdk_only=True)
    findings = {each["name"]: each for each in json.loads(done.stdout)["findings"]}
    assert findings["journal"]["state"] == "fail" and "RUNTIDE_DIR" in findings["journal"]["fix"]


def test_a_setting_that_makes_no_sense_is_one_line(env: dict[str, str]) -> None:
    done = runtide(env | {"RUNTIDE_MODE": "sometimes"}, "status")
    assert done.returncode == 2 and "RUNTIDE_MODE" in one_line(done)


@pytest.mark.parametrize("sdk_only", [False, True])
def test_exec_passes_everything_through(env: dict[str, str], sdk_only: bool) -> None:
    script = "import sys; print('out', sys.argv[1:]); print('err', file=sys.stderr); sys.exit(7)"
    command = [sys.executable, "-c", script, "--project", "theirs", "-x"]
    offline = env | {"RUNTIDE_MODE": "offline", "RUNTIDE_QUIET": "1"}
    done = runtide(offline, "exec", "--project", "mine", "--tag", "a", "--", *command, sdk_only=sdk_only)
    assert done.returncode == 7, done.stderr
    assert done.stdout == "out ['--project', 'theirs', '-x']\n" and "err\n" in done.stderr
    journal = Path(env["RUNTIDE_HOME"]) / "journal"
    (header,) = {path.read_text().splitlines()[0] for path in journal.glob("*/*.jsonl")}
    assert json.loads(header)["project"] == "mine"


def test_sync_says_that_kafka_is_not_there(env: dict[str, str]) -> None:
    missing = runtide(env, "sync")
    assert missing.returncode == 2 and "--dir" in one_line(missing)
    script = "import runtide\nwith runtide.init(mode='offline') as run: run.log({'x': 1})"
    subprocess.run([sys.executable, "-c", script], env=env, check=True, timeout=60, capture_output=True)
    done = runtide(env, "sync", "--timeout", "1")
    assert done.returncode == 3 and "127.0.0.1:9" in one_line(done)


def test_an_sdk_only_install_lists_everything_and_says_what_is_missing(env: dict[str, str]) -> None:
    done = runtide(env, "--help", sdk_only=True)
    assert done.returncode == 0 and all(name in done.stdout for name in cli.COMMANDS)
    assert "runtide[embedded]" in done.stdout
    for command, extra in (("up", "embedded"), ("runs", "server"), ("demo", "demo")):
        done = runtide(env, command, sdk_only=True)
        assert done.returncode == 2 and f"pip install 'runtide[{extra}]'" in one_line(done)
    assert runtide(env, "status", "--json", sdk_only=True).returncode == 3
    assert runtide(env, "doctor", "--json", sdk_only=True).returncode == 1
    assert runtide(env, "nope", sdk_only=True).returncode == 2
    for command in ("shipper", "sync", "exec", "status", "doctor"):
        assert runtide(env, command, "--help", sdk_only=True).returncode == 0


def test_a_missing_package_is_named_with_its_extra() -> None:
    assert cli.explain(ModuleNotFoundError("No module named 'chdb'", name="chdb")) == (
        "chdb is not installed: pip install 'runtide[embedded]'",
        2,
    )
    assert "runtide[server]" in cli.explain(ModuleNotFoundError("x", name="streamlit.web"))[0]


def test_a_bug_is_one_line_unless_debugging(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def act() -> int:
        raise ZeroDivisionError("two\nlines")

    monkeypatch.delenv("RUNTIDE_DEBUG", raising=False)
    assert cli.guarded(act) == 2
    assert capsys.readouterr().err == "runtide: ZeroDivisionError: two lines (RUNTIDE_DEBUG=1 shows where)\n"
    monkeypatch.setenv("RUNTIDE_DEBUG", "1")
    with pytest.raises(ZeroDivisionError):
        cli.guarded(act)


def test_a_reader_that_goes_away_is_no_error(env: dict[str, str]) -> None:
    command = f"{sys.executable} -m runtide.cli doctor | true"
    done = subprocess.run(
        ["bash", "-o", "pipefail", "-c", command], env=env, capture_output=True, text=True, check=False
    )
    assert "Traceback" not in done.stderr and "BrokenPipe" not in done.stderr


def test_help_imports_nothing_heavy(env: dict[str, str]) -> None:
    script = "import sys; from runtide.cli import main; main(['--help']); print(sorted(sys.modules), file=sys.stderr)"
    done = subprocess.run([sys.executable, "-c", script], env=env, capture_output=True, text=True, check=True)
    heavy = ("aiokafka", "clickhouse_connect", "faust", "numpy", "pandas", "pyarrow", "streamlit", "psutil")
    assert [name for name in heavy if f"'{name}'" in done.stderr] == []
