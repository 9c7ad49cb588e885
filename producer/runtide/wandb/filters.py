"""Filters and orders of `wandb.Api().runs` as Runtide's filters (docs/filters.md). Pure."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from runtide.errors import RuntideError

_FIELDS = {
    "state": "state", "display_name": "run", "displayName": "run", "name": "run_id", "id": "run_id", "group": "group",
    "tags": "tags", "jobType": "job_type", "job_type": "job_type", "created_at": "started", "createdAt": "started",
    "heartbeat_at": "seen_at", "heartbeatAt": "seen_at", "host": "host", "notes": "notes", "duration": "duration",
}  # fmt: skip
_COMPARISONS = {"$eq": "=", "$ne": "!=", "$gt": ">", "$gte": ">=", "$lt": "<", "$lte": "<=", "$regex": "~"}
_PLAIN_NAME = re.compile(r"[A-Za-z0-9_/.:-]+")


def where_of(filters: Mapping[str, Any]) -> str | None:
    """One filter text, None for no filter. Raises `RuntideError` for what Runtide's filters can't say."""
    parts = [_condition(name, value) for name, value in filters.items()]
    return " and ".join(parts) or None


def order_of(order: str | None) -> str:
    """`-created_at`, `+summary_metrics.loss`, ... as an order of the runs table; the newest first without one."""
    if not order:
        return "-started"
    return ("-" if order.startswith("-") else "") + _field(order.lstrip("+-"))


def _condition(name: str, value: Any) -> str:
    if name in ("$and", "$or"):
        parts = [f"({where_of(each)})" for each in value if each]
        return "(" + f" {name[1:]} ".join(parts) + ")"
    if name in ("$not", "$nor"):
        several = value if isinstance(value, (list, tuple)) else [value]
        return "not (" + " or ".join(f"({where_of(each)})" for each in several) + ")"
    field = _field(name)
    if not isinstance(value, Mapping):
        return _comparison(field, "$eq", value)
    return " and ".join(_comparison(field, operator, each) for operator, each in value.items())


def _comparison(field: str, operator: str, value: Any) -> str:
    if operator in ("$in", "$nin"):
        several = list(value)
        if field == "tags":
            inside = " or ".join(f"tags has {_literal(each)}" for each in several)
        else:
            inside = f"{field} in ({', '.join(map(_literal, several))})"
        return f"not ({inside})" if operator == "$nin" else f"({inside})"
    if operator == "$exists":
        return f"{field} is {'not ' if value else ''}null"
    if operator == "$not":
        return f"not ({' and '.join(_comparison(field, name, each) for name, each in value.items())})"
    if operator not in _COMPARISONS:
        raise RuntideError(f"filters: {operator} has nothing like it in Runtide's filters (docs/filters.md)")
    if value is None:
        return f"{field} is {'not ' if operator == '$ne' else ''}null"
    if field == "tags":
        return f"tags {'not ' if operator == '$ne' else ''}has {_literal(value)}"
    if operator == "$ne":  # of wandb it also finds what has no such value
        return f"not {field} = {_literal(value)}"
    return f"{field} {_COMPARISONS[operator]} {_literal(value)}"


def _field(name: str) -> str:
    head, _, rest = name.partition(".")
    if head in ("config", "summary", "summary_metrics") and rest:
        rest = rest.removesuffix(".value") if head == "config" else rest
        section = "config" if head == "config" else "summary"
        return f"{section}.{rest if _PLAIN_NAME.fullmatch(rest) else _literal(rest)}"
    if name not in _FIELDS:
        raise RuntideError(
            f"filters: there is no {name!r}; there are {', '.join(sorted(set(_FIELDS)))} and config.NAME"
        )
    return _FIELDS[name]


def _literal(value: Any) -> str:
    if value is True or value is False:
        return str(value).lower()
    if isinstance(value, (int, float)):
        return repr(value)  # inf and nan are spelled so there, too
    text = value.isoformat() if hasattr(value, "isoformat") else str(value)
    escaped = text.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'
