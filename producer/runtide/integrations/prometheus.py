"""The last values of this process's live runs, for Prometheus or another OpenMetrics scraper.

server = serve(port=9464)      # http://127.0.0.1:9464/metrics
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from runtide._writer import Writer
from runtide.exits import process_end
from runtide.last_values import LastValues

OPENMETRICS = "application/openmetrics-text; version=1.0.0; charset=utf-8"
TEXT = "text/plain; version=0.0.4; charset=utf-8"
_SPELLED = {"NaN": "NaN", "Infinity": "+Inf", "-Infinity": "-Inf"}


class Exposition:
    """What a scrape gets. Reads on in the journals at each: `log` does nothing for it."""

    def __init__(self) -> None:
        self._tails: dict[tuple[str, str], _Tail] = {}
        self._lock = threading.Lock()

    def text(self) -> str:
        """In the format of OpenMetrics, which is also Prometheus' own. Runs that have ended are left out."""
        with self._lock:
            live = [each for each in tuple(process_end._live) if isinstance(each, Writer) and each.journal.header]
            tails = {tail.key: tail for tail in map(self._tail, live)}
            self._tails = tails
            for tail in tails.values():
                tail.read()
            return "\n".join((*_lines(list(tails.values())), "# EOF\n"))

    def _tail(self, writer: Writer) -> _Tail:
        header = writer.journal.header
        key = (writer.settings.run_id, header.writer if header is not None else "")
        return self._tails.get(key) or _Tail(key, writer)


class _Tail(LastValues):
    """One writer's last values, and whose they are."""

    def __init__(self, key: tuple[str, str], writer: Writer) -> None:
        super().__init__(writer.journal)
        self.key = key
        self.labels = {"project": writer.settings.project, "run": writer.settings.run_id}


def serve(port: int = 0, address: str = "127.0.0.1") -> ThreadingHTTPServer:
    """Answer scrapes at /metrics from a thread of its own until `shutdown()`. Port 0: any; see `server.server_port`.

    It answers whoever can reach it: on other addresses than loopback that is everybody in the network.
    """
    exposition = Exposition()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            if self.path.partition("?")[0] not in ("/", "/metrics"):
                self.send_error(404)
                return
            wants = "openmetrics" in self.headers.get("Accept", "")
            body = exposition.text().encode()
            self.send_response(200)
            self.send_header("Content-Type", OPENMETRICS if wants else TEXT)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *_: Any) -> None:  # noqa: A002
            """A scrape is nothing to tell."""

    server = ThreadingHTTPServer((address, port), Handler)
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, name="runtide-prometheus", daemon=True).start()
    return server


def _lines(tails: list[_Tail]) -> Iterator[str]:
    yield "# HELP runtide_metric The last value of a metric that a live run of this process has logged."
    yield "# TYPE runtide_metric gauge"
    for tail in tails:
        for name, value in tail.values.items():
            yield f"runtide_metric{_labels({**tail.labels, 'metric': name})} {_number(value)}"
    yield "# HELP runtide_step The last step at which a live run of this process has logged."
    yield "# TYPE runtide_step gauge"
    yield from (f"runtide_step{_labels(tail.labels)} {tail.step}" for tail in tails if tail.step is not None)
    yield "# HELP runtide_points Points of a live run of this process that were read from its journal."
    yield "# TYPE runtide_points counter"
    yield from (f"runtide_points_total{_labels(tail.labels)} {tail.points}" for tail in tails)


def _labels(labels: dict[str, str]) -> str:
    return "{" + ",".join(f'{name}="{_escaped(value)}"' for name, value in labels.items()) + "}"


def _escaped(text: str) -> str:
    return text.replace("\\", "\\\\").replace("\n", "\\n").replace('"', '\\"')


def _number(value: Any) -> str:
    return _SPELLED.get(value, "NaN") if isinstance(value, str) else repr(float(value))
