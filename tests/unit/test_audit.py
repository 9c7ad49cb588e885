"""The dependency audit of CI: pip-audit itself, asking an advisory service that a test fills."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from tests.fixtures.shipping import free_port

pytestmark = pytest.mark.timeout(300)
AUDIT = Path(__file__).parents[2] / ".ci" / "audit.py"
ADVISORY = {
    "id": "PYSEC-2026-1",
    "aliases": ["CVE-2026-0001"],
    "summary": "made up",
    "affected": [
        {
            "package": {"ecosystem": "PyPI", "name": "orjson"},
            "ranges": [{"type": "ECOSYSTEM", "events": [{"introduced": "0"}, {"fixed": "99.1"}]}],
        }
    ],
}


class Advisories(BaseHTTPRequestHandler):
    """As api.osv.dev answers: of orjson it knows something, of nothing else."""

    def do_POST(self) -> None:
        asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        answer = json.dumps({"vulns": [ADVISORY]} if asked["package"]["name"] == "orjson" else {}).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer)

    def log_message(self, *_: Any) -> None:
        pass


@pytest.fixture
def service() -> Iterator[str]:
    with ThreadingHTTPServer(("127.0.0.1", 0), Advisories) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}/v1/query"
        server.shutdown()


def audit(folder: Path, service: str, lock: str, accepted: str = "") -> tuple[int, str]:
    (folder / "lock").write_text(lock)
    (folder / "accepted").write_text(accepted)
    words: list[str | Path] = ["--lock", folder / "lock", "--accepted", folder / "accepted"]
    words += ["-s", "osv", "--osv-url", service, "--cache-dir", folder / "cache", "--timeout", "5"]
    done = subprocess.run([sys.executable, AUDIT, *words], capture_output=True, text=True, timeout=250, check=False)
    return done.returncode, done.stdout + done.stderr


def test_a_vulnerability_fails_until_somebody_accepts_it_with_a_reason(tmp_path: Path, service: str) -> None:
    lock = "orjson==3.10.0\nnumpy==2.0.0\n"
    line = "audit: orjson 3.10.0: PYSEC-2026-1, fixed in 99.1; "
    assert audit(tmp_path, service, lock) == (1, f"{line}NOT ACCEPTED\n")
    code, said = audit(tmp_path, service, lock, "# why\nCVE-2026-0001 we never parse what strangers send\n")
    assert code == 0 and said.startswith(f"{line}accepted: we never parse what strangers send\n")
    code, said = audit(tmp_path, service, lock, "PYSEC-2026-1\n")
    assert code == 1 and "PYSEC-2026-1 has no reason" in said


def test_without_a_network_it_says_so_and_lets_pass(tmp_path: Path) -> None:
    code, said = audit(tmp_path, f"http://127.0.0.1:{free_port()}/v1/query", "orjson==3.10.0\n")
    assert (code, said) == (0, "audit: SKIPPED, no advisory service can be reached from here\n")


def test_what_is_no_lock_is_no_missing_network(tmp_path: Path, service: str) -> None:
    code, said = audit(tmp_path, service, "orjson>=3\n")
    assert code == 1 and "pip-audit failed" in said
