"""Coverage-guided fuzzing: `python -m tests.fuzz [TARGET ...] [--seconds 60]`; docs/fuzzing.md says what each looks at.

Each target runs in a process of its own, since libFuzzer ends it. What it learns stays in `.fuzz/TARGET`, so that the
next run goes on from there; an input that breaks something is left in `.fuzz/` and its traceback printed.
"""

from __future__ import annotations

import argparse
import importlib
import logging
import os
import re
import subprocess
import sys
import tempfile
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from tests.fuzz.targets import TARGETS, seeds

LEARNT = Path(".fuzz")
MEMORY = Path("/dev/shm")  # where files cost the least
INPUT_BYTES_MAX = 4096
INPUT_SECONDS_MAX = 60  # for one: what hangs is a finding


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description=__doc__)
    parser.add_argument("targets", nargs="*", metavar="TARGET", help=f"of {', '.join(TARGETS)}; default: all")
    parser.add_argument("--seconds", type=int, default=60, help="for each target")
    parser.add_argument("--engine", action="store_true", help="run filters on a real ClickHouse as well")
    parser.add_argument("--in-this-process", action="store_true", help=argparse.SUPPRESS)
    given = parser.parse_args()
    if unknown := set(given.targets) - set(TARGETS):
        parser.error(f"there is no target {', '.join(sorted(unknown))}; there are {', '.join(TARGETS)}")
    if importlib.util.find_spec("atheris") is None:
        print("Fuzzing needs the extra `fuzz`: pip install -e '.[fuzz]' (for some versions of CPython on Linux)")
        return 1
    if given.in_this_process:
        _fuzz(given.targets[0], given.seconds, given.engine)
    results = {name: _in_a_process(name, given.seconds, given.engine) for name in given.targets or TARGETS}
    print(f"\n{'target':<10} {'executions':>12} {'edges':>7} {'inputs kept':>12}  found")
    for name, (executions, edges, kept, found) in results.items():
        print(f"{name:<10} {executions:>12,} {edges:>7,} {kept:>12,}  {found or 'nothing'}")
    return any(found for *_, found in results.values())


def _in_a_process(name: str, seconds: int, engine: bool) -> tuple[int, int, int, str]:
    """Executions, edges of the product's code that were reached, inputs that reached something new, and what broke."""
    command = [sys.executable, "-m", "tests.fuzz", name, "--seconds", str(seconds), "--in-this-process"]
    command += ["--engine"] * engine
    with tempfile.TemporaryDirectory(prefix="runtide-fuzz-", dir=MEMORY if MEMORY.is_dir() else None) as folder:
        env = os.environ | {"TMPDIR": folder}
        done = subprocess.run(command, env=env, capture_output=True, text=True, errors="replace", check=False)
    said = done.stdout + done.stderr
    LEARNT.mkdir(exist_ok=True)
    (LEARNT / f"{name}.log").write_text(said)
    executions = re.findall(r"(?:Done|number_of_executed_units:) (\d+)", said)
    reached = re.findall(r"cov: (\d+) .*?corp: (\d+)", said)
    edges, kept = reached[-1] if reached else ("0", "0")
    found = ""
    if done.returncode:
        found = ", ".join(re.findall(r"Test unit written to (\S+)", said)) or f"exit code {done.returncode}"
        print(said[-4000:])
    return int(executions[-1]) if executions else 0, int(edges), int(kept), found


def _fuzz(name: str, seconds: int, with_engine: bool) -> None:
    """Does not return."""
    import atheris

    logging.disable(logging.CRITICAL)
    with atheris.instrument_imports(include=["runtide", "runtide_storage", "runtide_workers"]):
        target: Any = importlib.import_module(f"tests.fuzz.{name}")
    learnt = LEARNT / name
    learnt.mkdir(parents=True, exist_ok=True)
    for number, seed in enumerate(seeds(target, name)):
        (learnt / f"seed-{number:03d}").write_bytes(seed)
    options = [
        sys.argv[0], str(learnt), f"-max_total_time={seconds}", f"-max_len={INPUT_BYTES_MAX}", "-print_final_stats=1",
        f"-timeout={INPUT_SECONDS_MAX}", f"-artifact_prefix={LEARNT}/{name}-", "-rss_limit_mb=4096",
    ]  # fmt: skip
    words = getattr(target, "DICTIONARY", ())
    with ExitStack() as stack:
        if words:
            file = stack.enter_context(tempfile.NamedTemporaryFile("w", suffix=".dict"))
            file.write("".join('"' + "".join(f"\\x{byte:02x}" for byte in word.encode()) + '"\n' for word in words))
            file.flush()
            options.append(f"-dict={file.name}")
        if with_engine and name == "filters":
            from tests.fuzz.engine import engine

            target.client = stack.enter_context(engine())
        atheris.Setup(options, target.check)
        atheris.Fuzz()


if __name__ == "__main__":
    sys.exit(main())
