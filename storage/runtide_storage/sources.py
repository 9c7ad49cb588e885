"""The raw points of curves as subqueries: columns run, key, step, ts, value, attempt, writer, seq, each point once."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence

from runtide_storage.reader import Reader, integers
from runtide_storage.statements import statements

Pair = tuple[int, int]  # (run, key): a curve


def which(curves: Sequence[Pair]) -> str:
    """The condition on `run` and `key` for these curves, no two of which are the same."""
    runs, keys = ({run for run, _ in curves}, {key for _, key in curves})
    if len(curves) == len(runs) * len(keys):  # a fifth faster than pairs
        return f"run IN ({integers(runs) or 'NULL'}) AND key IN ({integers(keys) or 'NULL'})"
    return f"(run, key) IN ({', '.join(f'({run:d}, {key:d})' for run, key in curves)})"


def several_attempts(reader: Reader, runs: Iterable[int]) -> set[int]:
    """Those of the runs that were launched more than once."""
    ids = integers(runs)
    if not ids:
        return set()
    return {row["run"] for row in reader.rows(statements("sources.sql")["several_attempts"].format(runs=ids))}


def all_points(condition: str) -> str:
    """The points of every attempt."""
    return statements("sources.sql")["all_attempts"].format(curves=condition)


def latest_points(condition: str) -> str:
    """The points that no later attempt superseded."""
    return statements("sources.sql")["latest_attempt"].format(curves=condition)


def current_points(curves: Sequence[Pair], relaunched: Collection[int], *, are_few: bool = False) -> str:
    """Likewise, without the work for runs that have one attempt. `relaunched`: those that may have several.

    `are_few`: all of the curves' points are wanted, and they are not many.
    """
    once = [pair for pair in curves if pair[0] not in relaunched]
    again = [pair for pair in curves if pair[0] in relaunched]
    if not again:
        return all_points(which(once))
    if are_few:  # a second branch would cost more than the sorting
        return statements("sources.sql")["latest_of_few"].format(curves=which(curves))
    return (
        f"({all_points(which(once))} UNION ALL {latest_points(which(again))})" if once else latest_points(which(again))
    )
