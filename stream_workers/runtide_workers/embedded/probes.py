"""Is it there? One short question to a local port."""

from __future__ import annotations

import http.client
import json
import socket
import struct
from typing import Any, Literal

Answer = Literal["ready", "busy", "silent"]  # busy: it answers, but not yet with yes

TIMEOUT_S = 2.0
# A whole request: size, ApiVersions (key 18, version 0), correlation id 1, no client id.
_API_VERSIONS = struct.pack(">ihhih", 10, 18, 0, 1, -1)


def kafka(port: int, timeout_s: float = TIMEOUT_S) -> Answer:
    """Whether a Kafka broker answers. A port that accepts proves nothing: the system does that for a hung one too."""
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=timeout_s) as connection:
            connection.sendall(_API_VERSIONS)
            answered = connection.recv(4)
    except OSError:
        return "silent"
    return "ready" if answered else "busy"


def http_get(port: int, path: str, timeout_s: float = TIMEOUT_S) -> Answer:
    """ "ready" for a 2xx, "busy" for any other answer. Goes straight there, whatever proxy the environment names."""
    answer, _ = http_get_json(port, path, timeout_s)
    return answer


def http_get_json(port: int, path: str, timeout_s: float = TIMEOUT_S) -> tuple[Answer, Any]:
    """The answer as above, and its body where that is JSON (else None)."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=timeout_s)
    try:
        connection.request("GET", path)
        response = connection.getresponse()
        body = response.read(1 << 20)
    except (OSError, http.client.HTTPException):
        return "silent", None
    finally:
        connection.close()
    try:
        found = json.loads(body)
    except ValueError:
        found = None
    return ("ready" if 200 <= response.status < 300 else "busy"), found
