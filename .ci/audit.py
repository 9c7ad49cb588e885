"""Are there known vulnerabilities in what requirements.lock pins?

0: none, or nobody who could tell was there; 1: some, which accepted-vulnerabilities.txt beside this file does not name.
Words after the options go to pip-audit, such as `--vulnerability-service osv`.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
TIMEOUT_S = 600
_NOBODY_THERE = ("ConnectionError", "Max retries exceeded", "timed out", "Connection refused", "Failed to establish")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--lock", type=Path, default=HERE.parent / "requirements.lock")
    parser.add_argument("--accepted", type=Path, default=HERE / "accepted-vulnerabilities.txt")
    options, rest = parser.parse_known_args()
    accepted = _accepted(options.accepted)
    found = _ask(options.lock, rest)
    if found is None:
        print("audit: SKIPPED, no advisory service can be reached from here")
        return 0
    told = [each for each in found if "vulns" in each]
    if not told:
        print(f"audit: SKIPPED, the advisory service knows none of the {len(found)} packages (a mirror of an index?)")
        return 0
    news = False
    for package in told:
        for each in package["vulns"]:
            known = next((name for name in (each["id"], *each["aliases"]) if name in accepted), None)
            fix = f"fixed in {', '.join(each['fix_versions'])}" if each["fix_versions"] else "not fixed yet"
            state = f"accepted: {accepted[known]}" if known else "NOT ACCEPTED"
            print(f"audit: {package['name']} {package['version']}: {each['id']}, {fix}; {state}")
            news = news or not known
    if not news:
        print(f"audit: {len(told)} of {len(found)} packages asked for, nothing that is not accepted")
    return int(news)


def _accepted(path: Path) -> dict[str, str]:
    """Id -> reason. An id without a reason is an error: somebody has to stand for it."""
    found = {}
    for line in path.read_text().splitlines():
        name, _, reason = line.partition(" ")
        if name and not name.startswith("#"):
            if not reason.strip():
                sys.exit(f"audit: {path.name}: {name} has no reason")
            found[name] = reason.strip()
    return found


def _ask(lock: Path, more: list[str]) -> list[dict[str, Any]] | None:
    """What pip-audit knows of each package; None if it reached nobody."""
    with tempfile.TemporaryDirectory() as folder:
        answer = Path(folder) / "answer.json"
        command = [sys.executable, "-m", "pip_audit", "--disable-pip", "--no-deps", "--progress-spinner", "off"]
        command += ["--requirement", str(lock), "--format", "json", "--output", str(answer), *more]
        try:
            done = subprocess.run(command, capture_output=True, text=True, timeout=TIMEOUT_S, check=False)
        except subprocess.TimeoutExpired:
            return None
        if answer.exists() and answer.stat().st_size:
            dependencies: list[dict[str, Any]] = json.loads(answer.read_text())["dependencies"]
            return dependencies
    if any(sign in done.stderr for sign in _NOBODY_THERE):
        return None
    sys.exit(f"audit: pip-audit failed: {done.stderr.strip()[-2000:]}")


if __name__ == "__main__":
    sys.exit(main())
