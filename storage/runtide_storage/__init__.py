"""Runtide's storage: ClickHouse schema and migrations, what the workers write, and the query API."""

from runtide_storage.aio import AsyncClient
from runtide_storage.client import Client
from runtide_storage.result import Result

__all__ = ["AsyncClient", "Client", "Result"]
