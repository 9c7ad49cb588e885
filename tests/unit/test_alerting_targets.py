"""Where messages go: nowhere that the URL does not name."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from runtide_workers.alerting.targets import Message, open_target


@contextmanager
def server(leads_to: str = "") -> Iterator[tuple[int, list[str]]]:
    """Its port, and the paths that it was asked for. It takes everything, or leads elsewhere."""
    asked: list[str] = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            asked.append(self.path)
            self.rfile.read(int(self.headers.get("Content-Length") or 0))
            self.send_response(307 if leads_to else 200)
            if leads_to:
                self.send_header("Location", leads_to)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def do_GET(self) -> None:
            self.do_POST()

        def log_message(self, *_: Any) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as listening:
        threading.Thread(target=listening.serve_forever, daemon=True).start()
        yield listening.server_port, asked
        listening.shutdown()


def test_no_redirect_is_followed() -> None:
    """It would lead around what `allow_hosts` allows."""
    words = Message("title", "body", "page")
    with server() as (inside, reached), server(f"http://127.0.0.1:{inside}/admin") as (hook, asked):
        assert open_target(f"json://127.0.0.1:{inside}/direct")(words) is None
        assert reached == ["/direct"]
        assert open_target(f"json://127.0.0.1:{hook}/hook")(words) is not None
        assert asked == ["/hook"] and reached == ["/direct"]
