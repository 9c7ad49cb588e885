"""What failed beside another test is run once more, alone: `python -m tests.again EXIT_CODE_OF_PYTEST`.

`make test` runs two files at a time on as few as two cores, each with brokers, workers and a ClickHouse of its own. A
test that waits for something real can lose its patience there; alone it must pass. Of many that is no excuse.
"""

import json
import subprocess
import sys
from pathlib import Path

import pytest

FAILED = Path(__file__).parents[1] / ".pytest_cache" / "v" / "cache" / "lastfailed"
MOST = 5


def main(exit_code: int) -> int:
    failed = sorted(json.loads(FAILED.read_text())) if FAILED.exists() else []
    if exit_code != pytest.ExitCode.TESTS_FAILED or not 0 < len(failed) <= MOST:
        return exit_code
    print(f"\nonce more, alone: {', '.join(failed)}", flush=True)
    return subprocess.run([sys.executable, "-m", "pytest", "--last-failed"], check=False).returncode


if __name__ == "__main__":
    sys.exit(main(int(sys.argv[1])))
