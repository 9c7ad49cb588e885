"""A clickhouse-connect client from a URL, and the driver's errors in our words."""

from __future__ import annotations

import http.client
import logging
import os
import ssl
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Self
from urllib.parse import quote, unquote, urlsplit

import clickhouse_connect
import urllib3.exceptions
from clickhouse_connect.driver.client import Client as Driver
from clickhouse_connect.driver.exceptions import ClickHouseError, OperationalError

from runtide_storage.cluster import SETTINGS as CLUSTER_SETTINGS
from runtide_storage.errors import QueryError, Rejected, StorageError, Unreachable, one_line

# The driver logs each failure that it also raises; without this, Python prints that to stderr.
logging.getLogger("clickhouse_connect").addHandler(logging.NullHandler())

CONNECT_TIMEOUT_S = 5
ANSWER_TIMEOUT_S = 120
_URL_FORM = "http[s]://user:password@host:port/database"
_CAFILE = "RUNTIDE_CLICKHOUSE_CAFILE"  # whom an https:// URL is believed; without it, whom the system trusts
_UNKNOWN_DATABASE = 81
_NOT_MIGRATED = (60, _UNKNOWN_DATABASE)
_LOOPBACK = ("127.0.0.1", "localhost", "::1")
# The server's error codes that speak of the rows themselves. Everything else may be mended on the server's side.
_ROWS_ARE_BAD = frozenset(
    (6, 26, 27, 33, 38, 41, 43, 44, 49, 53, 69, 70, 72, 117, 131, 190, 321, 349, 363, 407, 433, 457, 467, 469, 636, 691)
)
# ... and those by which a query says "not now" or "not you", which no change of the query mends.
_NOT_NOW = frozenset((3, 202, 209, 210, 225, 236, 242, 252, 279, 319, 373, 425, 516, 999))


@dataclass(frozen=True, slots=True)
class Endpoint:
    """Where ClickHouse's HTTP interface is, and who asks."""

    host: str
    port: int
    database: str = "runtide"
    username: str = "default"
    password: str = field(default="", repr=False)
    secure: bool = False

    @classmethod
    def parse(cls, url: str) -> Self:
        """From `http[s]://[user:password@]host[:port][/database]`. Raises `StorageError` on anything else."""
        try:
            parts = urlsplit(url)
            port = parts.port
        except ValueError:  # its message may quote the password
            raise StorageError(f"RUNTIDE_CLICKHOUSE: expected {_URL_FORM}") from None
        is_host = parts.hostname and not set("[]") & set(parts.hostname) and url.isprintable()
        if parts.scheme not in ("http", "https") or not is_host:
            raise StorageError(f"RUNTIDE_CLICKHOUSE: expected {_URL_FORM}")
        secure = parts.scheme == "https"
        return cls(
            host=str(parts.hostname),
            port=port or (8443 if secure else 8123),
            database=unquote(parts.path.strip("/")) or "runtide",
            username=unquote(parts.username or "default"),
            password=unquote(parts.password or ""),
            secure=secure,
        )

    @property
    def url(self) -> str:
        """The URL, password included: not for logs."""
        who = f"{quote(self.username, safe='')}:{quote(self.password, safe='')}@"
        return f"http{'s' if self.secure else ''}://{who}{self}/{quote(self.database, safe='')}"

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


def connect(
    url: str | Endpoint, *, settings: Mapping[str, Any] | None = None, answer_timeout_s: float = ANSWER_TIMEOUT_S
) -> Driver:
    """A client that threads may share (no session). Raises `Unreachable`; `StorageError`: no such CA file.

    The database need not exist yet: `migrate` creates it.
    """
    where = url if isinstance(url, Endpoint) else Endpoint.parse(url)
    options: dict[str, Any] = {
        "host": where.host,
        "port": where.port,
        "username": where.username,
        "password": where.password,
        "secure": where.secure,
        "connect_timeout": CONNECT_TIMEOUT_S,
        "send_receive_timeout": answer_timeout_s,
        "client_name": "runtide",
        "compress": where.host not in _LOOPBACK,  # on one machine it costs more than it saves
        "autogenerate_session_id": False,
        "query_retries": 1,
        "settings": CLUSTER_SETTINGS | dict(settings or {}),
    }
    if where.secure and (trusted := os.environ.get(_CAFILE)):
        if not os.access(trusted, os.R_OK):
            raise StorageError(f"{_CAFILE}={trusted}: no such file, or it can't be read")
        options["ca_cert"] = trusted
    try:
        # Not `database=`: one that does not exist yet would fail here.
        driver = clickhouse_connect.get_client(**options)
    except (ClickHouseError, OSError, http.client.HTTPException, urllib3.exceptions.HTTPError) as error:
        raise Unreachable(why_unreachable(error, where)) from error
    driver.database = where.database
    return driver


def address(client: Driver) -> str:
    """Where a client is connected to, for messages: without the password."""
    return str(getattr(client, "url", "")).partition("://")[2] or "?"


def why_unreachable(error: BaseException, where: object) -> str:
    """One line for people."""
    code = getattr(error, "code", None)
    if code == 516:
        return f"ClickHouse at {where} refuses this user and password: check RUNTIDE_CLICKHOUSE"
    if code is None:
        if (doubt := _tls_doubt(error)) is not None:
            return f"ClickHouse at {where}: {doubt}"
        return f"ClickHouse at {where} can't be reached: start it with `runtide up`, or check RUNTIDE_CLICKHOUSE"
    if code in _NOT_MIGRATED:
        return f"ClickHouse at {where} has no such table or database: run `runtide migrate` ({one_line(error)})"
    return f"ClickHouse at {where} can't answer now: {one_line(error)}"


def _tls_doubt(error: BaseException | None) -> str | None:
    """What is wrong with its TLS, if that is what is behind the error."""
    while error is not None:
        reason = error.reason if isinstance(error, urllib3.exceptions.MaxRetryError) else None
        for each in (error, reason, *(error.args[:1] if isinstance(error, urllib3.exceptions.SSLError) else ())):
            if isinstance(each, ssl.SSLCertVerificationError):
                wrong = f"its certificate can't be verified ({each.verify_message})"
                if each.verify_message.startswith(("Hostname mismatch", "IP address mismatch")):
                    return f"{wrong}: correct the host in RUNTIDE_CLICKHOUSE"
                return f"{wrong}: {_CAFILE} must name the file of the CA that signed it"
            if isinstance(each, ssl.SSLError):
                return "it does not speak TLS there: RUNTIDE_CLICKHOUSE must have http:// or the port of https"
        error = reason or error.__cause__ or error.__context__
    return None


@contextmanager
def write_errors(where: object) -> Iterator[None]:
    """For writes: `Rejected` when it is the rows' fault, else `Unreachable`."""
    try:
        yield
    except ClickHouseError as error:
        code = getattr(error, "code", None)
        if code in _ROWS_ARE_BAD:
            raise Rejected(one_line(error)) from error
        raise Unreachable(why_unreachable(error, where)) from error
    except (OSError, http.client.HTTPException, urllib3.exceptions.HTTPError) as error:
        raise Unreachable(why_unreachable(error, where)) from error


@contextmanager
def read_errors(where: object) -> Iterator[None]:
    """For queries: `Unreachable` when the server is not there or not well, else `QueryError`."""
    try:
        yield
    except ClickHouseError as error:
        code = getattr(error, "code", None)
        if code == _UNKNOWN_DATABASE:
            raise Unreachable(f"{one_line(error)}: run `runtide migrate` first") from error
        if code in _NOT_NOW or (code is None and isinstance(error, OperationalError)):
            raise Unreachable(why_unreachable(error, where)) from error
        raise QueryError(one_line(error)) from error
    except (OSError, http.client.HTTPException, urllib3.exceptions.HTTPError) as error:
        raise Unreachable(why_unreachable(error, where)) from error
